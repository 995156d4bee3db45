"""Downloads a file from any source: in parallel segments if possible, resumed, limited in size and checked."""

import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from lipsync_core.errors import DiskFullError, TransientError
from lipsync_core.report import Progress, ProgressCallback
from lipsync_service.errors import ChecksumError, TooLargeError, TooSlowError
from lipsync_service.storage.segments import Segment, SegmentedFile, forget_segments
from lipsync_service.storage.source import Source, SourceChangedError, SourceVersion
from lipsync_service.storage.url import Location

#: Pauses between attempts that bring no byte; an attempt that brings some starts the count again.
PAUSES_S = (0.5, 1.0, 2.0, 4.0)
SEGMENT_BYTES = 8 << 20
#: Of one file, with all attempts; less than the limit of the stage that waits for it (30 minutes).
LIMIT_S = 1500.0

_READ_BYTES = 1 << 20
_logger = logging.getLogger(__name__)


class Downloader:
    """Fetches files within a size limit, over several connections."""

    def __init__(
        self,
        max_bytes: int | None,
        connections: int,
        pauses_s: Sequence[float] = PAUSES_S,
        segment_bytes: int = SEGMENT_BYTES,
        limit_s: float = LIMIT_S,
    ) -> None:
        """`limit_s` bounds one fetch with all its attempts: each that brings a byte begins the pauses anew."""
        self._limit_s = limit_s
        self._max_bytes = max_bytes
        self._connections = connections
        self._pauses_s = tuple(pauses_s)
        self._segment_bytes = segment_bytes

    def check_size(self, source: Source, size_bytes: int | None) -> None:
        """Raise TooLargeError if the size, as far as it is known, is above the limit."""
        if size_bytes is not None and self._max_bytes is not None and size_bytes > self._max_bytes:
            shown = source.location.shown
            raise TooLargeError(f"{shown} has more than {self._max_bytes} bytes", "give a smaller file")

    def fetch(self, source: Source, version: SourceVersion, target: Path, progress: ProgressCallback) -> str:
        """Write the whole file to `target` and return its sha256 in hex; after a failure the bytes so far stay there.

        Only one caller at a time may fetch to the same target.

        Raises:
            TooLargeError: the file has more bytes than the limit, even if the server announced fewer.
            ChecksumError: the bytes do not have the stored checksum.
            DiskFullError: the disk has no room for the file.
            StorageError: as the source.
            TooSlowError: the fetch takes longer than `limit_s`.
            TransientError: the connection failed once more often than there are pauses.
        """
        self.check_size(source, version.size_bytes)
        _check_room(target, version.size_bytes or 0)
        limited = _Limited(source, time.monotonic() + self._limit_s)
        if version.takes_ranges and version.size_bytes:
            file = SegmentedFile(target, version.size_bytes, version.validator, self._segment_bytes)
            _ParallelFetch(limited, version, file, self._pauses_s, progress).run(self._connections)
        else:
            self._fetch_in_one(limited, version, target, progress)
        sha256 = _checked(source, version, target)
        forget_segments(target)
        return sha256

    def _fetch_in_one(self, source: Source, version: SourceVersion, target: Path, progress: ProgressCallback) -> None:
        file = SegmentedFile(target, version.size_bytes or 0, version.validator, self._segment_bytes)
        failures = 0
        while True:
            file.discard()
            try:
                self._stream(source, version, file, progress)
            except SourceChangedError:
                raise
            except TransientError as exc:
                failures += 1
                if failures > len(self._pauses_s):
                    raise
                _logger.info("trying again: %s", exc)
                threading.Event().wait(self._pauses_s[failures - 1])
            else:
                return

    def _stream(self, source: Source, version: SourceVersion, file: SegmentedFile, progress: ProgressCallback) -> None:
        done_bytes = 0
        blocks = () if version.size_bytes == 0 else source.blocks(version, 0, None)  # no range is empty
        with file.opened() as handle:
            for block in blocks:
                self.check_size(source, done_bytes + len(block))
                file.write(handle, block, done_bytes)
                done_bytes += len(block)
                progress(Progress("fetch", done_bytes, version.size_bytes))
            os.fsync(handle)
        _check_end(source, done_bytes, version.size_bytes)


@dataclass(frozen=True, slots=True)
class _Limited:
    """A source whose bytes must all come before a moment."""

    source: Source
    end_s: float  # of time.monotonic()

    @property
    def location(self) -> Location:
        """The file's address."""
        return self.source.location

    def version(self) -> SourceVersion:
        """As the source's."""
        return self.source.version()

    def blocks(self, version: SourceVersion, start: int, end: int | None) -> Iterator[bytes]:
        """As the source's; raises TooSlowError after the moment."""
        for block in self.source.blocks(version, start, end):
            yield block
            if time.monotonic() > self.end_s:
                raise TooSlowError(f"{self.location.shown}: the server takes too long", "use a faster server")


class _ParallelFetch:
    """Fetches one file over several connections; the first that fails for good stops the others."""

    def __init__(
        self,
        source: Source,
        version: SourceVersion,
        file: SegmentedFile,
        pauses_s: Sequence[float],
        progress: ProgressCallback,
    ) -> None:
        self._source = source
        self._version = version
        self._file = file
        self._pauses_s = pauses_s
        self._progress = progress
        self._stopped = threading.Event()

    def run(self, connections: int) -> None:
        """Fetch the missing segments over at most `connections` connections; the first failure stops all of them."""
        missing = self._file.missing()
        left_bytes = sum(each.end - each.start for each in missing)
        with self._file.opened() as handle, ThreadPoolExecutor(connections, "fetch") as pool:
            futures = {pool.submit(self._fetch, handle, each): each for each in missing}
            try:
                for future in as_completed(futures):
                    future.result()
                    left_bytes -= futures[future].end - futures[future].start
                    self._progress(Progress("fetch", self._file.size_bytes - left_bytes, self._file.size_bytes))
            except BaseException:
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _fetch(self, handle: int, segment: Segment) -> None:
        """Fetch one segment, resuming where a connection broke."""
        position, failures = segment.start, 0
        while position < segment.end and not self._stopped.is_set():
            begin = position
            try:
                for block in self._blocks(position, segment.end):
                    self._file.write(handle, block, position)
                    position += len(block)
                _check_end(self._source, position, segment.end)
            except SourceChangedError:
                raise
            except TransientError as exc:
                failures = 0 if position > begin else failures + 1
                if failures > len(self._pauses_s):
                    raise
                _logger.info("trying again: %s", exc)
                self._stopped.wait(self._pauses_s[max(0, failures - 1)] if self._pauses_s else 0.0)
        if position == segment.end:
            self._file.complete(handle, segment)

    def _blocks(self, start: int, end: int) -> Iterator[bytes]:
        """The source's blocks, cut at `end` even if it gives more; none after the download was stopped."""
        for block in self._source.blocks(self._version, start, end):
            if self._stopped.is_set():
                return
            yield block[: end - start]
            start += len(block)
            if start >= end:
                return


def _check_end(source: Source, done_bytes: int, size_bytes: int | None) -> None:
    if size_bytes is not None and done_bytes != size_bytes:
        message = f"{source.location.shown}: the connection ended after {done_bytes} of {size_bytes} bytes"
        raise TransientError(message, "try again")


def _check_room(target: Path, size_bytes: int) -> None:
    present_bytes = target.stat().st_blocks * 512 if target.exists() else 0
    free_bytes = shutil.disk_usage(target.parent).free + present_bytes
    if free_bytes < size_bytes:
        message = f"{target.parent} has room for {free_bytes} bytes, and the file has {size_bytes}"
        raise DiskFullError(message, "free some space, or name another folder in LIPSYNC_CACHE_DIR")


def _checked(source: Source, version: SourceVersion, target: Path) -> str:
    """The sha256 of `target`, after a comparison with every known checksum."""
    sums = {each.algorithm: hashlib.new(each.algorithm, usedforsecurity=False) for each in version.digests}
    sums.setdefault("sha256", hashlib.sha256())
    with target.open("rb") as file:
        while block := file.read(_READ_BYTES):
            for each in sums.values():
                each.update(block)
    for digest in version.digests:
        if sums[digest.algorithm].hexdigest() != digest.hex_digits:
            SegmentedFile(target, 0, "", SEGMENT_BYTES).discard()  # the wrong part is not known
            message = f"{source.location.shown} does not have the {digest.algorithm} that is stored with it"
            raise ChecksumError(message, "upload the file again")
    return sums["sha256"].hexdigest()
