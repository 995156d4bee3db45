"""The service's files in S3, on web servers and in folders, through one interface.

`fetch`, `put` and `check_target` take the addresses of a request, within the reach of its job. The methods with `own`
or `shared` in their names take addresses that the service itself has made.

with storage.fetch("s3://inputs/face.mp4") as video, storage.fetch("https://example.com/speech.wav") as audio:
    ...  # video.path and audio.path stay on this host for the block
storage.put(Path("out.mp4"), "https://bucket.example.com/out.mp4?X-Amz-Signature=...")
"""

import dataclasses
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from io import BufferedReader
from pathlib import Path

from lipsync_core.report import Progress, ProgressCallback
from lipsync_core.shown_text import shown_url
from lipsync_service.errors import ObjectMissingError, UrlRefusedError
from lipsync_service.settings import Settings
from lipsync_service.storage.address import AddressGuard, Resolve
from lipsync_service.storage.cache import DownloadCache
from lipsync_service.storage.download import Downloader
from lipsync_service.storage.file import FileStore
from lipsync_service.storage.http import HttpStore
from lipsync_service.storage.http_client import HttpClient
from lipsync_service.storage.reach import Reach
from lipsync_service.storage.shelf import Shelf, shelf_of
from lipsync_service.storage.source import Digest, MayWrite, Source, SourceVersion, Store
from lipsync_service.storage.url import Location, parse_url
from lipsync_service.storage.use import take

__all__ = ["Storage", "StoredFile"]


@dataclasses.dataclass(frozen=True, slots=True)
class StoredFile:
    """A file on this host, leased from its cache; it must not be changed."""

    path: Path
    sha256: str  # 64 lower-case hex digits
    size_bytes: int
    url_shown: str  # its address, without credentials and signatures


def _ignore(progress: Progress) -> None:
    """The default callback: shows nothing."""


def _has_digest(file: BufferedReader, digest: Digest) -> bool:
    file.seek(0)
    return hashlib.file_digest(file, digest.algorithm).hexdigest() == digest.hex_digits


class Storage:
    """Fetches and puts files by address, within the limits of the settings. Threads and processes may share it."""

    def __init__(self, settings: Settings, resolve: Resolve | None = None, reach: Reach | None = None) -> None:
        """`reach` is that of the job whose addresses are used; by default that of a service without tenants.

        Raises:
            OptionError: as `Reach`.
        """
        self._settings = settings
        self._reach = reach or Reach(settings)
        self._resolve = resolve
        self._cache = DownloadCache(settings.cache_dir, settings.cache_cap_bytes)
        limited = partial(Downloader, connections=settings.download_connections, limit_s=settings.max_transfer_s)
        self._inputs, self._results = limited(settings.max_input_bytes), limited(None)

    @contextmanager
    def fetch(self, url: str, progress: ProgressCallback = _ignore) -> Iterator[StoredFile]:
        """The file at `url`, on this host for the block; downloaded only if the cache lacks this version of it.

        Progress counts bytes, under the name `fetch`.

        Raises:
            UrlRefusedError: the address is malformed, or jobs may not read it.
            ObjectMissingError, AccessDeniedError, StorageError: the server refuses.
            TooLargeError: the file has more bytes than the settings allow.
            ChecksumError: the bytes do not have the stored checksum.
            OutputError: the cache cannot be written, or its disk is full (DiskFullError).
            TransientError: the file cannot be fetched now; the bytes so far are kept for the next attempt.
        """
        location = parse_url(url)
        store = self._job_store(location, url, is_written=False)
        with self._fetched(location, store, self._inputs, progress) as file:
            yield file

    @contextmanager
    def fetch_shared(self, url: str, progress: ProgressCallback = _ignore) -> Iterator[StoredFile]:
        """As `fetch`, for a file that the service itself has made: it may be larger than an input."""
        location = parse_url(url)
        with self._fetched(location, self._own_store(location), self._results, progress) as file:
            yield file

    def read_shared(self, url: str, limit_bytes: int) -> bytes:
        """The content of a small file that the service itself has made, read without a copy on this host.

        Raises:
            TooLargeError: it has more than `limit_bytes`.
            StorageError, TransientError: as `fetch`.
        """
        location = parse_url(url)
        source = self._own_store(location).source(location)
        version = source.version()
        Downloader(limit_bytes, 1).check_size(source, version.size_bytes)
        return b"".join(source.blocks(version, 0, None)) if version.size_bytes else b""

    def put(
        self, path: Path, url: str, progress: ProgressCallback = _ignore, may_write: MayWrite | None = None
    ) -> None:
        """Copy the file `path`, whole or not at all, to `url`: s3://, file:// or an address presigned for PUT.

        Progress counts bytes, under the name `put`. `may_write` is asked at the last moment and raises where the file
        must not be written any more; on S3, a file that comes to `url` after that moment is not replaced either.

        Raises:
            UrlRefusedError: the address is malformed, or jobs may not write there.
            AccessDeniedError, StorageError, OutputError: the file is refused.
            TransientError: the file cannot be written now.
        """
        location = parse_url(url)
        self._put(path, location, self._job_store(location, url, is_written=True), progress, may_write)

    def put_shared(self, path: Path, url: str, progress: ProgressCallback = _ignore) -> None:
        """As `put`, to an address in the service's own storage."""
        location = parse_url(url)
        self._put(path, location, self._own_store(location), progress)

    def check_target(self, url: str) -> None:
        """Check that jobs may `put` to `url`, before any work for it begins.

        Raises:
            UrlRefusedError: the address is malformed, or jobs may not write there.
            ObjectMissingError: there is no such host.
            TransientError: the host cannot be looked up now.
        """
        location = parse_url(url)
        self._job_store(location, url, is_written=True).check_target(location)

    def exists(self, url: str) -> bool:
        """Whether there is a file at `url`; raises as `fetch`, but not for a missing file."""
        location = parse_url(url)
        return self._any_store(location, url).exists(location)

    def take(self, url: str) -> bool:
        """Whether there is a file at `url`, in the service's own storage; if so it stays for the caller's job.

        `lipsync gc` removes files that nobody has used for long: whoever is about to use one that others made asks
        here, and not `exists`.

        Raises:
            UrlRefusedError: the address is not in the service's own storage.
            StorageError, TransientError: as `fetch`.
        """
        self._require_own(url)
        return take(self._shelf, url.removeprefix(f"{self._settings.storage_url}/"))

    def holds(self, path: Path, url: str) -> bool:
        """Whether the size and checksums of the file at `url` match the file `path`; False if no checksum is known.

        The content is not downloaded. Raises as `fetch`, but not for a missing file.
        """
        location = parse_url(url)
        try:
            version = self._any_store(location, url).source(location).version()
        except ObjectMissingError:
            return False
        if version.size_bytes != path.stat().st_size or not version.digests:
            return False
        with path.open("rb") as file:
            return all(_has_digest(file, digest) for digest in version.digests)

    def discard(self, url: str) -> None:
        """Remove the file at `url`, which the service itself has put there; a missing file is no failure.

        Raises:
            UrlRefusedError: the address is not in the service's own storage.
            StorageError: the file cannot be removed.
            TransientError: the file cannot be removed now.
        """
        self._require_own(url)
        location = parse_url(url)
        self._own_store(location).discard(location)

    def _require_own(self, url: str) -> None:
        if not self._is_own(url):
            message = f"{shown_url(url)} is not in the storage of this service"
            raise UrlRefusedError(message, "name only files that the service has made")

    @contextmanager
    def _fetched(
        self, location: Location, store: Store, downloader: Downloader, progress: ProgressCallback
    ) -> Iterator[StoredFile]:
        source = store.source(location)
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
                with self._cache.arriving(key) as partial:
                    path = self._cached(key, lease)  # another process may have fetched it while this one waited
                    if path is None:
                        sha256 = downloader.fetch(source, version, partial, progress)
                        path = lease.enter_context(self._cache.admit(partial, sha256))
                        if version.validator:
                            self._cache.remember(key, sha256)
            yield StoredFile(path, path.name, path.stat().st_size, source.location.shown)

    def _cached(self, key: str, lease: ExitStack) -> Path | None:
        sha256 = self._cache.remembered(key)
        return None if sha256 is None else lease.enter_context(self._cache.lease(sha256))

    def _put(
        self,
        path: Path,
        location: Location,
        store: Store,
        progress: ProgressCallback,
        may_write: MayWrite | None = None,
    ) -> None:
        size_bytes = path.stat().st_size
        progress(Progress("put", 0, size_bytes))
        store.put(path, location, lambda sent: progress(Progress("put", sent, size_bytes)), may_write)
        progress(Progress("put", size_bytes, size_bytes))

    def _job_store(self, location: Location, url: str, *, is_written: bool) -> Store:
        """The store of a request's address; raises UrlRefusedError where its job may not use that."""
        if self._reach.is_own(url, is_written=is_written):
            return self._own_store(location)
        self._reach.check(location, is_written=is_written)
        return self._store(location, self._files)

    def _any_store(self, location: Location, url: str) -> Store:
        """The store of an address that the service has made, or of a request's, for reading."""
        return self._own_store(location) if self._is_own(url) else self._job_store(location, url, is_written=False)

    def _is_own(self, url: str) -> bool:
        return url.startswith(f"{self._settings.storage_url}/") and ".." not in url

    def _own_store(self, location: Location) -> Store:
        return self._store(location, self._own_files)

    def _store(self, location: Location, files: Store) -> Store:
        match location.scheme:
            case "s3":
                return self._s3
            case "file":
                return files
            case "http" | "https":
                return self._web
        raise UrlRefusedError(f"{location.shown}: no storage serves {location.scheme}://", "use another address")

    @cached_property
    def _s3(self) -> Store:
        from lipsync_service.storage.s3 import S3Store  # boto3 imports slowly, and not every host needs it

        return S3Store(self._settings)

    @cached_property
    def _web(self) -> Store:
        settings = self._settings
        guard = AddressGuard(settings.http_allowed_hosts, self._resolve, settings.http_ports)
        return HttpStore(HttpClient(guard, whole_s=settings.max_transfer_s))

    @cached_property
    def _shelf(self) -> Shelf:
        return shelf_of(self._settings)

    @cached_property
    def _files(self) -> Store:
        return FileStore(self._settings.file_roots, barred=self._reach.own_folders)

    @cached_property
    def _own_files(self) -> Store:
        return FileStore(self._reach.stored_folders)
