"""Addresses of files: parsing them, and hiding the parts that give access."""

import hashlib
import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from lipsync_core.shown_text import shown_url
from lipsync_service.errors import UrlRefusedError

_SUPPORTED = "give an address that begins with s3://, https://, http:// or file:///"
_WEB_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a name cannot end in one: a resolver reads the whole as an IPv4 address
_LONGEST_HOST = 253
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


def parse_url(url: str) -> Location:
    """Parse `url`.

    Raises:
        UrlRefusedError: the address is malformed or of an unsupported scheme, or it holds a user or a password.
    """
    shown = shown_url(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:  # of brackets, of a port, of characters that become others
        raise UrlRefusedError(f"{shown} is not a valid address", _SUPPORTED) from exc
    if any(not each.isprintable() for each in url):
        raise UrlRefusedError(f"{shown} holds characters that are not allowed in an address", "encode them with %")
    if parts.scheme == "s3":
        return _s3_location(url, shown)
    if parts.scheme == "file":
        return _file_location(parts, shown)
    if parts.scheme in _WEB_PORTS:
        return _web_location(parts, _WEB_PORTS[parts.scheme] if port is None else port, shown)
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
    if not parts.hostname or not port:
        raise UrlRefusedError(f"{shown} names no host", _SUPPORTED)
    host = _host(parts, shown)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Location(parts.scheme, host, port, quote(target, safe=_PLAIN), shown)


def is_numeric(host: str) -> bool:
    """Whether `host`, of a `Location`, is an address and no name."""
    return ":" in host or host.rpartition(".")[2].isdecimal()


def _host(parts: SplitResult, shown: str) -> str:
    """The host in the one form in which it is checked, looked up and sent: ASCII, lower case, no last dot.

    Other dots and digits of Unicode become those of ASCII first. An IPv4 address has four decimal numbers: the forms
    that only some resolvers read (127.1, 0x7f.1, 2130706433, 0177.0.0.1) are refused. So are zones and escapes.
    """
    given = parts.hostname or ""
    try:
        if "[" in parts.netloc:
            return str(ipaddress.IPv6Address("" if "%" in given else given))
        host = given.encode("idna").decode("ascii").lower() if not given.isascii() else given
        labels = host.removesuffix(".").split(".")
        if _NUMBER.fullmatch(labels[-1]):
            return str(ipaddress.IPv4Address(host))
    except ValueError as exc:  # UnicodeError is one
        raise UrlRefusedError(f"{shown} names a host in a form that is not allowed", "write its usual name") from exc
    if len(host) > _LONGEST_HOST or not all(map(_LABEL.fullmatch, labels)):
        raise UrlRefusedError(f"{shown} holds characters that no host's name has", "check the address")
    return ".".join(labels)


def _is_signature(parameter: str) -> bool:
    return parameter.lower().startswith(_SIGNATURE_PREFIXES)
