"""A web server that misbehaves on demand, and a forward proxy: real TLS and real sockets, on this machine only."""

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

#: Names that the test's certificate is good for: the server's own, and those that the real registry holds.
HOSTS = ("localhost", "127.0.0.1", "weights.test", "huggingface.co", "github.com", "www.robots.ox.ac.uk")
_BLOCK_BYTES = 1 << 16
_STALL_LIMIT_S = 60.0


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@dataclass(slots=True)
class Answer:
    """The server's answer at one path, with its faults."""

    content: bytes = b""
    status: int = 200
    content_type: str = "application/octet-stream"
    etag: str = ""
    location: str = ""
    takes_ranges: bool = True
    is_length_said: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes after which the next connections are cut
    failures: list[int] = field(default_factory=list)  # statuses of the next answers
    pause_s: float = 0.0  # before each block
    stalls_at: int | None = None  # bytes after which the server waits until the client disconnects
    range_start_shift: int = 0  # a fault: the part begins elsewhere


class FileServer(ThreadingHTTPServer):
    """Answers by path over TLS, and remembers its requests."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []  # path and headers
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority().issue_cert(*HOSTS).configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def url(self, path: str, host: str = "localhost") -> str:
        return f"https://{host}:{self.server_address[1]}{path}"

    def ranges(self) -> list[str]:
        """The Range header of each request; empty if it had none."""
        return [headers.get("Range", "") for _, headers in self.requests]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore it: the tests have clients that disconnect."""


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        answer = self.server.answers.get(self.path, Answer(b"nothing here", status=404))
        if answer.failures:
            self.send_error(answer.failures.pop(0))
        elif answer.location:
            self.send_response(302)
            self.send_header("Location", answer.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        start = self._start(answer)
        if start > len(answer.content) or (start and start == len(answer.content)):
            self.send_error(416)
            return
        self.send_response(206 if start else answer.status)
        self.send_header("Content-Type", answer.content_type)
        if answer.etag:
            self.send_header("ETag", answer.etag)
        if start:
            first = start + answer.range_start_shift
            self.send_header("Content-Range", f"bytes {first}-{len(answer.content) - 1}/{len(answer.content)}")
        if answer.is_length_said:
            self.send_header("Content-Length", str(len(answer.content) - start))
        self.end_headers()
        end = start + answer.cuts.pop(0) if answer.cuts else len(answer.content)
        for position in range(start, min(end, len(answer.content)), _BLOCK_BYTES):
            if answer.stalls_at is not None and position >= answer.stalls_at:
                select.select([self.connection], [], [], _STALL_LIMIT_S)
                break
            time.sleep(answer.pause_s)
            self.wfile.write(answer.content[position : min(end, position + _BLOCK_BYTES)])
        self.close_connection = True

    def _start(self, answer: Answer) -> int:
        asked = self.headers.get("Range", "")
        if not asked or not answer.takes_ranges or self.headers.get("If-Range", answer.etag) != answer.etag:
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that http.server calls
        """Write no log: the tests read `requests`."""


class ForwardProxy(ThreadingHTTPServer):
    """Tunnels every CONNECT, for any host, to one server, or refuses it with the status `refusal`."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, server: FileServer) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.target = server.server_address
        self.asked: list[str] = []  # host:port
        self.refusal = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _ProxyHandler(BaseHTTPRequestHandler):
    server: ForwardProxy

    def do_CONNECT(self) -> None:
        self.server.asked.append(self.path)
        if self.server.refusal:
            self.send_error(self.server.refusal)
            return
        self.send_response(200)
        self.end_headers()
        with socket.create_connection((str(self.server.target[0]), self.server.target[1])) as far:
            _pump(self.connection, far)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that http.server calls
        """Write no log: the tests read `asked`."""


def _pump(near: socket.socket, far: socket.socket) -> None:
    other = {near: far, far: near}
    while True:
        for ready in select.select([near, far], [], [])[0]:
            try:
                block = ready.recv(_BLOCK_BYTES)
                other[ready].sendall(block)
            except OSError:
                return
            if not block:
                return


@contextlib.contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def trust_the_authority(folder: Path, environment: pytest.MonkeyPatch) -> None:
    """The user's settings name the test's certificates, and no proxy."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_DIR"):
        environment.delenv(name, raising=False)
        environment.delenv(name.lower(), raising=False)
    authority().cert_pem.write_to_path(str(folder / "authority.pem"))
    environment.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))
