"""What a place that files come from offers, whatever it is: S3, a web server, a folder."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lipsync_core.errors import TransientError
from lipsync_service.storage.url import Location

#: Told how many bytes have been sent, whenever that is known.
Sent = Callable[[int], None]
#: What is read at once.
BLOCK_BYTES = 1 << 17


class SourceChangedError(TransientError):
    """The file was replaced while it was being read: a new start gives the new one."""


@dataclass(frozen=True, slots=True)
class Digest:
    """A checksum that the file's owner or its server gives."""

    algorithm: str  # a name that hashlib knows
    hex_digits: str


@dataclass(frozen=True, slots=True)
class SourceVersion:
    """A file as its server describes it now."""

    size_bytes: int | None  # None: the server does not say
    validator: str  # changes with the content; empty: the server says nothing of that kind
    takes_ranges: bool  # parts of this very version can be asked for
    digests: tuple[Digest, ...] = ()


class Source(Protocol):
    """One file somewhere."""

    @property
    def location(self) -> Location:
        """Where it is."""

    def version(self) -> SourceVersion:
        """Ask what is there.

        Raises:
            StorageError: nothing, or nothing that may be read.
            TransientError: it cannot be said now.
        """

    def blocks(self, version: SourceVersion, start: int, end: int | None) -> Iterator[bytes]:
        """Bytes `start` to `end` (None: the last one). A server may give fewer, or more: whoever reads counts them.

        Raises:
            SourceChangedError: another version is there by now.
            StorageError, TransientError: as `version`.
        """


class Store(Protocol):
    """Everything that addresses of one kind lead to."""

    def source(self, location: Location) -> Source:
        """The file at `location`; raises UrlRefusedError where jobs may not read there."""

    def exists(self, location: Location) -> bool:
        """Whether there is a file. Raises as `Source.version`, except for a file that is missing."""

    def check_target(self, location: Location) -> None:
        """Make sure that jobs may write to `location`, without writing; raises UrlRefusedError where they may not."""

    def discard(self, location: Location) -> None:
        """Remove the file at `location`, if there is one. Raises as `put`."""

    def put(self, path: Path, location: Location, sent: Sent) -> None:
        """Copy the file `path` to `location`: whole, or not at all.

        Raises:
            StorageError: it may not be written there.
            TransientError: it cannot be written now.
        """
