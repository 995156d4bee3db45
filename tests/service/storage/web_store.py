"""A web server that keeps files: ranges, tags, redirects, PUT, and faults on demand. Real sockets."""

import contextlib
import hashlib
import re
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme

HOSTS = ("localhost", "127.0.0.1", "weights.test")
_BLOCK_BYTES = 1 << 16


@dataclass(slots=True)
class Page:
    """The file at one path of the server, and the faults of its answers."""

    content: bytes = b""
    etag: str = '"v1"'
    takes_ranges: bool = True
    is_length_said: bool = True
    location: str = ""
    encoding: str = ""
    cuts: list[int] = field(default_factory=list)  # bytes after which the next answers are cut
    failures: list[int] = field(default_factory=list)  # statuses of the next answers
    answers_left: int | None = None  # before the server is overloaded
    pause_s: float = 0.0  # before each block
    wants_company: bool = False  # a part is sent once two requests have been here at the same time
    then: "Page | None" = None  # replaces this page as soon as a part is requested
    excess: bytes = b""  # bytes sent beyond the announced length


class WebStore(ThreadingHTTPServer):
    """A web server that remembers its requests."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, signer: trustme.CA | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "http" if signer is None else "https"
        self.pages: dict[str, Page] = {}  # by path, without the query
        self.requests: list[tuple[str, str, dict[str, str]]] = []  # method, path with query, headers
        self.most_at_once = 0
        self.at_once = 0
        self.lock = threading.Lock()
        self.has_company = threading.Event()
        if signer is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            signer.issue_cert(*HOSTS).configure_cert(context)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def ranges(self) -> list[str]:
        return [headers["Range"] for _, _, headers in self.requests if "Range" in headers]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore it: the tests have clients that disconnect."""


class _Handler(BaseHTTPRequestHandler):
    server: WebStore

    def do_GET(self) -> None:
        with self._counted() as page:
            if page is None:
                self._say(404)
            elif self._is_overloaded(page):
                self._say(503)
            elif page.failures:
                self._say(page.failures.pop(0))
            elif page.location:
                self._say(302, Location=page.location)
            else:
                self._send(page)

    def do_PUT(self) -> None:
        with self._counted() as page:
            if page is not None and page.failures:
                self._say(page.failures.pop(0))
                return
            if page is not None and page.location:
                self.rfile.read(int(self.headers["Content-Length"]))
                self._say(307, Location=page.location)
                return
            content = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.pages[self._place()] = Page(content, etag=f'"{hashlib.sha256(content).hexdigest()}"')
            self._say(200)

    @contextlib.contextmanager
    def _counted(self) -> Any:
        server = self.server
        with server.lock:
            server.requests.append((self.command, self.path, dict(self.headers)))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        if server.most_at_once > 1:
            server.has_company.set()
        try:
            yield server.pages.get(self._place())
        finally:
            self.close_connection = True
            with server.lock:
                server.at_once -= 1

    def _is_overloaded(self, page: Page) -> bool:
        with self.server.lock:
            if page.answers_left is None:
                return False
            page.answers_left -= 1
            return page.answers_left < 0

    def _place(self) -> str:
        return self.path.partition("?")[0]

    def _say(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, page: Page) -> None:
        size = len(page.content)
        start, end = self._part(page, size)
        is_part = (start, end) != (0, size) or ("Range" in self.headers and page.takes_ranges)
        self.send_response(206 if is_part else 200)
        self.send_header("Content-Type", "application/octet-stream")
        if page.etag:
            self.send_header("ETag", page.etag)
        if page.encoding:
            self.send_header("Content-Encoding", page.encoding)
        if is_part:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        if page.is_length_said:
            self.send_header("Content-Length", str(end - start))
        self.end_headers()
        is_probe = is_part and end - start == 1
        if page.then is not None and not is_probe:
            self.server.pages[self._place()] = page.then
        if page.wants_company and not is_probe:
            self.server.has_company.wait(60)
        stop = min(end, start + page.cuts.pop(0)) if page.cuts and not is_probe else end
        for position in range(start, stop, _BLOCK_BYTES):
            time.sleep(0.0 if is_probe else page.pause_s)
            self.wfile.write(page.content[position : min(stop, position + _BLOCK_BYTES)])
        if not is_probe:
            self.wfile.write(page.excess)

    def _part(self, page: Page, size: int) -> tuple[int, int]:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None or not page.takes_ranges or self.headers.get("If-Range", page.etag) != page.etag:
            return 0, size
        return int(asked[1]), min(size, int(asked[2]) + 1 if asked[2] else size)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that http.server calls
        """Write no log: the tests read `requests`."""
