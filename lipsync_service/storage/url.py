"""Addresses of files: parsing them, and hiding the parts that give access."""

import hashlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from lipsync_service.errors import UrlRefusedError

_SUPPORTED = "give an address that begins with s3://, https://, http:// or file:///"
_WEB_PORTS = {"http": 80, "https": 443}
# Characters that an address may hold as they are (RFC 3986, section 2); all others get encoded.
_PLAIN = "/%:=&?~+!$,;'@()*[]"
# Parameters of a presigned address that change with every signature: Amazon's, Google's.
_SIGNATURE_PREFIXES = ("x-amz-", "x-goog-")


@dataclass(frozen=True, slots=True)
class Location:
    """A parsed address. Only `shown` may go into logs: the other fields may hold credentials or signatures."""

    scheme: str  # s3, http, https or file
    host: str  # the bucket for s3; empty for file
    port: int  # 0 for schemes without one
    path: str = field(repr=False)  # the object's key for s3, the path for file, path and query for http and https
    shown: str

    @property
    def identity(self) -> str:
        """64 hex digits that identify the file: signatures of the address do not change them."""
        path, _, query = self.path.partition("?") if self.scheme in _WEB_PORTS else (self.path, "", "")
        lasting = [(key, value) for key, value in parse_qsl(query, keep_blank_values=True) if not _is_signature(key)]
        parts = (self.scheme, self.host, str(self.port), path, urlencode(lasting))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def shown_url(url: str) -> str:
    """`url` without user, password, query and fragment, for logs, the ledger and artifacts; never raises."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "an address that cannot be read"
    text = f"{parts.scheme}://{host}{parts.path}" if parts.scheme else parts.path
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def parse_url(url: str) -> Location:
    """Parse `url`.

    Raises:
        UrlRefusedError: the address is malformed or of an unsupported scheme, or it holds a user or a password.
    """
    shown = shown_url(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise UrlRefusedError(f"{shown} is not a valid address", _SUPPORTED) from exc
    if any(not each.isprintable() for each in url):
        raise UrlRefusedError(f"{shown} holds characters that are not allowed in an address", "encode them with %")
    if parts.scheme == "s3":
        return _s3_location(url, shown)
    if parts.scheme == "file":
        return _file_location(parts, shown)
    if parts.scheme in _WEB_PORTS:
        return _web_location(parts, port or _WEB_PORTS[parts.scheme], shown)
    raise UrlRefusedError(f"{shown} is not an address that can be opened", _SUPPORTED)


def _s3_location(url: str, shown: str) -> Location:
    bucket, _, key = url.split("://", 1)[1].partition("/")  # a key may hold ? and #
    if not bucket or not key or "@" in bucket:
        raise UrlRefusedError(f"{shown} names no object", "write s3://BUCKET/KEY")
    return Location("s3", bucket, 0, key, shown)


def _file_location(parts: SplitResult, shown: str) -> Location:
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or "\0" in path or not PurePosixPath(path).name:
        raise UrlRefusedError(f"{shown} names no file of this machine", "write file:///FOLDER/NAME")
    if parts.query or parts.fragment:
        raise UrlRefusedError(f"{shown} holds ? or #", "write them as %3F and %23")
    return Location("file", "", 0, path, shown)


def _web_location(parts: SplitResult, port: int, shown: str) -> Location:
    if parts.username is not None or parts.password is not None:
        raise UrlRefusedError(f"{shown} holds a user or a password", "give a presigned address instead")
    if not parts.hostname:
        raise UrlRefusedError(f"{shown} names no host", _SUPPORTED)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Location(parts.scheme, parts.hostname, port, quote(target, safe=_PLAIN), shown)


def _is_signature(parameter: str) -> bool:
    return parameter.lower().startswith(_SIGNATURE_PREFIXES)
