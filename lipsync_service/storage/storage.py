"""Where the service's files come from and go to: S3, web servers and folders behind one face.

with storage.fetch("s3://inputs/face.mp4") as video, storage.fetch("https://example.com/speech.wav") as audio:
    ...  # video.path and audio.path stay on this host for the block
storage.put(Path("out.mp4"), "https://bucket.example.com/out.mp4?X-Amz-Signature=...")
"""

import dataclasses
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from io import BufferedReader
from pathlib import Path

from lipsync_core.report import Progress, ProgressCallback
from lipsync_service.errors import ObjectMissingError, UrlRefusedError
from lipsync_service.settings import Settings
from lipsync_service.storage.address import AddressGuard, Resolve
from lipsync_service.storage.cache import DownloadCache
from lipsync_service.storage.download import Downloader
from lipsync_service.storage.file import FileStore
from lipsync_service.storage.http import HttpStore
from lipsync_service.storage.http_client import HttpClient
from lipsync_service.storage.source import Digest, Source, SourceVersion, Store
from lipsync_service.storage.url import Location, parse_url, shown_url

__all__ = ["Storage", "StoredFile", "shown_url"]


@dataclasses.dataclass(frozen=True, slots=True)
class StoredFile:
    """A file on this host, leased from its cache: read it, do not change it."""

    path: Path
    sha256: str  # 64 lower-case hex digits
    size_bytes: int
    url_shown: str  # where it came from, without what gives access


def _ignore(progress: Progress) -> None:
    """Nobody watches."""


def _has_digest(file: BufferedReader, digest: Digest) -> bool:
    file.seek(0)
    return hashlib.file_digest(file, digest.algorithm).hexdigest() == digest.hex_digits


class Storage:
    """Fetches and puts files by address, within the limits of the settings. Safe between threads and processes."""

    def __init__(self, settings: Settings, resolve: Resolve | None = None) -> None:
        self._settings = settings
        self._resolve = resolve
        self._cache = DownloadCache(settings.cache_dir, settings.cache_cap_bytes)
        self._inputs = Downloader(settings.max_input_bytes, settings.download_connections)
        self._results = Downloader(None, settings.download_connections)

    @contextmanager
    def fetch(self, url: str, progress: ProgressCallback = _ignore) -> Iterator[StoredFile]:
        """The file at `url`, on this host for the block; brought only if this version of it is not here already.

        Progress counts bytes, under the name `fetch`.

        Raises:
            UrlRefusedError: the address is malformed, or jobs may not read there.
            ObjectMissingError, AccessDeniedError, StorageError: the server does not give it.
            TooLargeError: it has more bytes than the settings allow.
            ChecksumError: what came is not what its owner stored.
            OutputError: the cache cannot be written, or its disk is full (DiskFullError).
            TransientError: it cannot be fetched now; what came is kept for the next attempt.
        """
        with self._fetched(url, self._inputs, progress) as file:
            yield file

    @contextmanager
    def fetch_shared(self, url: str) -> Iterator[StoredFile]:
        """As `fetch`, of what the service itself has made, which may be larger than an input."""
        with self._fetched(url, self._results, _ignore) as file:
            yield file

    def put(self, path: Path, url: str, progress: ProgressCallback = _ignore) -> None:
        """Copy the file `path` to `url`: s3://, file:// or an address presigned for PUT. Whole or not at all.

        Progress counts bytes, under the name `put`.

        Raises:
            UrlRefusedError: the address is malformed, or jobs may not write there.
            AccessDeniedError, StorageError, OutputError: it is not taken.
            TransientError: it is not taken now.
        """
        location = parse_url(url)
        size_bytes = path.stat().st_size
        progress(Progress("put", 0, size_bytes))
        self._store(location).put(path, location, lambda sent: progress(Progress("put", sent, size_bytes)))
        progress(Progress("put", size_bytes, size_bytes))

    def check_target(self, url: str) -> None:
        """Make sure that jobs may `put` to `url`, before the work that it would be for.

        Raises:
            UrlRefusedError: the address is malformed, or jobs may not write there.
            ObjectMissingError, TransientError: there is no such host, or it cannot be looked up now.
        """
        location = parse_url(url)
        self._store(location).check_target(location)

    def exists(self, url: str) -> bool:
        """Whether there is a file at `url`. Raises as `fetch`, except for a file that is missing."""
        location = parse_url(url)
        return self._store(location).exists(location)

    def holds(self, path: Path, url: str) -> bool:
        """Whether `url` is known to have the content of the file `path`, as far as its server tells without sending it.

        Raises as `fetch`, except for a file that is missing there.
        """
        location = parse_url(url)
        try:
            version = self._store(location).source(location).version()
        except ObjectMissingError:
            return False
        if version.size_bytes != path.stat().st_size or not version.digests:
            return False
        with path.open("rb") as file:
            return all(_has_digest(file, digest) for digest in version.digests)

    def discard(self, url: str) -> None:
        """Remove the file at `url`, which this service has put there; one that is gone already is no failure.

        Raises:
            UrlRefusedError: it is not in the service's own storage.
            StorageError, TransientError: it cannot be removed, or not now.
        """
        location = parse_url(url)
        if not url.startswith(f"{self._settings.storage_url}/"):
            message = f"{location.shown} is not in the storage of this service"
            raise UrlRefusedError(message, "remove only what the service has made")
        self._store(location).discard(location)

    @contextmanager
    def _fetched(self, url: str, downloader: Downloader, progress: ProgressCallback) -> Iterator[StoredFile]:
        location = parse_url(url)
        source = self._store(location).source(location)
        version = source.version()
        downloader.check_size(source, version.size_bytes)
        with self._leased(source, version, downloader, progress) as file:
            yield file

    @contextmanager
    def _leased(
        self, source: Source, version: SourceVersion, downloader: Downloader, progress: ProgressCallback
    ) -> Iterator[StoredFile]:
        key = hashlib.sha256(f"{source.location.identity}\n{version.validator}".encode()).hexdigest()
        with ExitStack() as lease:
            path = self._cached(key, lease)
            if path is None:
                with self._cache.arriving(key) as place:
                    path = self._cached(key, lease)  # another process may have brought it while this one waited
                    if path is None:
                        sha256 = downloader.fetch(source, version, place, progress)
                        path = lease.enter_context(self._cache.admit(place, sha256))
                        if version.validator:
                            self._cache.remember(key, sha256)
            yield StoredFile(path, path.name, path.stat().st_size, source.location.shown)

    def _cached(self, key: str, lease: ExitStack) -> Path | None:
        sha256 = self._cache.remembered(key)
        return None if sha256 is None else lease.enter_context(self._cache.lease(sha256))

    def _store(self, location: Location) -> Store:
        if location.scheme == "s3":
            return self._s3
        return self._files if location.scheme == "file" else self._web

    @cached_property
    def _s3(self) -> Store:
        from lipsync_service.storage.s3 import S3Store  # boto3 takes a while to import, and not every host needs it

        return S3Store(self._settings)

    @cached_property
    def _web(self) -> Store:
        return HttpStore(HttpClient(AddressGuard(self._settings.http_allowed_hosts, self._resolve)))

    @cached_property
    def _files(self) -> Store:
        storage = parse_url(f"{self._settings.storage_url}/contents")
        own = (Path(storage.path).parent,) if storage.scheme == "file" else ()
        return FileStore((*self._settings.file_roots, *own))
