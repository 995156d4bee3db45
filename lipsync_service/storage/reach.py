"""What the addresses of one job may name: buckets, folders and hosts, and nothing that is the service's own.

Below the storage's address lie the service's own files: uploads, results, tracks, edits, renders, handovers, secrets.
A job reads uploads there, under the hash of their content, and writes the one result whose name follows from its own
request. All else there is refused, whatever the key is written like. A tenant has a folder of its own, with all of
these in it, so that no hash and no guess leads to the files of another.
"""

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from lipsync_service.errors import UrlRefusedError
from lipsync_service.settings import Settings
from lipsync_service.storage.url import Location, parse_url
from lipsync_service.tenants import require_tenant

#: The name of a file under a hash, as uploads and results have it.
_HASHED = r"[0-9a-f]{2}/[0-9a-f]{64}(\.[a-z0-9]{1,8})?"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")  # no ARN: it would lead to another account's server
_MOST_DECODINGS = 4


@dataclass(frozen=True, slots=True)
class Reach:
    """The reach of one job, or of a caller of the service."""

    settings: Settings
    tenant: str | None = None
    result_urls: tuple[str, ...] = ()  # the results of the service's own that the job may write

    def __post_init__(self) -> None:
        """Raise OptionError where the settings do not know the tenant, or where they have tenants and none is named."""
        require_tenant(self.tenant, self.settings.tenants)

    @property
    def area_url(self) -> str:
        """The address of the folder of the service's own files that these jobs share."""
        return area_url(self.settings.storage_url, self.tenant)

    @property
    def stored_folders(self) -> tuple[Path, ...]:
        """The folder of this machine that is the service's storage; none where that is elsewhere."""
        storage = parse_url(f"{self.settings.storage_url}/-")
        return (Path(storage.path).parent,) if storage.scheme == "file" else ()

    @property
    def own_folders(self) -> tuple[Path, ...]:
        """The folders of this machine that belong to the service: no job may name a file in them."""
        return (*self.stored_folders, self.settings.cache_dir, self.settings.spool_dir)

    def is_own(self, url: str, *, is_written: bool) -> bool:
        """Whether `url` is a file of the service's own that the job may read, or write: an upload, or its result."""
        if is_written:
            return url in self.result_urls
        return re.fullmatch(rf"{re.escape(self.area_url)}/uploads/{_HASHED}", url) is not None

    def check(self, location: Location, *, is_written: bool) -> None:
        """Raise UrlRefusedError where the job may not read `location`, or not write to it.

        Of an address of the web only its host counts, which is checked when it is resolved: a presigned address is a
        permission by itself. Links in folders are followed, and checked, when a file is opened.
        """
        if location.scheme == "s3":
            self._check_object(location)
        if location.scheme in ("s3", "file") and self.tenant is not None:
            allowed = self.settings.tenants[self.tenant]
            self._check_prefix(location, allowed.write if is_written else allowed.read)

    def _check_object(self, location: Location) -> None:
        if not _BUCKET.fullmatch(location.host) or ".." in location.host:
            raise UrlRefusedError(f"{location.shown} names no bucket", "write s3://BUCKET/KEY")
        key = canonical_key(location)
        own = parse_url(f"{self.settings.storage_url}/-")
        folder = canonical_key(own).rpartition("/")[0]
        is_own_bucket = own.scheme == "s3" and own.host.casefold() == location.host.casefold()
        if is_own_bucket and f"{key}/".startswith(f"{folder}/" if folder else ""):
            raise _own(location)
        named = self.settings.s3_buckets
        if named and not any(_is_below(location, f"s3://{each}") for each in named):
            message = f"{location.shown} is in none of the buckets that jobs may use"
            raise UrlRefusedError(message, "use another bucket, or add this one to LIPSYNC_S3_BUCKETS")

    def _check_prefix(self, location: Location, prefixes: tuple[str, ...]) -> None:
        if not any(_is_below(location, each) for each in prefixes):
            message = f"{location.shown} is outside of what the tenant {self.tenant} may use"
            raise UrlRefusedError(message, "use another address, or add its beginning to LIPSYNC_TENANTS")


def area_url(storage_url: str, tenant: str | None) -> str:
    """The address of the folder that holds the service's own files for a tenant, or for jobs without one."""
    return storage_url if tenant is None else f"{storage_url}/tenants/{tenant}"


def canonical_key(location: Location) -> str:
    """The key of an object without the ways to write it differently: escapes, doubled slashes, case, last dots.

    It serves comparison alone. Servers differ in what they make of such keys, and some lie behind a proxy that
    resolves `..`, so a key that holds such a part in any reading is refused.

    Raises:
        UrlRefusedError: a part of the key is `.` or `..`.
    """
    key = location.path
    for _ in range(_MOST_DECODINGS):
        parts = [part.strip() for part in re.split(r"[/\\]", unicodedata.normalize("NFKC", key))]
        if not {".", ".."}.isdisjoint(parts):
            raise UrlRefusedError(f"{location.shown} holds a part . or ..", "write the key as it is")
        decoded = unquote(key)
        if decoded == key:
            break
        key = decoded
    else:
        raise UrlRefusedError(f"{location.shown} is escaped too often", "write the key as it is")
    return "/".join(part.rstrip(". ").casefold() for part in parts if part)


def _is_below(location: Location, prefix: str) -> bool:
    """Whether an object or file lies below `prefix`, s3://BUCKET[/PREFIX] or file:///FOLDER: in it, not beside it."""
    allowed = parse_url(f"{prefix.rstrip('/')}/-")
    folder, path = allowed.path.removesuffix("-"), location.path
    if location.scheme == "file":
        folder, path = f"{os.path.realpath(folder)}/", os.path.realpath(path)
    return (allowed.scheme, allowed.host) == (location.scheme, location.host) and path.startswith(folder)


def _own(location: Location) -> UrlRefusedError:
    return UrlRefusedError(f"{location.shown} belongs to the service itself", "use a place outside of its storage")
