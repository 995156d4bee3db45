"""The part of a download that is already here, kept between attempts beside the place of the whole file."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lipsync_core.errors import DiskFullError, ModelError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class PartialFile:
    """`NAME.partial`, and in `NAME.partial.etag` the server's tag of the version that it is a part of."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.partial")
        self._tag = target.with_name(f"{target.name}.partial.etag")
        self._target = target

    @property
    def size_bytes(self) -> int:
        """Bytes that are here; 0 where there is no file."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def etag(self) -> str:
        """The strong tag that the server gave the version; empty where it gave none."""
        return self._tag.read_text(encoding="latin-1") if self._tag.exists() else ""

    def begin(self, etag: str) -> None:
        """Start again from nothing, with the version tagged `etag`. Raises what `append` raises."""
        with self._disk_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.discard()
            if etag:
                self._tag.write_text(etag, encoding="latin-1")  # what HTTP headers are written in
            self.path.touch()

    def append(self, blocks: Iterator[bytes]) -> Iterator[int]:
        """Write `blocks` behind what is here and yield the size after each.

        Raises:
            DiskFullError: there is no room left; what fitted stays.
            ModelError: the file cannot be written.
        """
        with self._disk_errors():
            file = self.path.open("ab")
        with file:
            for block in blocks:
                with self._disk_errors():
                    file.write(block)
                    file.flush()
                yield file.tell()

    def finish(self) -> None:
        """Give the whole file its name, in one step. Raises what `append` raises."""
        with self._disk_errors():
            self.path.replace(self._target)
            self._tag.unlink(missing_ok=True)

    def discard(self) -> None:
        """Forget what is here."""
        self.path.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            if exc.errno in _FULL:
                raise DiskFullError(
                    f"there is no room for {self.path}", "free some space and run the command again: it goes on"
                ) from exc
            raise ModelError(f"{self.path} cannot be written: {exc.strerror}", "choose another model folder") from exc
