"""Web servers that lie, dawdle or send nonsense: each exchange ends with a stable code, within its limits."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.service.conftest import NOT_INSTALLED

pytest.importorskip("pydantic_settings", reason=NOT_INSTALLED)

from lipsync_core.errors import LipSyncError
from lipsync_service.errors import TooSlowError
from lipsync_service.storage.address import AddressGuard
from lipsync_service.storage.download import Downloader
from lipsync_service.storage.http import HttpStore
from lipsync_service.storage.http_client import HttpClient
from lipsync_service.storage.url import parse_url

MOST_BYTES = 100_000  # of an input
LIMIT_S = 0.5  # of headers, of an exchange and of a download
OK, PART = b"HTTP/1.1 200 OK\r\n", b'HTTP/1.1 206 Partial Content\r\nETag: "a"\r\n'
Answer = Callable[[], Iterator[bytes]]


@contextmanager
def raw_server(answer: Answer) -> Iterator[str]:
    """The address of a file on a server that sends these bytes whatever it is asked."""
    stopped = threading.Event()

    def serve(listener: socket.socket) -> None:
        while not stopped.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65_536)
            for part in answer():
                if stopped.is_set():
                    break
                connection.sendall(part)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/a.mp4"
        stopped.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def fetched(url: str, target: Path) -> str | None:
    """The code with which fetching fails; None where it does not."""
    store = HttpStore(HttpClient(AddressGuard(["127.0.0.1"]), timeout_s=LIMIT_S, limit_s=LIMIT_S, whole_s=LIMIT_S))
    source = store.source(parse_url(url))
    try:
        Downloader(MOST_BYTES, 2, (0.0,), 1000, LIMIT_S).fetch(source, source.version(), target, lambda _: None)
    except LipSyncError as error:
        return error.code
    return None


def once(*parts: bytes) -> Answer:
    return lambda: iter(parts)


def endless(head: bytes, part: bytes, pause_s: float = 0.0) -> Answer:
    def answer() -> Iterator[bytes]:
        yield head
        while not threading.Event().wait(pause_s):
            yield part

    return answer


def headed(*headers: bytes, status: bytes = OK, body: bytes = b"x") -> Answer:
    return once(status + b"".join(each + b"\r\n" for each in headers) + b"\r\n" + body)


def redirect(target: bytes) -> Answer:
    return headed(b"Location: " + target, status=b"HTTP/1.1 302 Found\r\n", body=b"")


REFUSED, FAILED, LARGE, SLOW, AGAIN = (
    "URL_REFUSED",
    "STORAGE_FAILED",
    "LIMIT_BYTES",
    "LIMIT_TRANSFER_TIME",
    "TRANSIENT",
)
CASES: dict[str, tuple[Answer, set[str | None]]] = {
    "a redirect to half an IPv6 address": (redirect(b"http://["), {REFUSED}),
    "a redirect to a port of 5,000 digits": (redirect(b"http://a:" + b"9" * 5000), {REFUSED}),
    "a redirect to bytes": (redirect(b"\xff\xfe\x00\x01"), {REFUSED}),
    "a redirect to nothing": (redirect(b""), {REFUSED}),
    "a redirect to a file": (redirect(b"file:///etc/passwd"), {REFUSED}),
    "a redirect to a name that Unicode makes a path": (redirect("http://a\u2100b/".encode()), {REFUSED}),
    "a redirect of 60 kB": (redirect(b"/" + b"a" * 60_000), {REFUSED, FAILED}),
    "a length of 5,000 digits": (headed(b"Content-Length: " + b"9" * 5000), {FAILED}),
    "a length of 30 digits": (headed(b"Content-Length: " + b"9" * 30), {FAILED}),
    "a length above the limit": (headed(b"Content-Length: 200000"), {LARGE}),
    "a negative length": (headed(b"Content-Length: -5"), {FAILED}),
    "a length in words": (headed(b"Content-Length: five"), {FAILED}),
    "a length with a sign": (headed(b"Content-Length: +5"), {FAILED}),
    "a length with an underscore": (headed(b"Content-Length: 1_0"), {FAILED}),
    "two lengths": (headed(b"Content-Length: 1", b"Content-Length: 2"), {FAILED}),
    "two lengths in one": (headed(b"Content-Length: 1, 2"), {FAILED}),
    "one length twice": (headed(b"Content-Length: 1", b"Content-Length: 1"), {None}),
    "a length that is never reached": (headed(b"Content-Length: 50"), {AGAIN}),
    "a part of 5,000 digits": (headed(b"Content-Range: bytes 0-0/" + b"9" * 5000, status=PART), {AGAIN, FAILED}),
    "a part above the limit": (headed(b"Content-Range: bytes 0-0/999999999999", status=PART), {LARGE}),
    "a part of a negative size": (headed(b"Content-Range: bytes 0-0/-1", status=PART), {AGAIN, FAILED}),
    "always the first part": (headed(b"Content-Range: bytes 0-0/5000", status=PART), {AGAIN}),
    "a part of a part": (headed(b"Content-Range: bytes 0-0/*", status=PART), {AGAIN, FAILED}),
    "a part that nobody can place": (headed(status=PART), {AGAIN, FAILED}),
    "a part that grows": (
        endless(PART + b"Content-Range: bytes 0-4999/5000\r\n\r\n", b"x" * 4096),
        {AGAIN, SLOW, None},
    ),
    "compressed content": (headed(b"Content-Encoding: gzip"), {FAILED}),
    "compressed twice": (headed(b"Content-Encoding: identity", b"Content-Encoding: br"), {FAILED}),
    "compressed on its way": (headed(b"Transfer-Encoding: gzip, chunked"), {FAILED}),
    "chunks that are none": (headed(b"Transfer-Encoding: chunked", body=b"zz\r\nabc"), {AGAIN, FAILED}),
    "a chunk of a negative size": (headed(b"Transfer-Encoding: chunked", body=b"-5\r\nabcdefgh"), {AGAIN, FAILED}),
    "a chunk of 5,000 digits": (headed(b"Transfer-Encoding: chunked", body=b"f" * 5000 + b"\r\nab"), {AGAIN, FAILED}),
    "chunks without an end": (
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 0x1000 + b"\r\n"),
        {LARGE},
    ),
    "trailers without an end": (
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"a: b\r\n", 0.01),
        {SLOW, AGAIN},
    ),
    "content without an end": (endless(OK + b"\r\n", b"x" * 4096), {LARGE}),
    "content in drops": (endless(OK + b"\r\n", b"x", 0.05), {SLOW}),
    "a byte for each connection": (headed(b"Content-Range: bytes 0-0/5000", status=PART, body=b""), {AGAIN, SLOW}),
    "101 headers": (headed(*[b"a: b"] * 101), {FAILED}),
    "a header of 100 kB": (headed(b"a: " + b"b" * 100_000), {FAILED}),
    "headers without an end": (endless(OK, b"a: b\r\n"), {FAILED}),
    "headers in drops": (endless(OK, b"a", 0.05), {SLOW}),
    "continue without an end": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), {SLOW}),
    "no status": (once(b"hello\r\n\r\n"), {AGAIN, FAILED}),
    "a status of 5,000 digits": (once(b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n"), {AGAIN, FAILED}),
    "a status that is none": (once(b"HTTP/1.1 999999 OK\r\n\r\n"), {AGAIN, FAILED}),
    "no content": (once(b"HTTP/1.1 204 No Content\r\n\r\n"), {FAILED}),
    "nothing": (once(b""), {AGAIN}),
    "silence": (endless(b"", b"", 0.05), {AGAIN, SLOW}),
    "a tag of 60 kB": (headed(b'ETag: "' + b"a" * 60_000 + b'"', b"Content-Length: 1"), {None}),
    "a tag with a line's end": (headed(b'ETag: "a\rb"', b"Content-Length: 1"), {None, FAILED}),
    "zeros": (once(b"\0" * 70_000), {AGAIN, FAILED}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_server_that_misbehaves_ends_with_a_stable_code(tmp_path: Path, name: str) -> None:
    answer, codes = CASES[name]
    with raw_server(answer) as url:
        assert fetched(url, tmp_path / "a.mp4") in codes
    written = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert written <= MOST_BYTES + 4096


def test_an_upload_to_a_server_that_misbehaves_ends_with_a_stable_code(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"x" * 10_000)
    client = HttpClient(AddressGuard(["127.0.0.1"]), timeout_s=LIMIT_S, limit_s=LIMIT_S, whole_s=LIMIT_S)
    ends: dict[str, str] = {}
    for name, (answer, _) in CASES.items():
        with raw_server(answer) as url:
            try:
                HttpStore(client).put(tmp_path / "out.mp4", parse_url(url), lambda _: None)
            except LipSyncError as error:  # any other error fails the test
                ends[name] = error.code
    assert set(ends.values()) <= {REFUSED, FAILED, SLOW, AGAIN, LARGE}
    assert ends["headers in drops"] == ends["continue without an end"] == SLOW


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (headed(b"Content-Length: 1", b"Content-Encoding: gzip"), FAILED),
        (headed(b"Content-Length: 1", b"Content-Length: 2"), FAILED),
        (headed(b"Content-Length: " + b"9" * 5000), FAILED),
        (once(b"HTTP/1.1 204 No Content\r\n\r\n"), FAILED),
        (headed(b"Content-Range: bytes 0-0/1", status=PART), AGAIN),
        (headed(b'ETag: "other"', b"Content-Length: 1"), AGAIN),
        (headed(b"Content-Length: 1"), None),
    ],
)
def test_a_server_that_lies_only_when_the_content_is_asked_for(tmp_path: Path, lie: Answer, code: str | None) -> None:
    answers = iter([headed(b"Content-Length: 1")])  # and the lie after it
    with raw_server(lambda: next(answers, lie)()) as url:
        assert fetched(url, tmp_path / "a.mp4") == code


def test_headers_have_a_limit_of_their_own() -> None:
    """These come to an end, long after it; without a limit they would be taken."""

    def answer() -> Iterator[bytes]:
        yield OK
        for _ in range(40):
            threading.Event().wait(LIMIT_S / 10)
            yield b"a: b\r\n"
        yield b"\r\nx"

    client = HttpClient(AddressGuard(["127.0.0.1"]), timeout_s=30, limit_s=LIMIT_S)
    with raw_server(answer) as url, pytest.raises(TooSlowError), client.answer("GET", parse_url(url), {}):
        pass
