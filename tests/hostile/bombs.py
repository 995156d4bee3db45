"""Small files that unfold to much: compressed texts, sizes of pictures, numbers of streams."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.hostile.boxes import id3, png
from tests.hostile.case import Case, data, like
from tests.hostile.movies import raw_movie, squeezed

_MIB = 1 << 20


@cache
def bomb(size: int = 200_000_000) -> bytes:
    return zlib.compress(b"a" * size)


def bombed(name: bytes, start: bytes) -> Callable[[Path], object]:
    """Makes a PNG with a bomb in its chunk `name`, behind `start`; only then, because that takes time."""
    return lambda path: path.write_bytes(png((name, start + bomb())))


def large_jpeg(content: bytes) -> bytes:
    """The header of a small JPEG with 16000 x 16000 in its frame."""
    at = content.index(b"\xff\xc0")
    return content[: at + 5] + struct.pack(">HH", 16000, 16000) + content[at + 9 :]


def large(content: bytes, width: int, height: int, form: str) -> bytes:
    """The content with each pair of 64 and 48, written as `form`, made `width` and `height`."""
    return content.replace(struct.pack(form, 64, 48), struct.pack(form, width, height))


BOMBS = (
    Case("squeezed.mov", "LIMIT_METADATA", data(squeezed(0x7FFFFFFF))),
    Case("text.png", "LIMIT_METADATA", bombed(b"zTXt", b"k\0\0")),
    Case("profile.png", "LIMIT_METADATA", bombed(b"iCCP", b"k\0\0")),
    Case("words.png", "LIMIT_METADATA", bombed(b"iTXt", b"k\0\1\0\0\0")),
    Case("large.png", "LIMIT_PIXELS", data(png(size=(16000, 16000)))),
    Case("large.jpg", "LIMIT_PIXELS", like("still.jpg", large_jpeg)),
    Case("large.gif", "LIMIT_PIXELS", like("loop.gif", lambda content: large(content, 60000, 60000, "<HH"))),
    Case("large.bmp", "LIMIT_PIXELS", like("still.bmp", lambda content: large(content, 60000, 60000, "<ii"))),
    Case("large.mov", "LIMIT_PIXELS", like("prores.mov", lambda content: large(content, 60000, 60000, ">HH"))),
    Case("tag.mp3", "LIMIT_METADATA", lambda path: path.write_bytes(
        id3([(b"TIT2", 100 * _MIB, bomb(100 * _MIB))]) + (path.parent.parent / "seeds/sound.mp3").read_bytes()),
        is_sound=True),
    Case("tracks.mov", "LIMIT_STREAMS", data(raw_movie(3, 40, tracks=1000))),
)  # fmt: skip
