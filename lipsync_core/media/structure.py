"""Looks at a file's own account of itself before FFmpeg believes it: a few bytes may claim to unfold to gigabytes.

FFmpeg builds the whole index of an MP4 in memory and inflates the texts and profiles of a PNG or an ID3 tag without a
limit. So their sizes are added up here first, from their headers alone. Layouts: ISO/IEC 14496-12 (boxes), Apple's
QuickTime File Format ("cmov"), PNG 1.2, ITU-T T.81 (JPEG), GIF 89a, BMP,
WebP, ID3 2.3 and 2.4.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from lipsync_core.limit_errors import IndexLimitError, MetadataLimitError, PixelLimitError
from lipsync_core.limits import Limits

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_BMP_HEADERS = frozenset(size.to_bytes(4, "little") for size in (40, 52, 56, 108, 124))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers that state a size (ITU-T T.81, table B.1)
_SCAN = 0xDA
_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"sidx", b"moof", b"pnot"})
_PARENTS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"cmov", b"edts", b"mvex"})
_MAX_DEPTH = 10
_BOX_WEIGHT = 4  # entries: what it costs to look at a box
_TABLE_BYTES = 1 << 16  # of a table of runs that is read at once
_USUAL_EDITS = 100  # of a track; programs write a few, each of another part of it
_CHUNK_SAMPLES = 512  # of sound without packets that FFmpeg joins to one entry, at least
_INFLATED_AT_ONCE = 1 << 16


def check_structure(file: BinaryIO, size_bytes: int, limits: Limits) -> None:
    """Refuse a file, of `size_bytes` bytes, whose index or headers unfold beyond `limits`.

    Raises:
        IndexLimitError: its index has more entries.
        MetadataLimitError: its compressed headers, texts and profiles have more bytes.
        PixelLimitError: it is a picture with more pixels.
        OSError: it cannot be read.
    """
    file.seek(0)
    head = file.read(32).ljust(32, b"\0")
    _require_pixels(*_stated_size(head), limits)
    if head.startswith(_PNG):
        _check_png(file, size_bytes, limits)
    elif head.startswith(_JPEG):
        _check_jpeg(file, limits)
    elif head.startswith(b"ID3"):
        _check_id3(file, limits)
    elif head[4:8] in _FIRST_BOXES:
        _Boxes(file, limits).check(0, size_bytes)


@dataclass(frozen=True, slots=True)
class _Box:
    name: bytes
    start: int  # of its content
    end: int


class _Boxes:
    """Adds up what the boxes of one MP4 or MOV file unfold to."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self._entries = self._looked_at = 0
        self._samples_of_track = self._edits = 0

    def check(self, start: int, end: int, depth: int = 0) -> None:
        tables: dict[bytes, _Box] = {}
        for box in self._children(start, end):
            tables[box.name] = box
            if box.name == b"trak":
                self._samples_of_track = self._edits = 0
            if box.name in _PARENTS and depth < _MAX_DEPTH:
                self.check(box.start, box.end, depth + 1)
            if box.name == b"trak" and self._edits > _USUAL_EDITS:
                self._add(self._samples_of_track * self._edits)  # FFmpeg lists the samples of each edit anew
            elif box.name == b"elst":
                self._edits = self._number(box, 4)
            elif box.name == b"trun":
                self._add(self._number(box, 4))
            elif box.name == b"cmvd":
                _require_metadata(self._number(box, 0), self._limits)
        if b"stsz" in tables or b"stz2" in tables:
            self._samples_of_track = self._samples(tables)
            self._add(self._samples_of_track)

    def _children(self, start: int, end: int) -> Iterator[_Box]:
        while start + 8 <= end:
            self._look()
            self._file.seek(start)
            header = self._file.read(16)
            if len(header) < 8:
                return
            size, name = struct.unpack(">I4s", header[:8])
            content = start + 8
            if size == 1 and len(header) == 16:
                (size,) = struct.unpack(">Q", header[8:])
                content += 8
            last = end if size == 0 else min(end, start + size)
            if last < content:
                return
            yield _Box(name, content, last)
            start = last

    def _samples(self, tables: dict[bytes, _Box]) -> int:
        """The entries that FFmpeg makes of one track: a sample each, or a run of plain sound."""
        sizes = tables.get(b"stsz") or tables[b"stz2"]
        count = self._number(sizes, 8)
        times, chunks = tables.get(b"stts"), tables.get(b"stsc")
        is_plain = sizes.name == b"stsz" and self._number(sizes, 4) > 0
        if not (is_plain and times and chunks and (self._number(times, 4), self._number(times, 12)) == (1, 1)):
            return count
        places = tables.get(b"stco") or tables.get(b"co64")
        return self._runs(chunks, self._number(places, 4) if places else 0)

    def _runs(self, box: _Box, chunks: int) -> int:
        """The runs of sound in `chunks` chunks, by the table of how many samples each of them has."""
        self._file.seek(box.start + 8)
        data = self._file.read(min(_TABLE_BYTES, box.end - box.start))
        rows = list(struct.iter_unpack(">III", data[: len(data) // 12 * 12]))
        starts = [min(chunks + 1, row[0]) for row in rows] + [chunks + 1]
        runs = (max(0, starts[at + 1] - starts[at]) * -(-row[1] // _CHUNK_SAMPLES) for at, row in enumerate(rows))
        return sum(runs)

    def _number(self, box: _Box, offset: int) -> int:
        self._file.seek(box.start + offset)
        data = self._file.read(4) if box.start + offset + 4 <= box.end else b""
        return int.from_bytes(data) if len(data) == 4 else 0

    def _add(self, entries: int) -> None:
        self._entries += entries
        self._require()

    def _look(self) -> None:
        self._looked_at += 1
        self._require()

    def _require(self) -> None:
        most = self._limits.max_index_entries
        if self._entries + self._looked_at * _BOX_WEIGHT > most:
            raise IndexLimitError(f"its index unfolds to more than {most} entries", "write the file anew")


def _stated_size(head: bytes) -> tuple[int, int]:
    """Width and height by the first bytes of a GIF, a BMP or a WebP picture; 0 for all else."""
    if head.startswith(b"GIF8"):
        return struct.unpack_from("<HH", head, 6)
    if head.startswith(b"BM") and head[14:18] in _BMP_HEADERS:
        width, height = struct.unpack_from("<ii", head, 18)
        return abs(width), abs(height)  # a height below zero is of rows from the top
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    return 0, 0


def _check_png(file: BinaryIO, size_bytes: int, limits: Limits) -> None:
    start, unfolded = len(_PNG), 0
    while start + 12 <= size_bytes:
        file.seek(start)
        length, name = struct.unpack(">I4s", file.read(8))
        if name == b"IHDR":
            width, height = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
            _require_pixels(width, height, limits)
        elif name in (b"zTXt", b"iTXt", b"iCCP"):
            unfolded += _inflated(_compressed(name, file.read(length)), limits.max_metadata_bytes - unfolded)
            _require_metadata(unfolded, limits)
        start += 12 + length


def _check_jpeg(file: BinaryIO, limits: Limits) -> None:
    start = 2
    while True:
        file.seek(start)
        head = file.read(9).ljust(9, b"\0")
        if head[0] != 0xFF or head[1] == _SCAN:
            return
        if head[1] in _FRAMES:
            _require_pixels(int.from_bytes(head[7:9]), int.from_bytes(head[5:7]), limits)
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


def _check_id3(file: BinaryIO, limits: Limits) -> None:
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
            _require_metadata(unfolded, limits)
        start += 10 + size


def _syncsafe(data: bytes) -> int:
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(data)))


def _require_pixels(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise PixelLimitError(f"it has {width}x{height} pixels, more than {limits.max_pixels}", "scale it down")


def _require_metadata(unfolded: int, limits: Limits) -> None:
    if unfolded > limits.max_metadata_bytes:
        raise MetadataLimitError(
            f"its compressed headers unfold to more than {limits.max_metadata_bytes} bytes", "save the file anew"
        )
