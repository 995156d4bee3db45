"""Detects an MP4 or MOV file that was cut off, by comparing its index with its size.

FFmpeg opens a file whose index comes first without an error, even if most of the media after it is missing.
Box layout: ISO/IEC 14496-12, section 4.2.
"""

import struct
from pathlib import Path

from av.container import InputContainer

_MP4_FORMAT = "mov,mp4,m4a,3gp,3g2,mj2"  # the name of FFmpeg's demuxer
_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})
_INDEX_BOXES = frozenset({b"moov", b"moof"})
# Entries stand in decoding order, so the last bytes of a stream belong to one of its last entries.
_LAST_ENTRIES = 64


def is_missing_samples(container: InputContainer, size_bytes: int) -> bool:
    """The index of an open MP4 or MOV announces samples beyond the end of the file."""
    if container.format.name != _MP4_FORMAT:
        return False
    for stream in container.streams:
        entries = stream.index_entries
        first = max(0, len(entries) - _LAST_ENTRIES)
        if any(entries[at].pos + entries[at].size > size_bytes for at in range(first, len(entries))):
            return True
    return False


def is_missing_index(path: Path) -> bool:
    """The file begins as an MP4 or MOV and ends before its index is complete.

    Raises:
        OSError: the file cannot be read.
    """
    size_bytes = path.stat().st_size
    start = 0
    with path.open("rb") as file:
        while start + 8 <= size_bytes:
            file.seek(start)
            box_bytes, name = _box_header(file.read(16))
            if start == 0 and name not in _FIRST_BOXES:
                return False
            end = size_bytes if box_bytes == 0 else start + box_bytes
            if name in _INDEX_BOXES:
                return end > size_bytes
            if end <= start or end > size_bytes:
                return end > size_bytes
            start = end
    return start > 0


def _box_header(header: bytes) -> tuple[int, bytes]:
    """Size in bytes (0: to the end of the file) and name of a box."""
    box_bytes, name = struct.unpack(">I4s", header[:8])
    if box_bytes == 1 and len(header) == 16:
        (box_bytes,) = struct.unpack(">Q", header[8:])
    return box_bytes, name
