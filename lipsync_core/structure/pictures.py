"""Reads the sizes of pictures from their headers.

Layouts: ITU-T T.81 (JPEG), GIF 89a, BMP, WebP.
"""

import struct
from io import BytesIO
from typing import BinaryIO

from lipsync_core.limit_errors import IndexLimitError
from lipsync_core.limits import Limits
from lipsync_core.structure.refusals import require_pixels

JPEG = b"\xff\xd8\xff"
_BMP_HEADERS = frozenset(size.to_bytes(4, "little") for size in (40, 52, 56, 108, 124))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers that state a size (ITU-T T.81, table B.1)
_SCAN = 0xDA
_SCAN_MARKER = bytes([0xFF, _SCAN])
_MOST_SCANS = 500  # of one picture; usual programs write 10, and a few bytes of one cost the time of all its blocks
_USUAL_SCANS = 30  # which programs may write of a picture of any size
_MOST_SCANNED_PX = 4_000_000_000  # of all scans: some seconds of a processor
_READ_AT_ONCE = 1 << 20


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


def check_jpeg(file: BinaryIO, limits: Limits, *, is_one: bool = False) -> None:
    """Check the size of a JPEG by its frame headers, and the number of its scans.

    A file may hold many pictures, one behind the other, as FFmpeg reads it, unless it `is_one`.

    Raises:
        PixelLimitError, IndexLimitError: they are beyond a limit.
    """
    most = _most_scans(_checked_px(file, limits))
    file.seek(0)
    scans, data = 0, file.read(_READ_AT_ONCE)
    while data:
        parts = [data] if is_one else data.split(JPEG)  # FFmpeg begins a picture there
        for number, part in enumerate(parts):
            scans = part.count(_SCAN_MARKER) + (0 if number else scans)
            _require_scans(scans, most)
        data = file.read(_READ_AT_ONCE)


def check_jpeg_packet(data: bytes, limits: Limits) -> None:
    """Check the number of scans in a packet of a JPEG; raises as `check_jpeg`."""
    _require_scans(data.count(_SCAN_MARKER), _most_scans(_checked_px(BytesIO(data), limits)))


def _most_scans(pixels: int) -> int:
    return min(_MOST_SCANS, max(_USUAL_SCANS, _MOST_SCANNED_PX // max(1, pixels)))


def _require_scans(scans: int, most: int) -> None:
    if scans > most:
        raise IndexLimitError(f"it has a picture of more than {most} scans", "save the picture anew")


def _checked_px(file: BinaryIO, limits: Limits) -> int:
    """The pixels by the first frame header."""
    start = 2
    while True:
        file.seek(start)
        head = file.read(9).ljust(9, b"\0")
        if head[0] != 0xFF or head[1] == _SCAN:
            return 0
        if head[1] in _FRAMES:
            width, height = int.from_bytes(head[7:9]), int.from_bytes(head[5:7])
            require_pixels(width, height, limits)
            return width * height
        start += 2 + max(2, int.from_bytes(head[2:4]))
