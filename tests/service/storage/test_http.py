"""Failures between this host and a web server, and hosts that a job's addresses must not lead to."""

import hashlib
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import NOT_INSTALLED
from tests.service.storage.web_store import Page, WebStore

pytest.importorskip("pydantic_settings", reason=NOT_INSTALLED)

from lipsync_core.errors import TransientError
from lipsync_service.errors import (
    AccessDeniedError,
    ObjectMissingError,
    StorageError,
    TooLargeError,
    TooSlowError,
    UrlRefusedError,
)
from lipsync_service.storage.address import AddressGuard
from lipsync_service.storage.download import Downloader
from lipsync_service.storage.http import HttpStore
from lipsync_service.storage.http_client import HttpClient
from lipsync_service.storage.storage import Storage
from lipsync_service.storage.url import parse_url

MakeSettings = Callable[..., Any]
CONTENT = random.Random(7).randbytes(1_000_003)
SEGMENT_BYTES = 100_000


def download(web: WebStore, target: Path, *, host: str = "127.0.0.1", pauses_s: Iterable[float] = (0.0,)) -> str:
    """Fetch `/a` in small pieces and return its sha256."""
    store = HttpStore(HttpClient(AddressGuard(["localhost", "127.0.0.1"]), timeout_s=30.0))
    source = store.source(parse_url(web.url("/a", host)))
    downloader = Downloader(2_000_000, 4, tuple(pauses_s), SEGMENT_BYTES)
    return downloader.fetch(source, source.version(), target, lambda _: None)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_ranges_are_asked_for_in_parallel(web: WebStore, tmp_path: Path) -> None:
    web.pages["/a"] = Page(CONTENT, wants_company=True)
    assert download(web, tmp_path / "a") == sha256(CONTENT)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert 1 < web.most_at_once <= 4
    assert sorted(web.ranges()[1:]) == sorted(
        f"bytes={start}-{min(start + SEGMENT_BYTES, len(CONTENT)) - 1}"
        for start in range(0, len(CONTENT), SEGMENT_BYTES)
    )


@pytest.mark.parametrize(
    "page",
    [
        Page(CONTENT, takes_ranges=False),
        Page(CONTENT, etag=""),
        Page(CONTENT, takes_ranges=False, is_length_said=False),
    ],
    ids=["no ranges", "no tag", "no length"],
)
def test_one_connection_brings_all_where_parts_cannot_be_trusted(web: WebStore, tmp_path: Path, page: Page) -> None:
    web.pages["/a"] = page
    assert download(web, tmp_path / "a") == sha256(CONTENT)
    assert web.ranges() == ["bytes=0-0"]


def test_a_broken_connection_goes_on_where_it_broke(web: WebStore, tmp_path: Path) -> None:
    web.pages["/a"] = Page(CONTENT, cuts=[70_000, 30_000, 0])
    assert download(web, tmp_path / "a") == sha256(CONTENT)
    starts = {int(each.removeprefix("bytes=").split("-")[0]) for each in web.ranges()}
    assert any(start % SEGMENT_BYTES == 65_536 or start % SEGMENT_BYTES == 70_000 for start in starts)


def test_another_process_goes_on_with_the_pieces_that_are_here(web: WebStore, tmp_path: Path) -> None:
    web.pages["/a"] = Page(CONTENT, answers_left=1 + 4)  # the request for the version, and four segments
    with pytest.raises(TransientError):
        download(web, tmp_path / "a", pauses_s=())
    journal = (tmp_path / "a.done").read_text().splitlines()[1:]
    assert 0 < len(journal) <= 4
    web.requests.clear()
    web.pages["/a"].answers_left = None
    assert download(web, tmp_path / "a") == sha256(CONTENT)
    asked = {int(each.removeprefix("bytes=").split("-")[0]) // SEGMENT_BYTES for each in web.ranges()[1:]}
    assert asked.isdisjoint(int(line) for line in journal)
    assert not (tmp_path / "a.done").exists()


def test_pieces_of_an_older_version_are_not_mixed_with_the_new_one(web: WebStore, tmp_path: Path) -> None:
    web.pages["/a"] = Page(CONTENT, answers_left=5)
    with pytest.raises(TransientError):
        download(web, tmp_path / "a", pauses_s=())
    web.pages["/a"] = Page(CONTENT[::-1], etag='"v2"')
    assert download(web, tmp_path / "a") == sha256(CONTENT[::-1])


def test_fetching_fails_when_the_file_changes_meanwhile(web: WebStore, tmp_path: Path) -> None:
    web.pages["/a"] = Page(CONTENT, then=Page(CONTENT[::-1], etag='"v2"'))
    with pytest.raises(TransientError, match="changed while it was read"):
        download(web, tmp_path / "a")


def test_fetching_fails_when_the_connection_breaks_every_time(web: WebStore, tmp_path: Path) -> None:
    web.pages["/a"] = Page(CONTENT, takes_ranges=False, cuts=[10_000] * 9)
    with pytest.raises(TransientError) as caught:
        download(web, tmp_path / "a", pauses_s=(0.0, 0.0))
    assert caught.value.code == "TRANSIENT" and len(web.requests) == 1 + 3


def test_fetching_fails_when_more_comes_than_the_limit(web: WebStore, tmp_path: Path) -> None:
    web.pages["/a"] = Page(CONTENT * 3, takes_ranges=False, is_length_said=False)
    with pytest.raises(TooLargeError):
        download(web, tmp_path / "a")
    assert (tmp_path / "a").stat().st_size <= 2_000_000


@pytest.mark.parametrize("is_length_said", [True, False])
def test_what_a_server_sends_on_top_is_not_taken(web: WebStore, tmp_path: Path, is_length_said: bool) -> None:
    web.pages["/a"] = Page(CONTENT, excess=b"x" * 100_000, is_length_said=is_length_said)
    assert download(web, tmp_path / "a") == sha256(CONTENT)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_fetching_fails_when_the_server_compresses(web: WebStore, tmp_path: Path) -> None:
    web.pages["/a"] = Page(CONTENT, encoding="gzip")
    with pytest.raises(StorageError, match="gzip"):
        download(web, tmp_path / "a")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AccessDeniedError),
        (403, AccessDeniedError),
        (404, ObjectMissingError),
        (410, ObjectMissingError),
        (413, TooLargeError),
        (418, StorageError),
        (429, TransientError),
        (500, TransientError),
        (503, TransientError),
    ],
)
def test_every_refusal_has_its_class(
    web: WebStore, settings: MakeSettings, tmp_path: Path, status: int, error: Any
) -> None:
    storage = Storage(settings(http_allowed_hosts=("127.0.0.1",)))
    (tmp_path / "out").write_bytes(CONTENT)
    web.pages["/a"] = Page(CONTENT, failures=[status, status])
    with pytest.raises(error), storage.fetch(web.url("/a")):
        pass
    with pytest.raises(error):
        storage.put(tmp_path / "out", web.url("/a"))


def test_a_presigned_put_sends_the_file_and_its_query(web: WebStore, settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(CONTENT)
    storage = Storage(settings(http_allowed_hosts=("127.0.0.1",)))
    storage.put(tmp_path / "out", web.url("/b/out.mp4?X-Amz-Signature=abc%2F&x=1"))
    method, path, headers = web.requests[0]
    assert (method, path) == ("PUT", "/b/out.mp4?X-Amz-Signature=abc%2F&x=1")
    assert web.pages["/b/out.mp4"].content == CONTENT
    assert "Content-Type" not in headers and "Authorization" not in headers  # would not match the signature
    web.pages["/c"] = Page(location=web.url("/d"))
    storage.put(tmp_path / "out", web.url("/c"))
    assert web.pages["/d"].content == CONTENT


def test_a_url_signed_anew_is_the_same_file(web: WebStore, settings: MakeSettings) -> None:
    web.pages["/a"] = Page(CONTENT)
    storage = Storage(settings(http_allowed_hosts=("127.0.0.1",)))
    with storage.fetch(web.url("/a?X-Amz-Signature=1")), storage.fetch(web.url("/a?X-Amz-Signature=2")):
        assert web.ranges().count("bytes=0-0") == 2 and len(web.requests) == 3
    with storage.fetch(web.url("/a?version=2")):
        assert len(web.requests) == 5


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "0x7f.1", "2130706433", "0", "127.1", "[::ffff:127.0.0.1]", "127.0.0.1."],
)
def test_fetching_fails_when_the_host_is_this_machine(web: WebStore, settings: MakeSettings, host: str) -> None:
    web.pages["/a"] = Page(b"secret")
    with pytest.raises((UrlRefusedError, ObjectMissingError)), Storage(settings()).fetch(web.url("/a", host)):
        pass
    with pytest.raises((UrlRefusedError, ObjectMissingError)):
        Storage(settings()).put(Path(__file__), web.url("/a", host))
    with pytest.raises((UrlRefusedError, ObjectMissingError)):
        Storage(settings()).check_target(web.url("/a", host))
    assert not web.requests


def test_fetching_fails_when_one_of_the_addresses_is_not_public(settings: MakeSettings) -> None:
    storage = Storage(settings(), resolve=lambda host, port: ("93.184.216.34", "10.0.0.1"))
    with pytest.raises(UrlRefusedError, match="not public") as caught, storage.fetch("http://example.com/a"):
        pass
    assert "10.0.0.1" not in str(caught.value)  # a refusal also reveals nothing of the inner network


def test_fetching_fails_when_a_redirect_leads_inside(web: WebStore, settings: MakeSettings) -> None:
    storage = Storage(settings(http_allowed_hosts=(f"127.0.0.1:{web.port}",)))
    for target in (f"http://localhost:{web.port}/secret", "http://127.0.0.1:1/", "file:///etc/passwd", "//[::1]/"):
        web.pages["/a"], web.pages["/secret"] = Page(location=target), Page(b"secret")
        with pytest.raises(UrlRefusedError), storage.fetch(web.url("/a")):
            pass
        with pytest.raises(UrlRefusedError):
            storage.put(Path(__file__), web.url("/a"))
    assert all(path == "/a" for _, path, _ in web.requests)


def test_a_redirect_on_an_allowed_host_is_followed(web: WebStore, settings: MakeSettings) -> None:
    web.pages["/a"], web.pages["/deep/b"] = Page(location="deep/b"), Page(CONTENT)
    with Storage(settings(http_allowed_hosts=("127.0.0.1",))).fetch(web.url("/a")) as file:
        assert file.path.read_bytes() == CONTENT


def test_fetching_fails_when_redirects_go_round(web: WebStore, settings: MakeSettings) -> None:
    web.pages["/a"] = Page(location="/a")
    with pytest.raises(UrlRefusedError), Storage(settings(http_allowed_hosts=("127.0.0.1",))).fetch(web.url("/a")):
        pass
    assert len(web.requests) == 6


def test_the_connection_goes_to_the_checked_address_whatever_the_name_means_next(
    web: WebStore, settings: MakeSettings
) -> None:
    # Every look-up of the name except the guard's leads to this machine.
    web.pages["/a"] = Page(b"secret")
    asked: list[str] = []

    def rebinding(host: str, port: int) -> tuple[str, ...]:
        asked.append(host)
        return ("192.0.2.1",) if len(asked) == 1 else ("127.0.0.1",)

    guard = AddressGuard(["localhost"], rebinding)
    client = HttpClient(guard, timeout_s=0.3)
    with pytest.raises(TransientError), client.answer("GET", parse_url(web.url("/a", "localhost")), {}):
        pass
    assert asked == ["localhost"] and not web.requests  # 192.0.2.1 has no host (RFC 5737); no other address was tried
    storage = Storage(settings(), resolve=lambda host, port: ("127.0.0.1",))
    with pytest.raises(UrlRefusedError), storage.fetch(web.url("/a", "rebound.example.com")):
        pass
    assert not web.requests


def test_tls_verifies_the_name_although_the_connection_goes_to_an_address(
    secure_web: WebStore, settings: MakeSettings
) -> None:
    secure_web.pages["/a"] = Page(CONTENT)
    hosts = ("weights.test", ".example.com")
    storage = Storage(settings(http_allowed_hosts=hosts), resolve=lambda host, port: ("127.0.0.1",))
    with storage.fetch(secure_web.url("/a", "weights.test")) as file:
        assert file.path.read_bytes() == CONTENT
    assert secure_web.requests[0][2]["Host"] == f"weights.test:{secure_web.port}"
    with pytest.raises(StorageError, match="not trusted"), storage.fetch(secure_web.url("/a", "www.example.com")):
        pass


def test_fetching_fails_when_a_redirect_leaves_tls(secure_web: WebStore, web: WebStore, settings: MakeSettings) -> None:
    web.pages["/a"], secure_web.pages["/a"] = Page(CONTENT), Page(location=web.url("/a"))
    storage = Storage(settings(http_allowed_hosts=("127.0.0.1", "localhost")))
    with pytest.raises(UrlRefusedError, match="redirects"), storage.fetch(secure_web.url("/a", "localhost")):
        pass
    assert not web.requests


def test_fetching_fails_when_nobody_listens(settings: MakeSettings) -> None:
    with (
        pytest.raises(TransientError),
        Storage(settings(http_allowed_hosts=("127.0.0.1",))).fetch("http://127.0.0.1:9/"),
    ):
        pass


def test_fetching_fails_when_the_server_is_too_slow_for_the_settings(web: WebStore, settings: MakeSettings) -> None:
    """It would bring all of it, in two seconds."""
    web.pages["/a"] = Page(CONTENT * 2, takes_ranges=False, pause_s=0.07)
    storage = Storage(settings(http_allowed_hosts=("127.0.0.1",), max_transfer_s=0.5))
    with pytest.raises(TooSlowError) as caught, storage.fetch(web.url("/a")):
        pass
    assert caught.value.code == "LIMIT_TRANSFER_TIME"


def test_fetching_fails_when_there_is_no_such_host(settings: MakeSettings) -> None:
    storage = Storage(settings(), resolve=lambda host, port: ())
    with pytest.raises(ObjectMissingError), storage.fetch("https://nowhere.example/a"):
        pass
