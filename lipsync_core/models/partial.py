"""The partial file of a download, kept between attempts beside the target."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lipsync_core.errors import DiskFullError, ModelError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class PartialFile:
    """`NAME.partial`, the received part of a file, and `NAME.partial.etag`, the server's tag of the file's version."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.partial")
        self._tag = target.with_name(f"{target.name}.partial.etag")
        self._target = target

    @property
    def size_bytes(self) -> int:
        """Bytes received so far; 0 if there is no file."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def etag(self) -> str:
        """The strong tag that the server gave the version; empty if it gave none."""
        return self._tag.read_text(encoding="latin-1") if self._tag.exists() else ""

    def begin(self, etag: str) -> None:
        """Start again from nothing, with the version tagged `etag`; raises as `append`."""
        with self._disk_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.discard()
            if etag:
                self._tag.write_text(etag, encoding="latin-1")  # the encoding of HTTP headers
            self.path.touch()

    def append(self, blocks: Iterator[bytes]) -> Iterator[int]:
        """Append `blocks` to the file, and yield its size after each.

        Raises:
            DiskFullError: there is no room left; the bytes that fitted are kept.
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
        """Give the whole file its final name, in one step; raises as `append`."""
        with self._disk_errors():
            self.path.replace(self._target)
            self._tag.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the received part and its tag."""
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
