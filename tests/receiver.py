"""A receiver of callbacks: a real web server with settable answers, which remembers all callbacks."""

import base64
import hashlib
import hmac
import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Where the whole service of the tests may call receivers: another address than that of its own parts.
CALLED = "127.0.0.2"


@dataclass(frozen=True)
class Told:
    """One POST."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    at: float  # time.time()

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)


class Receiver(ThreadingHTTPServer):
    """Answers with the statuses in `answers`, then with 204, after `pause_s` each."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), _Handler)
        self.told: list[Told] = []
        self.answered = 0
        self.answers: list[int] = []
        self.pause_s = 0.0
        self.drips = False  # it sends a header now and then, and never ends
        self.released = threading.Event()
        self.hung_up = threading.Event()  # a sender disconnected before the end of the answer

    @property
    def host(self) -> str:
        return f"{self.server_address[0]!s}:{self.server_address[1]}"

    def url(self, path: str = "/hook") -> str:
        return f"http://{self.host}{path}"

    def wait_for(self, count: int, limit_s: float = 30.0) -> list[Told]:
        deadline = time.monotonic() + limit_s
        while len(self.told) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.told) >= count, f"{len(self.told)} callbacks after {limit_s} s"
        return self.told[:]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore it: the tests have senders that disconnect."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.told.append(Told(self.path, headers, body, time.time()))
        if self.server.drips:
            self._drip()
        self.server.released.wait(self.server.pause_s)
        status = self.server.answers.pop(0) if self.server.answers else 204
        self.send_response(status)
        if status in (302, 307):
            self.send_header("Location", self.server.url("/elsewhere"))
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.answered += 1

    def _drip(self) -> None:
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not self.server.released.wait(0.1):
                self.wfile.write(b"X-Drop: 1\r\n")
        except OSError:
            self.server.hung_up.set()
            raise

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that http.server calls
        """Write no log: the tests read `told`."""


def is_signed(told: Told, secret: str) -> bool:
    """Whether the callback's signature is right, by the specification of Standard Webhooks."""
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    content = b".".join([told.headers["webhook-id"].encode(), told.headers["webhook-timestamp"].encode(), told.body])
    wanted = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    given = [each.partition(",")[2] for each in told.headers["webhook-signature"].split(" ") if each.startswith("v1,")]
    return any(hmac.compare_digest(wanted, each) for each in given)
