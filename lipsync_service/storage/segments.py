"""A file that arrives in pieces, in any order, and remembers across processes which pieces are here."""

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
    """`path`, written piece by piece; `path`.done says of which version, and lists the pieces that are whole.

    A piece is listed after the disk has it, so that what is listed can be trusted even after a power cut.
    """

    path: Path
    size_bytes: int
    validator: str  # of the version that the pieces belong to
    segment_bytes: int

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All pieces, in order."""
        starts = range(0, self.size_bytes, self.segment_bytes)
        ends = (min(start + self.segment_bytes, self.size_bytes) for start in starts)
        return tuple(Segment(index, start, end) for index, (start, end) in enumerate(zip(starts, ends, strict=True)))

    def missing(self) -> tuple[Segment, ...]:
        """The pieces that are not here. Pieces of another version do not count: everything is then started anew."""
        lines = self._journal.read_text(encoding="utf-8").splitlines() if self._journal.exists() else []
        if not lines or lines[0] != self._header or not self.path.exists():
            with output_errors(self.path):
                self._journal.write_text(f"{self._header}\n", encoding="utf-8")
            return self.segments
        done = {int(line) for line in lines[1:] if line.isdecimal()}
        return tuple(each for each in self.segments if each.index not in done)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor to write pieces with; the file keeps what it holds."""
        with output_errors(self.path):
            handle = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644)
        try:
            yield handle
        finally:
            os.close(handle)

    def write(self, handle: int, block: bytes, position: int) -> None:
        """Put `block` at `position`. Raises DiskFullError where there is no room."""
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
                journal.write(f"{segment.index}\n")  # less than a block: appended in one step

    def discard(self) -> None:
        """Forget what is here; the file itself stays, empty, because its name may be locked."""
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
    """Where it is noted which pieces of `path` are here."""
    return path.with_name(f"{path.name}.done")


def forget_segments(path: Path) -> None:
    """Nothing of what `path` holds counts any longer, or it is whole and needs no list."""
    journal_of(path).unlink(missing_ok=True)
