"""MP4 and MOV files that claim more than they hold, or name other files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from tests.hostile.boxes import box, full, movie, numbers, raw_video, table, trak

BAIT = "bait.mp4"  # a pipe: whoever opens it to read waits until the guard ends it


def raw_movie(count: int, delta: int, timescale: int = 1000, *, tracks: int = 1, more: bytes = b"") -> bytes:
    """A MOV of `count` raw pictures of 4x4, each `delta` units long."""
    one = trak(table(raw_video(), count, 48, delta), timescale=timescale, duration=count * delta)
    head = movie(*([one] * tracks), more=more, brand=b"qt  ")
    # The only chunk begins where the content of "mdat" does: the offset is written once the head's size is known.
    head = head.replace(full(b"stco", numbers(1, 40)), full(b"stco", numbers(1, len(head) + 8)))
    return head + box(b"mdat", b"\x80" * 48 * min(count, 2000))


def with_alien_sound() -> bytes:
    """A movie with a second track, of sound in a format that nobody knows."""
    entry = bytes(6) + b"\0\1" + bytes(8) + struct.pack(">HHHHI", 1, 16, 0, 0, 48000 << 16)
    sound = full(b"stsd", numbers(1), box(b"zzzz", entry))
    return raw_movie(3, 40, more=trak(table(sound, 1, 4), number=2, kind=b"soun"))


def edited(samples: int, edits: int, *, start: int = 0, duration: int | None = None, more: bytes = b"") -> bytes:
    """A movie of which each of its `edits` shows all samples, or those of a part in units of a 40th of one."""
    shown = numbers(samples * 40 if duration is None else duration, start, 0x10000)
    edit_list = box(b"edts", full(b"elst", numbers(edits), shown * edits))
    track = trak(table(raw_video(), samples, 1) + more)
    return movie(box(b"trak", track[8:], edit_list))


def fragment(count: int) -> bytes:
    """A movie fragment of `count` samples without a byte for each."""
    run = full(b"trun", numbers(count))
    return movie(trak(table(raw_video(), 0, 0)), more=box(b"mvex", full(b"trex", numbers(1, 1, 40, 0, 0)))) + box(
        b"moof", full(b"mfhd", numbers(1)), box(b"traf", box(b"tfhd", numbers(0x18, 1, 40, 0)), run)
    )


def chaptered(count: int) -> bytes:
    """A MOV of three pictures, with a track of `count` chapters."""
    texts = full(b"stsd", numbers(1), box(b"text", bytes(6) + b"\0\1" + bytes(44)))
    reference = box(b"tref", box(b"chap", numbers(2)))
    video, chapters = trak(table(raw_video(), 3, 48)), trak(table(texts, count, 2), number=2, kind=b"text")
    return movie(box(b"trak", video[8:], reference), chapters, brand=b"qt  ") + box(b"mdat", bytes(2 * count))


def squeezed(size: int) -> bytes:
    """A MOV whose header is compressed, and says that it unfolds to `size` bytes."""
    inner = box(b"dcom", b"zlib") + box(b"cmvd", numbers(size), zlib.compress(bytes(1000)))
    return box(b"ftyp", b"qt  ", bytes(4)) + box(b"moov", box(b"cmov", inner)) + box(b"mdat", bytes(8))


def elsewhere(path: Path) -> object:
    """A MOV whose samples lie in another file, by an absolute path, as QuickTime's reference movies have it."""
    target = str(path.parent / BAIT).encode()
    alias = box(b"alis", numbers(0), bytes(150) + struct.pack(">hH", 2, len(target)) + target + b"\xff\xff\0\0")
    samples = table(raw_video(), 3, 48)
    return path.write_bytes(movie(trak(samples, reference=alias), brand=b"qt  ") + box(b"mdat", bytes(8)))
