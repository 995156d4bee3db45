"""A web server that answers each request with JSON: the base of stand-ins for Prefect's."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class JsonServer(ThreadingHTTPServer):
    """On a free port of 127.0.0.1."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api"

    def reply(self, path: str, body: dict[str, Any], authorization: str | None) -> tuple[int, object]:
        """The status and the value of an answer."""
        raise NotImplementedError


class _Handler(BaseHTTPRequestHandler):
    server: JsonServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, value = self.server.reply(self.path, json.loads(body or b"{}"), self.headers.get("Authorization"))
        text = json.dumps(value, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST  # noqa: N815 - the name that the library calls

    def log_message(self, *args: object) -> None:
        """Nothing."""
