"""Counts the tags of a sound, and what they unfold to: FFmpeg looks each up among all, and inflates without a limit.

Layouts: ID3 2.2 to 2.4, RFC 9639 (FLAC), the Vorbis I specification, 5.2.1 (comments). Those of other containers are
not counted here; the time of their opening has a limit (`limits.Limits.max_opening_cpu_s`).
"""

from typing import BinaryIO

from lipsync_core.limit_errors import MetadataLimitError
from lipsync_core.limits import Limits
from lipsync_core.structure.refusals import require_metadata

ID3, FLAC = b"ID3", b"fLaC"
_MOST_TAGS = 10_000  # of a file; FFmpeg takes a second for 20,000
_COMMENTS, _LAST_BLOCK = 4, 0x80  # types of FLAC's blocks


def check_id3(file: BinaryIO, limits: Limits) -> None:
    """Check the frames of a file's first ID3 tag: how many there are, and what the compressed ones unfold to."""
    file.seek(0)
    header = file.read(10)
    if len(header) < 10:
        return
    is_v4, end = header[3] == 4, 10 + _syncsafe(header[6:10])
    head_bytes = 6 if header[3] == 2 else 10  # ID3 2.2 has shorter heads, and no compression
    start, unfolded, count = 10, 0, 0
    while start + head_bytes <= end:
        file.seek(start)
        frame = file.read(15).ljust(15, b"\0")
        if not frame[:3].isalnum():
            return
        size = int.from_bytes(frame[3:6]) if head_bytes == 6 else _size(frame[4:8], is_v4)
        if head_bytes == 10 and frame[9] & (0x08 if is_v4 else 0x80):
            has_group = frame[9] & (0x40 if is_v4 else 0x20)
            first = 11 if is_v4 and has_group else 10
            unfolded += _syncsafe(frame[first : first + 4]) if is_v4 else int.from_bytes(frame[10:14])
            require_metadata(unfolded, limits)
        count += 1
        _require_count(count)
        start += head_bytes + size


def check_flac(file: BinaryIO, size_bytes: int) -> None:
    """Check the number of comments of a FLAC file."""
    start, total, is_last = 4, 0, False
    while not is_last and start + 4 <= size_bytes:
        file.seek(start)
        head = file.read(8)
        kind, length = head[0] & ~_LAST_BLOCK, int.from_bytes(head[1:4])
        if kind == _COMMENTS:
            file.seek(start + 8 + int.from_bytes(head[4:8], "little"))  # behind the name of the program
            total += min(int.from_bytes(file.read(4), "little"), length // 4)
            _require_count(total)
        is_last = bool(head[0] & _LAST_BLOCK)
        start += 4 + length


def _require_count(count: int) -> None:
    if count > _MOST_TAGS:
        raise MetadataLimitError(f"it has more than {_MOST_TAGS} tags", "save the file without them")


def _size(data: bytes, is_v4: bool) -> int:
    return _syncsafe(data) if is_v4 else int.from_bytes(data)


def _syncsafe(data: bytes) -> int:
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(data)))
