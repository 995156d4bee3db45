"""Adds up what the tags of a sound unfold to. Layout: ID3 2.3 and 2.4."""

from typing import BinaryIO

from lipsync_core.limits import Limits
from lipsync_core.structure.refusals import require_metadata

ID3 = b"ID3"


def check_id3(file: BinaryIO, limits: Limits) -> None:
    """Check what the compressed frames of a file's first ID3 tag unfold to."""
    file.seek(0)
    header = file.read(10)
    if len(header) < 10 or header[3] not in (3, 4):
        return  # 2.2 has no compression
    is_v4, end = header[3] == 4, 10 + _syncsafe(header[6:10])
    start, unfolded = 10, 0
    while start + 14 <= end:
        file.seek(start)
        frame = file.read(15)
        if len(frame) < 15 or not frame[:4].isalnum():
            return
        size = _syncsafe(frame[4:8]) if is_v4 else int.from_bytes(frame[4:8])
        if frame[9] & (0x08 if is_v4 else 0x80):
            has_group = frame[9] & (0x40 if is_v4 else 0x20)
            first = 11 if is_v4 and has_group else 10
            unfolded += _syncsafe(frame[first : first + 4]) if is_v4 else int.from_bytes(frame[10:14])
            require_metadata(unfolded, limits)
        start += 10 + size


def _syncsafe(data: bytes) -> int:
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(data)))
