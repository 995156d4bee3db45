"""What the tables of one track of an MP4 or MOV file unfold to in FFmpeg's index (ISO/IEC 14496-12, 8.6 and 8.7)."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsync_core.structure.boxes import Box

_CHUNK_SAMPLES = 512  # of sound without packets that FFmpeg joins to one entry, at least
_MOST_CHAPTER_TRACKS = 1000
_STEPS = 500  # of its search for the start of an edit, that cost as much as an entry
_RUN = np.dtype([("count", ">u4"), ("delta", ">u4")])
_CHUNKS = np.dtype([("first", ">u4"), ("samples", ">u4"), ("description", ">u4")])
_EDIT = np.dtype([("duration", ">u4"), ("start", ">i4"), ("rate", ">u4")])
_LONG_EDIT = np.dtype([("duration", ">u8"), ("start", ">i8"), ("rate", ">u4")])
_NUMBER = np.dtype(">u4")

#: The boxes that a track is added up from. Those with rows: where the rows are counted, and the bytes of one.
TABLES: dict[bytes, tuple[int, int] | None] = {
    b"stts": (4, 8), b"ctts": (4, 8), b"stss": (4, 4), b"stps": (4, 4), b"stco": (4, 4), b"co64": (4, 8),
    b"stsc": (4, 12), b"stsz": None, b"stz2": None, b"elst": None, b"tkhd": None, b"mdhd": None, b"chap": None,
}  # fmt: skip


@dataclass(slots=True)
class Track:
    """One track, whose tables are taken as they are found; of a table that comes twice the last one counts."""

    chapter_tracks: list[int] = field(default_factory=list)  # the numbers of the tracks that hold its chapters
    number: int = 0
    _tables: dict[bytes, Box] = field(default_factory=dict)
    _most_samples: int = 0

    def take(self, box: Box) -> None:
        """Take a table of this track."""
        self._tables[box.name] = box
        if box.name in (b"stsz", b"stz2"):
            self._most_samples = max(self._most_samples, box.number(8))
        elif box.name == b"tkhd":
            self.number = box.number(20 if box.number(0, 1) == 1 else 12)
        elif box.name == b"chap":
            self.chapter_tracks += _rows(box, 0, _MOST_CHAPTER_TRACKS, _NUMBER, _MOST_CHAPTER_TRACKS).tolist()

    def samples(self) -> int:
        """How many samples it claims to have."""
        return self._most_samples

    def entries(self, timescale: int, most: int) -> int:
        """The entries of its index; `timescale` is the movie's. No more than `most` + 1 are told apart."""
        times, chunks, sizes = (self._tables.get(name) for name in (b"stts", b"stsc", b"stsz"))
        plain = sizes is not None and sizes.number(4) > 0 and times is not None and _one_run(times)
        unedited = self._runs(chunks, most) if plain and chunks else self.samples()
        rows = max((table.number(4) for name, table in self._tables.items() if TABLES[name]), default=0)
        return max(unedited, rows) + self._edited(timescale, most)

    def _runs(self, chunks: Box, most: int) -> int:
        """The runs of sound in the track's chunks, by the table of how many samples each of them has."""
        places = self._tables.get(b"stco") or self._tables.get(b"co64")
        count = places.number(4) if places else 0
        rows = _rows(chunks, 8, chunks.number(4), _CHUNKS, most)
        starts = np.minimum(np.append(rows["first"].astype(np.int64), count + 1), count + 1)
        pieces = -(-rows["samples"].astype(np.int64) // _CHUNK_SAMPLES)
        return int((np.maximum(np.diff(starts), 0) * pieces).sum())

    def _edited(self, timescale: int, most: int) -> int:
        """The entries that edits list anew: the samples in each, from the key frame before to the second one after."""
        table, times = self._tables.get(b"elst"), self._tables.get(b"stts")
        count = table.number(4) if table else 0
        if table is None or times is None or count < 2 or not self.samples():
            return 0
        edits = _rows(table, 8, count, _LONG_EDIT if table.number(0, 1) == 1 else _EDIT, most)
        runs = _rows(times, 8, times.number(4), _RUN, most)
        scale = self._timescale() / max(1, timescale)
        start = np.maximum(edits["start"].astype(np.float64), 0)
        inside = _samples_until(runs, start + edits["duration"] * scale) - _samples_until(runs, start)
        listed = np.minimum(inside + 2 + 3 * self._key_frame_gap(most), self.samples()).sum()
        return int(listed) + len(edits) * self.samples() // _STEPS

    def _timescale(self) -> int:
        header = self._tables.get(b"mdhd")
        return timescale_of(header) if header else 1

    def _key_frame_gap(self, most: int) -> int:
        """The samples from one key frame to the next, where they are most."""
        table = self._tables.get(b"stss")
        if table is None:
            return 1
        numbers = _rows(table, 8, table.number(4), _NUMBER, most).astype(np.int64)
        return int(np.diff(np.sort(numbers), prepend=1, append=self.samples()).max())


def timescale_of(header: Box) -> int:
    """The units a second of an "mvhd" or "mdhd"."""
    return header.number(20 if header.number(0, 1) == 1 else 12)


def _one_run(times: Box) -> bool:
    """Whether each sample lasts one unit, as those of sound without packets do."""
    return (times.number(4), times.number(12)) == (1, 1)


def _samples_until(runs: NDArray[Any], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many samples begin before each of `ends`, in units of the track, by its runs of equally long samples."""
    counts, deltas = runs["count"].astype(np.float64), runs["delta"].astype(np.float64)
    times = np.append(0, np.cumsum(counts * deltas))  # (runs + 1,) where each run begins
    numbers = np.append(0, np.cumsum(counts))
    at = np.searchsorted(times, ends, side="left") - 1  # the run that each end lies in
    inside = (ends - times[at]) / np.maximum(np.append(deltas, 1)[at], 1)
    return np.asarray(np.where(at < 0, 0, np.minimum(numbers[at] + inside, numbers[-1])))


def _rows(box: Box, offset: int, count: int, row: np.dtype[Any], most: int) -> NDArray[Any]:
    """The rows of a table from `offset` on, as many as it holds of `count`, and of `most` + 1."""
    count = min(count, most + 1, max(0, box.end - box.start - offset) // row.itemsize)
    data = box.content(offset, count * row.itemsize)
    return np.frombuffer(data[: len(data) // row.itemsize * row.itemsize], row)
