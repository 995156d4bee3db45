"""HTTPS requests with the standard library, and the translation of their failures.

urllib is enough: it tunnels through the proxy of the user's settings (HTTPS_PROXY, NO_PROXY, or the system's own),
and OpenSSL below it trusts the system's certificates, or those in SSL_CERT_FILE. Only https addresses are opened,
even if a registry or a redirect names another.
"""

import http.client
import importlib.metadata
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import IO, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from lipsync_core.errors import LipSyncError, ModelError, TransientError

_BLOCK_BYTES = 1 << 16
_FAILURES = (OSError, http.client.HTTPException)
_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (4\d\d.*)")  # http.client's words for a proxy's answer
_ANOTHER_WAY = "get the file another way, then run: lipsync models import PATH --as NAME"
_AGAIN = "check the network and the proxy settings, then run the command again: it goes on where it stopped"


def https_opener() -> OpenerDirector:
    """An opener for https only, through the user's proxy, which takes status 416 (range) for a success."""
    opener = OpenerDirector()
    handlers = (
        ProxyHandler(),
        HTTPSHandler(context=ssl.create_default_context()),
        _HttpsRedirects(),
        _Statuses(),
        HTTPDefaultErrorHandler(),
        UnknownHandler(),
    )
    for handler in handlers:
        opener.add_handler(handler)
    return opener


@contextmanager
def https_response(
    opener: OpenerDirector, url: str, headers: Mapping[str, str], timeout_s: float
) -> Iterator[http.client.HTTPResponse]:
    """The server's response, closed at the end of the block.

    Raises:
        ModelError: the address is not https, the server or the proxy refuses, or its certificate is not trusted.
        TransientError: the failure may pass.
    """
    require_https(url)
    agent = {"User-Agent": f"lipsync/{importlib.metadata.version('lipsync')}"}
    request = Request(url, headers={**agent, **headers})  # noqa: S310  checked above
    try:
        response = cast(http.client.HTTPResponse, opener.open(request, timeout=timeout_s))
    except HTTPError as exc:
        with exc:
            raise _refusal(url, exc) from exc
    except _FAILURES as exc:
        raise _failure(url, exc) from exc
    with response:
        yield response


def first_bytes(response: http.client.HTTPResponse, url: str) -> bytes:
    """The first bytes of the content, which can still be read again; raises as `content_blocks`."""
    try:
        return response.peek(_BLOCK_BYTES)
    except _FAILURES as exc:
        raise _failure(url, exc) from exc


def content_blocks(response: http.client.HTTPResponse, url: str, limit_bytes: int) -> Iterator[bytes]:
    """The blocks of the content as they arrive, at most `limit_bytes` in all.

    Raises:
        TransientError: the connection broke. A connection that ends early without an error is not noticed here.
    """
    while limit_bytes > 0:
        try:
            block = response.read1(min(_BLOCK_BYTES, limit_bytes))
        except _FAILURES as exc:
            raise _failure(url, exc) from exc
        if not block:
            return
        limit_bytes -= len(block)
        yield block


def require_https(url: str) -> None:
    """Make sure that a download from `url` cannot be read or changed on its way.

    Raises:
        ModelError: it is not an https address.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ModelError(f"{url} is not an https address, and downloads use https only", _ANOTHER_WAY)


class _HttpsRedirects(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> Request | None:
        """Follow a redirect to an https address; raise ModelError for any other."""
        if urlsplit(newurl).scheme != "https":
            fp.close()
            raise ModelError(f"{req.full_url} leads to {newurl}, which is not an https address", _ANOTHER_WAY)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Statuses(HTTPErrorProcessor):
    """Lets "range not satisfiable" through, which tells about the local file and is no failure."""

    def https_response(self, request: Request, response: http.client.HTTPResponse) -> http.client.HTTPResponse:
        """The response itself if it refuses the range; else the base class decides."""
        if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return response
        return cast(http.client.HTTPResponse, super().https_response(request, response))


def _refusal(url: str, answer: HTTPError) -> LipSyncError:
    said = f"{url}: the server answers {answer.code} {answer.reason}".rstrip()
    if answer.code in _BUSY or answer.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return TransientError(said, _AGAIN)
    return ModelError(said, _ANOTHER_WAY)


def _failure(url: str, exc: Exception) -> LipSyncError:
    host = urlsplit(url).hostname
    cause = exc.reason if isinstance(exc, URLError) else exc
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ModelError(
            f"{host} shows a certificate that is not trusted here: {cause.verify_message}",
            "if a company's proxy decrypts the traffic, name its certificates in SSL_CERT_FILE",
        )
    if refused := _TUNNEL_REFUSED.search(str(cause)):
        return ModelError(f"the proxy does not lead to {host}: {refused[1]}", "check HTTPS_PROXY and NO_PROXY")
    if isinstance(cause, http.client.InvalidURL):
        return ModelError(f"{host} cannot be reached: {cause}", "check HTTPS_PROXY and NO_PROXY")
    reason = str(cause) or type(cause).__name__
    return TransientError(f"{host} cannot be reached: {reason}", _AGAIN)
