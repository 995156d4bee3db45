"""The contract of a store of files: S3, web servers and folders implement it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lipsync_core.errors import TransientError
from lipsync_service.storage.url import Location

#: A callback that takes the number of bytes sent so far.
Sent = Callable[[int], None]
#: Asks, at the last moment before a file gets its name, whether the writer may still write; raises where it may not.
MayWrite = Callable[[], None]
#: The size of one read.
BLOCK_BYTES = 1 << 17


class SourceChangedError(TransientError):
    """The file was replaced while it was being read; another attempt reads the new one."""


class TargetChangedError(TransientError):
    """Another file came to the address while this one was on its way there, and stays."""


@dataclass(frozen=True, slots=True)
class Digest:
    """A checksum that the file's uploader or its server gives."""

    algorithm: str  # a name that hashlib knows
    hex_digits: str


@dataclass(frozen=True, slots=True)
class SourceVersion:
    """A file as its server describes it now."""

    size_bytes: int | None  # None: the server does not state it
    validator: str  # changes with the content; empty: the server gives none
    takes_ranges: bool  # the server can send parts of this very version
    digests: tuple[Digest, ...] = ()


class Source(Protocol):
    """One file of a store."""

    @property
    def location(self) -> Location:
        """The file's address."""

    def version(self) -> SourceVersion:
        """Ask the store for the file's present version.

        Raises:
            StorageError: there is no such file, or it may not be read.
            TransientError: the store does not answer now.
        """

    def blocks(self, version: SourceVersion, start: int, end: int | None) -> Iterator[bytes]:
        """Bytes `start` to `end` (None: the last one). A server may give fewer or more: the caller must count them.

        Raises:
            SourceChangedError: the store has another version now.
            StorageError, TransientError: as `version`.
        """


class Store(Protocol):
    """The files behind addresses of one scheme."""

    def source(self, location: Location) -> Source:
        """The file at `location`; raises UrlRefusedError if jobs may not read it."""

    def exists(self, location: Location) -> bool:
        """Whether there is a file at `location`; raises as `Source.version`, but not for a missing file."""

    def check_target(self, location: Location) -> None:
        """Raise UrlRefusedError if jobs may not write to `location`; nothing is written."""

    def discard(self, location: Location) -> None:
        """Remove the file at `location`, if there is one; raises as `put`."""

    def put(self, path: Path, location: Location, sent: Sent, may_write: MayWrite | None = None) -> None:
        """Copy the file `path` to `location`: whole, or not at all.

        Where the store can, it refuses the file if another one has come to `location` since `may_write` was asked.

        Raises:
            TargetChangedError: so it is; another attempt asks `may_write` again.
            StorageError: the store does not accept the file.
            TransientError: the store cannot be written now.
        """
