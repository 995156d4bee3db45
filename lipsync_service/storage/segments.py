"""A file that is written in segments, in any order, with a list of the finished segments that outlives the process."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lipsync_core.media.output import output_errors


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes `start` to `end` of a file."""

    index: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SegmentedFile:
    """`path`, written segment by segment; `path`.done names the version and lists the finished segments.

    A segment is listed only after it is on the disk, so the list is right even after a power cut.
    """

    path: Path
    size_bytes: int
    validator: str  # of the segments' version
    segment_bytes: int

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments, in order."""
        starts = range(0, self.size_bytes, self.segment_bytes)
        ends = (min(start + self.segment_bytes, self.size_bytes) for start in starts)
        return tuple(Segment(index, start, end) for index, (start, end) in enumerate(zip(starts, ends, strict=True)))

    def missing(self) -> tuple[Segment, ...]:
        """The segments that are not written. If those on the disk are of another version, all count as missing."""
        lines = self._journal.read_text(encoding="utf-8").splitlines() if self._journal.exists() else []
        if not lines or lines[0] != self._header or not self.path.exists():
            with output_errors(self.path):
                self._journal.write_text(f"{self._header}\n", encoding="utf-8")
            return self.segments
        done = {int(line) for line in lines[1:] if line.isdecimal()}
        return tuple(each for each in self.segments if each.index not in done)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor for writing segments; the file keeps its content."""
        with output_errors(self.path):
            handle = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644)
        try:
            yield handle
        finally:
            os.close(handle)

    def write(self, handle: int, block: bytes, position: int) -> None:
        """Write `block` at `position`; raises DiskFullError if the disk is full."""
        left = memoryview(block)
        with output_errors(self.path):
            while left:
                written = os.pwrite(handle, left, position)
                left, position = left[written:], position + written

    def complete(self, handle: int, segment: Segment) -> None:
        """Note that the whole of `segment` has been written."""
        with output_errors(self.path):
            os.fsync(handle)
            with self._journal.open("a", encoding="utf-8") as journal:
                journal.write(f"{segment.index}\n")  # shorter than a disk block, so appended in one step

    def discard(self) -> None:
        """Discard all segments; the file itself stays, empty, because it may be locked."""
        forget_segments(self.path)
        if self.path.exists():
            os.truncate(self.path, 0)

    @property
    def _journal(self) -> Path:
        return journal_of(self.path)

    @property
    def _header(self) -> str:
        return json.dumps([self.size_bytes, self.validator, self.segment_bytes])


def journal_of(path: Path) -> Path:
    """The file that lists the finished segments of `path`."""
    return path.with_name(f"{path.name}.done")


def forget_segments(path: Path) -> None:
    """Remove the list of segments: `path` is whole, or its content no longer counts."""
    journal_of(path).unlink(missing_ok=True)
