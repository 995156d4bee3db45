"""Sends HTTP requests to checked addresses only, and translates their failures.

This module makes the connection itself, without a client library, because the rules must hold for the connection: it
goes to the very address that `AddressGuard` has allowed, not to a second look-up of the name, and TLS still verifies
the name. The same holds for every redirect. A forward proxy is not used: it would look up names by itself.
"""

import http.client
import importlib.metadata
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urljoin

from lipsync_core.errors import LipSyncError, TransientError
from lipsync_core.shown_text import shown_url
from lipsync_service.errors import (
    AccessDeniedError,
    ObjectMissingError,
    StorageError,
    TooLargeError,
    TooSlowError,
    UrlRefusedError,
)
from lipsync_service.storage.address import AddressGuard
from lipsync_service.storage.source import BLOCK_BYTES
from lipsync_service.storage.url import Location, parse_url

TIMEOUT_S = 30.0  # the longest silence of a server
HEAD_LIMIT_S = 60.0  # from the start of a connection to the end of the answer's headers, the sending left out
MAX_REDIRECTS = 5

_FAILURES = (OSError, http.client.HTTPException)
_TOO_MANY_HEADERS = "got more than"  # http.client has no class of its own for these
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REDIRECTS_WITH_BODY = frozenset({307, 308})  # the others turn a PUT into a GET (RFC 9110, section 15.4)
_FOLLOWED: dict[str, frozenset[int]] = {"PUT": _REDIRECTS_WITH_BODY, "POST": frozenset()}  # other methods: all
_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_DENIED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED})
_MISSING = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_AGAIN = "try again later"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A server's answer; its content is not read yet."""

    status: int
    headers: http.client.HTTPMessage
    location: Location  # after redirects
    response: http.client.HTTPResponse

    def blocks(self) -> Iterator[bytes]:
        """The content, read as it arrives; raises TransientError if the connection breaks."""
        while True:
            with _connection_errors(self.location):
                block = self.response.read1(BLOCK_BYTES)
            if not block:
                return
            yield block


class HttpClient:
    """Sends requests to web servers; keeps no connections.

    A server may be silent for `timeout_s`. Its answer must begin within `limit_s` of the connection's start, not
    counting the sending of a file, and the whole exchange must end within `whole_s`: a server that sends a byte now and
    then, or headers without an end, holds nobody.
    """

    def __init__(
        self,
        guard: AddressGuard,
        timeout_s: float = TIMEOUT_S,
        limit_s: float = HEAD_LIMIT_S,
        whole_s: float | None = None,
    ) -> None:
        self._guard = guard
        self._timeout_s = timeout_s
        self._limit_s = limit_s
        self._whole_s = whole_s
        self._tls = ssl.create_default_context()
        self._agent = f"lipsync/{importlib.metadata.version('lipsync')}"

    @contextmanager
    def answer(
        self, method: str, location: Location, headers: Mapping[str, str], upload: Path | bytes | None = None
    ) -> Iterator[HttpAnswer]:
        """The answer to one request, with any status: see `check_status`. Redirects are followed, except for POST.

        Raises:
            UrlRefusedError: the address or a redirect leads to a host to which this service must not connect.
            ObjectMissingError: there is no such host.
            StorageError: the server's certificate is not trusted, or its answer is no HTTP.
            TooSlowError: the exchange takes longer than it may.
            TransientError: the server cannot be reached now.
        """
        shown = location.shown
        for _ in range(MAX_REDIRECTS + 1):
            with (
                closing(self._connection(location)) as connection,
                connection.limited_to(self._whole_s),
                self._sent(connection, method, location, headers, upload) as response,  # it owns the socket now
            ):
                target = _redirect(response, location, method)
                if target is None:
                    yield HttpAnswer(response.status, response.headers, location, response)
                    return
            location = target
        raise UrlRefusedError(f"{shown} redirects more than {MAX_REDIRECTS} times", "give the final address")

    def check(self, location: Location) -> None:
        """Make sure that this service may connect to the host; raises as `AddressGuard.checked_addresses`."""
        self._guard.checked_addresses(location.host, location.port)

    def _connection(self, location: Location) -> "_CheckedConnection":
        addresses = self._guard.checked_addresses(location.host, location.port)
        tls = self._tls if location.scheme == "https" else None
        return _CheckedConnection(location, addresses, tls, self._timeout_s)

    def _sent(
        self,
        connection: "_CheckedConnection",
        method: str,
        location: Location,
        headers: Mapping[str, str],
        upload: Path | bytes | None,
    ) -> http.client.HTTPResponse:
        asked = {"User-Agent": self._agent, "Accept-Encoding": "identity", "Connection": "close", **headers}
        with _connection_errors(location):
            with connection.limited_to(self._limit_s):
                connection.connect()
                if not isinstance(upload, Path):
                    connection.request(method, location.path, body=upload, headers=asked)
                    return connection.getresponse()
            asked["Content-Length"] = str(upload.stat().st_size)
            with upload.open("rb") as body, suppress(ConnectionError):
                # A server that refuses may close early: its answer gives the reason.
                connection.request(method, location.path, body=body, headers=asked)
            with connection.limited_to(self._limit_s):
                return connection.getresponse()


class _CheckedConnection(http.client.HTTPConnection):
    """Connects to the given addresses without resolving the host's name; TLS verifies the name."""

    def __init__(
        self, location: Location, addresses: Sequence[str], tls: ssl.SSLContext | None, timeout_s: float
    ) -> None:
        super().__init__(location.host, location.port, timeout=timeout_s, blocksize=BLOCK_BYTES)
        self.default_port = 443 if tls is not None else 80  # the Host header leaves this port out
        self._shown = location.shown
        self._addresses = addresses
        self._tls = tls
        self._timeout_s = timeout_s
        self._is_late = False

    def connect(self) -> None:
        """Try the addresses in order; raises the error of the last one."""
        *others, last = self._addresses
        for address in others:
            try:
                self._connect_to(address)
            except OSError:
                continue
            return
        self._connect_to(last)

    @contextmanager
    def limited_to(self, limit_s: float | None) -> Iterator[None]:
        """Cut the connection if the block takes longer, even while the server keeps sending; raises TooSlowError."""
        if limit_s is None:
            yield
            return
        timer = threading.Timer(limit_s, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception as exc:
            self._check_time(exc)
            raise
        finally:
            timer.cancel()
        self._check_time()  # an answer may be only the part that came before the cut

    def _check_time(self, cause: Exception | None = None) -> None:
        if self._is_late and not isinstance(cause, TooSlowError):
            raise TooSlowError(f"{self._shown}: the server takes too long", "use a faster server") from cause

    def _cut(self) -> None:
        self._is_late = True
        with suppress(OSError, TypeError):  # the socket is closed already, or not open yet
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # not TLS's shutdown, which would wait for the server

    def _connect_to(self, address: str) -> None:
        self._check_time()
        self.sock = socket.create_connection((address, self.port), self._timeout_s)
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                secure = self._tls.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
                self.sock = secure
                secure.do_handshake()
        except BaseException:
            self.close()
            raise


def check_status(answer: HttpAnswer) -> None:
    """Raise an error unless the status is a success.

    Raises:
        ObjectMissingError, AccessDeniedError, TooLargeError, StorageError: the server refuses.
        TransientError: the server is busy or broken.
    """
    status, shown = answer.status, answer.location.shown
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    said = f"{shown}: the server answers {status}"
    if status in _MISSING:
        raise ObjectMissingError(said, "check the address")
    if status in _DENIED:
        raise AccessDeniedError(said, "a presigned address may have expired: make a new one")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise TooLargeError(said, "the server takes smaller files only")
    if status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise TransientError(said, _AGAIN)
    raise StorageError(said, "check the address")


def _redirect(response: http.client.HTTPResponse, location: Location, method: str) -> Location | None:
    """The target of a redirect to follow; None if the response is the final answer."""
    if response.status not in _FOLLOWED.get(method, _REDIRECTS):
        return None
    target = response.headers.get("Location", "")
    url = f"{location.scheme}://{_authority(location)}{location.path}"
    try:
        found = parse_url(urljoin(url, target))
    except ValueError as exc:
        remedy = "give an address that leads to the file"
        raise UrlRefusedError(f"{location.shown} redirects to {shown_url(target)}", remedy) from exc
    if not target or found.scheme not in ("http", "https") or (location.scheme, found.scheme) == ("https", "http"):
        raise UrlRefusedError(f"{location.shown} redirects to {found.shown}", "give an address that leads to the file")
    return found


def _authority(location: Location) -> str:
    host = f"[{location.host}]" if ":" in location.host else location.host
    return f"{host}:{location.port}"


@contextmanager
def _connection_errors(location: Location) -> Iterator[None]:
    try:
        yield
    except (*_FAILURES, ValueError) as exc:
        raise _failure(location, exc) from exc


def _failure(location: Location, exc: Exception) -> LipSyncError:
    if isinstance(exc, ssl.SSLCertVerificationError):
        message = f"{location.host} shows a certificate that is not trusted here: {exc.verify_message}"
        return StorageError(message, "if a private authority signs it, name that authority's file in SSL_CERT_FILE")
    is_senseless = isinstance(exc, ValueError | http.client.LineTooLong) or str(exc).startswith(_TOO_MANY_HEADERS)
    if is_senseless and not isinstance(exc, OSError):
        return StorageError(f"{location.shown}: the server's answer is no HTTP", "check the address")
    reason = (exc.strerror if isinstance(exc, OSError) else None) or type(exc).__name__
    return TransientError(f"{location.shown}: the connection failed ({reason})", _AGAIN)
