"""Reads the sizes and compressed texts of pictures from their headers.

Layouts: PNG 1.2, ITU-T T.81 (JPEG), GIF 89a, BMP, WebP.
"""

import struct
import zlib
from typing import BinaryIO

from lipsync_core.limits import Limits
from lipsync_core.structure.refusals import require_metadata, require_pixels

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
_BMP_HEADERS = frozenset(size.to_bytes(4, "little") for size in (40, 52, 56, 108, 124))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers that state a size (ITU-T T.81, table B.1)
_SCAN = 0xDA
_INFLATED_AT_ONCE = 1 << 16


def stated_size(head: bytes) -> tuple[int, int]:
    """Width and height by the first bytes of a GIF, a BMP or a WebP picture; 0 for all else."""
    if head.startswith(b"GIF8"):
        return struct.unpack_from("<HH", head, 6)
    if head.startswith(b"BM") and head[14:18] in _BMP_HEADERS:
        width, height = struct.unpack_from("<ii", head, 18)
        return abs(width), abs(height)  # a height below zero is of rows from the top
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    return 0, 0


def check_png(file: BinaryIO, size_bytes: int, limits: Limits) -> None:
    """Check the size of a PNG, and what its texts and profiles unfold to."""
    start, unfolded = len(PNG), 0
    while start + 12 <= size_bytes:
        file.seek(start)
        length, name = struct.unpack(">I4s", file.read(8))
        if name == b"IHDR":
            width, height = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
            require_pixels(width, height, limits)
        elif name in (b"zTXt", b"iTXt", b"iCCP"):
            unfolded += _inflated(_compressed(name, file.read(length)), limits.max_metadata_bytes - unfolded)
            require_metadata(unfolded, limits)
        start += 12 + length


def check_jpeg(file: BinaryIO, limits: Limits) -> None:
    """Check the size of a JPEG by its frame headers."""
    start = 2
    while True:
        file.seek(start)
        head = file.read(9).ljust(9, b"\0")
        if head[0] != 0xFF or head[1] == _SCAN:
            return
        if head[1] in _FRAMES:
            require_pixels(int.from_bytes(head[7:9]), int.from_bytes(head[5:7]), limits)
        start += 2 + max(2, int.from_bytes(head[2:4]))


def _compressed(name: bytes, chunk: bytes) -> bytes:
    """The compressed part of a text or a profile of a PNG, behind its keyword; empty where there is none."""
    _, _, rest = chunk.partition(b"\0")
    if name != b"iTXt":
        return rest[1:]  # behind the method
    return rest[2:].split(b"\0", 2)[-1] if rest[:1] == b"\1" else b""


def _inflated(data: bytes, enough: int) -> int:
    """How many bytes `data` unfolds to; stops above `enough`."""
    unfolding, total = zlib.decompressobj(), 0
    try:
        while data and total <= enough:
            total += len(unfolding.decompress(data, _INFLATED_AT_ONCE))
            data = unfolding.unconsumed_tail
    except zlib.error:
        return total  # FFmpeg stops there, too
    return total
