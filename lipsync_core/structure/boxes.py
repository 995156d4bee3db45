"""Adds up what the index of an MP4 or MOV file unfolds to (ISO/IEC 14496-12; "cmov": QuickTime File Format)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from lipsync_core.limit_errors import IndexLimitError
from lipsync_core.limits import Limits
from lipsync_core.structure.refusals import require_metadata

FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"sidx", b"moof", b"pnot"})
_PARENTS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"cmov", b"edts", b"mvex"})
_MAX_DEPTH = 10
_BOX_WEIGHT = 4  # entries: what it costs to look at a box
_TABLE_BYTES = 1 << 16  # of a table of runs that is read at once
_USUAL_EDITS = 100  # of a track; programs write a few, each of another part of it
_CHUNK_SAMPLES = 512  # of sound without packets that FFmpeg joins to one entry, at least


@dataclass(frozen=True, slots=True)
class _Box:
    name: bytes
    start: int  # of its content
    end: int


class Boxes:
    """Adds up what the boxes of one MP4 or MOV file unfold to."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self._entries = self._looked_at = 0
        self._samples_of_track = self._edits = 0

    def check(self, start: int, end: int, depth: int = 0) -> None:
        """Add up the boxes in these bytes of the file, or raise IndexLimitError."""
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
                require_metadata(self._number(box, 0), self._limits)
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
