"""Files whose tags or chapters are so many that FFmpeg, which looks each up among all, takes minutes to open them."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from tests.hostile.boxes import id3_tag
from tests.hostile.case import Case, like

_COUNT = 200_000
_QUICK: Mapping[str, str] = {"LIPSYNC_MAX_OPENING_CPU_S": "1"}
_UNKNOWN = b"\x01" + b"\xff" * 7  # the length of an element whose end is that of its parent


def commented(content: bytes) -> bytes:
    """A FLAC with a block of comments, each of another name, behind its first block (RFC 9639, 8.2 and 8.6)."""
    comments = b"".join(struct.pack("<I", 9) + b"K%06d=v" % number for number in range(_COUNT))
    block = bytes(4) + struct.pack("<I", _COUNT) + comments
    first_end = 4 + 4 + 34
    return content[:first_end] + b"\x04" + len(block).to_bytes(3) + block + content[first_end:]


def titled(content: bytes) -> bytes:
    """An MP3 with a tag of many texts, each of another name."""
    texts = ((b"TXXX", b"\0K%06d\0v" % number) for number in range(_COUNT))
    return id3_tag(b"".join(name + len(data).to_bytes(4) + bytes(2) + data for name, data in texts)) + content


def with_elements(content: bytes, elements: bytes) -> bytes:
    """A Matroska file with more elements at the start of its segment."""
    at = content.index(b"\x18\x53\x80\x67") + 4
    return content[:at] + _UNKNOWN + elements + content[at + 8 :]


def element(name: int, content: bytes) -> bytes:
    """An element of EBML, with a length of eight bytes."""
    return name.to_bytes((name.bit_length() + 7) // 8) + (1 << 56 | len(content)).to_bytes(8) + content


def tags() -> bytes:
    """Tags with other names each (RFC 9559, 5.1.8)."""
    simple = (element(0x67C8, element(0x45A3, b"K%06d" % number) + element(0x4487, b"v")) for number in range(_COUNT))
    return element(0x1254C367, element(0x7373, b"".join(simple)))


def chapters() -> bytes:
    """Chapters of a nanosecond (RFC 9559, 5.1.7), in an order in which each is looked up among all."""
    atoms = (
        element(0xB6, element(0x73C4, (_COUNT - number).to_bytes(4)) + element(0x91, number.to_bytes(4)))
        for number in range(_COUNT)
    )
    return element(0x1043A770, element(0x45B9, b"".join(atoms)))


TAG_BOMBS = (
    Case("comments.flac", "LIMIT_METADATA", like("sound.flac", commented), is_sound=True),
    Case("texts.mp3", "LIMIT_METADATA", like("sound.mp3", titled), is_sound=True),
    Case("tags.mkv", "LIMIT_CPU", like("ffv1.mkv", lambda content: with_elements(content, tags())), variables=_QUICK),
    Case(
        "chapters.mkv", "LIMIT_CPU", like("ffv1.mkv", lambda content: with_elements(content, chapters())),
        variables=_QUICK,
    ),
)  # fmt: skip
