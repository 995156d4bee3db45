"""Reads the sizes of pictures from their headers.

Layouts: ITU-T T.81 (JPEG), GIF 89a, BMP, WebP.
"""

import struct
from typing import BinaryIO

from lipsync_core.limits import Limits
from lipsync_core.structure.refusals import require_pixels

JPEG = b"\xff\xd8\xff"
_BMP_HEADERS = frozenset(size.to_bytes(4, "little") for size in (40, 52, 56, 108, 124))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers that state a size (ITU-T T.81, table B.1)
_SCAN = 0xDA


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
