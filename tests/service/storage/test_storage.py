"""One suite over all kinds of stores: S3, a web server, a folder."""

import hashlib
import os
import random
import socket
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers import starts_servers
from tests.service.conftest import NOT_INSTALLED, S3Server
from tests.service.storage.web_store import WebStore

pytest.importorskip("pydantic_settings", reason=NOT_INSTALLED)
pytest.importorskip("boto3", reason=NOT_INSTALLED)

from lipsync_core.errors import LipSyncError, TransientError
from lipsync_core.limit_errors import DurationLimitError
from lipsync_service.errors import (
    ObjectMissingError,
    StorageError,
    SupersededError,
    TooLargeError,
    UrlRefusedError,
)
from lipsync_service.storage.file import FileStore
from lipsync_service.storage.limits import check_duration
from lipsync_service.storage.source import TargetChangedError
from lipsync_service.storage.storage import Storage
from lipsync_service.storage.url import parse_url

MakeSettings = Callable[..., Any]
LIMIT_BYTES = 24 << 20
PLACES = (pytest.param("s3", marks=starts_servers), "web", "folder")


class Place:
    """A store of one kind, with settings that allow its addresses."""

    def __init__(self, prefix: str, settings: Any) -> None:
        self.prefix = prefix
        self.settings = settings
        self.storage = Storage(settings)

    def url(self, name: str) -> str:
        return f"{self.prefix}/{name}"


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, settings: MakeSettings) -> Place:
    limits: dict[str, Any] = {"max_input_bytes": LIMIT_BYTES}
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        bucket = request.getfixturevalue("bucket")
        return Place(f"s3://{bucket}", settings(**s3_settings(server), **limits))
    if request.param == "web":
        web: WebStore = request.getfixturevalue("web")
        return Place(web.url(""), settings(http_allowed_hosts=(f"127.0.0.1:{web.port}",), **limits))
    (tmp_path / "root").mkdir()
    return Place((tmp_path / "root").as_uri(), settings(file_roots=(tmp_path / "root",), **limits))


def s3_settings(server: S3Server) -> dict[str, Any]:
    return {"s3_endpoint": server.endpoint, "s3_access_key": server.access_key, "s3_secret_key": server.secret_key}


def make_file(path: Path, size_bytes: int, seed: int = 0) -> Path:
    path.write_bytes(random.Random(seed).randbytes(size_bytes))
    return path


def copies(settings: Any) -> list[Path]:
    return sorted(settings.cache_dir.glob("contents/*/*"))


@pytest.mark.parametrize("place", PLACES, indirect=True)
@pytest.mark.parametrize("size_bytes", [0, 1, 5_000, (20 << 20) + 3], ids=lambda size: f"{size}B")
def test_what_was_put_is_fetched_byte_for_byte(place: Place, tmp_path: Path, size_bytes: int) -> None:
    source = make_file(tmp_path / "source", size_bytes)
    url = place.url("deep/folder/name.mp4")
    place.storage.check_target(url)
    assert not place.storage.exists(url)
    place.storage.put(source, url)
    assert place.storage.exists(url)
    with place.storage.fetch(url) as file:
        assert file.path.read_bytes() == source.read_bytes()
        assert file.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
        assert file.size_bytes == size_bytes


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_the_same_content_is_kept_once_and_a_new_version_is_noticed(place: Place, tmp_path: Path) -> None:
    first, second = make_file(tmp_path / "a", 9_000, seed=1), make_file(tmp_path / "b", 9_000, seed=2)
    place.storage.put(first, place.url("a"))
    place.storage.put(first, place.url("again"))
    with place.storage.fetch(place.url("a")) as one, place.storage.fetch(place.url("again")) as two:
        assert one.path == two.path and copies(place.settings) == [one.path]
    place.storage.put(second, place.url("a"))
    with place.storage.fetch(place.url("a")) as changed:
        assert changed.path.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_progress_reaches_the_whole_size(place: Place, tmp_path: Path) -> None:
    place.storage.put(make_file(tmp_path / "source", 20 << 20), place.url("large"))
    seen: list[Any] = []
    with place.storage.fetch(place.url("large"), seen.append):
        pass
    done = [each.done for each in seen]
    assert done == sorted(done) and len(done) > 1 and done[-1] == seen[-1].total == 20 << 20


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_fetching_fails_when_nothing_is_there(place: Place) -> None:
    with pytest.raises(ObjectMissingError) as caught, place.storage.fetch(place.url("missing.mp4")):
        pass
    assert caught.value.code == "NOT_FOUND" and not copies(place.settings)


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_fetching_fails_when_the_file_is_announced_as_too_large(place: Place, tmp_path: Path) -> None:
    place.storage.put(make_file(tmp_path / "source", LIMIT_BYTES + 1), place.url("large"))
    with pytest.raises(TooLargeError) as caught, place.storage.fetch(place.url("large")):
        pass
    assert caught.value.code == "LIMIT_BYTES" and not list(place.settings.cache_dir.rglob("*"))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/a",
        "gopher://example.com/a",
        "/etc/passwd",
        "face.mp4",
        "s3://",
        "s3://bucket",
        "s3://bucket/",
        "https://",
        "https:///a",
        "https://user:pass@example.com/a",
        "https://example.com:99999/a",
        "https://example.com/a\r\nX-Header: 1",
        "https://[::1/a",
        "file://otherhost/a",
        "file:///",
        "file:///a%00b",
        "file:///a?b",
    ],
)
def test_fetching_fails_when_the_address_is_none(settings: MakeSettings, url: str) -> None:
    with pytest.raises(UrlRefusedError) as caught, Storage(settings()).fetch(url):
        pass
    assert caught.value.code == "URL_REFUSED" and "\n" not in str(caught.value) and "pass@" not in str(caught.value)


@pytest.mark.parametrize("kind", [pytest.param("s3", marks=starts_servers), "folder"])
def test_what_the_service_makes_may_be_larger_than_inputs_and_is_removed_when_it_has_served(
    request: pytest.FixtureRequest, tmp_path: Path, settings: MakeSettings, kind: str
) -> None:
    chosen = dict[str, Any](max_input_bytes=100)
    if kind == "s3":
        server = request.getfixturevalue("s3_server")
        chosen |= s3_settings(server) | {"storage_url": f"s3://{request.getfixturevalue('bucket')}/jobs"}
    made = settings(**chosen)
    storage, track, url = Storage(made), make_file(tmp_path / "track", 30_000), f"{made.storage_url}/tracks/one"
    storage.put_shared(track, url)
    with pytest.raises(UrlRefusedError), storage.fetch(url):
        pass
    with storage.fetch_shared(url) as file:
        assert file.path.read_bytes() == track.read_bytes()
    for _ in range(2):
        storage.discard(url)
        assert not storage.exists(url)


@pytest.mark.parametrize("url", ["s3://other/jobs/x", "https://example.com/x", "file:///etc/hosts"])
def test_discarding_fails_when_the_file_is_not_the_services_own(settings: MakeSettings, url: str) -> None:
    with pytest.raises(UrlRefusedError):
        Storage(settings()).discard(url)


def test_a_file_below_the_roots_is_reached_through_a_link_that_stays_there(
    settings: MakeSettings, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    make_file(root / "real" / "a", 10)
    (root / "link").symlink_to("real")
    with Storage(settings(file_roots=(root,))).fetch(f"file://{root}/link/a") as file:
        assert file.size_bytes == 10


def test_fetching_fails_when_a_file_is_outside_of_the_roots(settings: MakeSettings, tmp_path: Path) -> None:
    root, outside = tmp_path / "root", make_file(tmp_path / "outside", 10)
    (root / "sub").mkdir(parents=True)
    (root / "file").symlink_to(outside)
    (root / "folder").symlink_to(tmp_path)
    (tmp_path / "rootless").mkdir()
    make_file(tmp_path / "rootless" / "a", 10)
    storage = Storage(settings(file_roots=(root,)))
    places = (outside, root / "file", root / "folder" / "outside", root / "sub/../../outside", tmp_path / "rootless/a")
    for place in places:
        for url in (f"file://{place}", f"file://{place}".replace("..", "%2e%2e")):
            with pytest.raises(UrlRefusedError) as caught, storage.fetch(url):
                pass
            assert caught.value.code == "URL_REFUSED"


def test_nothing_outside_is_read_when_links_change_between_check_and_use(tmp_path: Path) -> None:
    root, away = tmp_path / "root", tmp_path / "away"
    for folder, content in ((root / "real", b"inside"), (away, b"outside")):
        folder.mkdir(parents=True)
        (folder / "a").write_bytes(content)
    stopped = threading.Event()

    def flip() -> None:
        while not stopped.is_set():
            for target in (root / "real", away):
                (tmp_path / "next").symlink_to(target)
                (tmp_path / "next").replace(root / "link")

    flipping = threading.Thread(target=flip)
    flipping.start()
    store, seen = FileStore([root]), set()
    for _ in range(300):
        with suppress(StorageError), store.opened(parse_url(f"file://{root}/link/a")) as handle:
            seen.add(os.read(handle, 100))
    stopped.set()
    flipping.join()
    assert seen == {b"inside"}


def test_putting_fails_when_the_target_is_outside_of_the_roots(settings: MakeSettings, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "away").mkdir()
    (root / "folder").symlink_to(tmp_path / "away")
    storage, source = Storage(settings(file_roots=(root,))), make_file(tmp_path / "source", 10)
    for url in (f"file://{root}/folder/out.mp4", f"file://{tmp_path}/away/new/out.mp4"):
        with pytest.raises(UrlRefusedError):
            storage.check_target(url)
        with pytest.raises(UrlRefusedError):
            storage.put(source, url)
    assert not list((tmp_path / "away").iterdir())


def test_fetching_fails_when_a_file_is_a_pipe_or_a_folder(settings: MakeSettings, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    storage = Storage(settings(file_roots=(tmp_path,)))
    for name in ("pipe", "folder"):
        with pytest.raises(UrlRefusedError), storage.fetch(f"file://{tmp_path}/{name}"):
            pass


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder"])
def test_putting_replaces_nothing_but_a_file(settings: MakeSettings, tmp_path: Path, kind: str) -> None:
    target = tmp_path / kind
    with socket.socket(socket.AF_UNIX) as bound:
        {"pipe": os.mkfifo, "socket": lambda path: bound.bind(str(path)), "folder": os.mkdir}[kind](target)
    before = target.lstat()
    storage = Storage(settings(file_roots=(tmp_path,)))
    with pytest.raises(UrlRefusedError, match="not a regular file"):
        storage.check_target(target.as_uri())
    with pytest.raises(UrlRefusedError, match="not a regular file"):
        storage.put(make_file(tmp_path / "source", 10), target.as_uri())
    assert os.path.samestat(before, target.lstat())
    assert not list(tmp_path.glob(".*.partial"))


def test_putting_leaves_nothing_when_the_folder_cannot_be_written(settings: MakeSettings, tmp_path: Path) -> None:
    make_file(tmp_path / "file", 1)
    storage = Storage(settings(file_roots=(tmp_path,)))
    with pytest.raises(StorageError):
        storage.put(make_file(tmp_path / "source", 10), f"file://{tmp_path}/file/out.mp4")
    (tmp_path / "taken").mkdir()
    with pytest.raises(LipSyncError):
        storage.put(tmp_path / "source", f"file://{tmp_path}/taken")
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.parametrize("suffix", [".mp4", ".h264", ".wav", ".mkv"])
def test_the_duration_limit_holds_whatever_the_file_says(ffmpeg: Any, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"media{suffix}"
    live = ("-live", "1") if suffix == ".mkv" else ()  # a recording without a stated duration
    kind = "sine=duration=3" if suffix == ".wav" else "testsrc2=size=64x48:rate=25:duration=3"
    codec = () if suffix == ".wav" else ("-c:v", "libx264")
    ffmpeg("-f", "lavfi", "-i", kind, *codec, *live, f"file:{path}")
    check_duration(path, "media", max_duration_s=3.2)
    with pytest.raises(DurationLimitError) as caught:
        check_duration(path, "s3://bucket/media", max_duration_s=2.0)
    assert caught.value.code == "LIMIT_DURATION" and "s3://bucket/media" in str(caught.value)


def test_nothing_that_gives_access_is_shown(settings: MakeSettings, web: WebStore, caplog: Any, tmp_path: Path) -> None:
    chosen = settings(http_allowed_hosts=("127.0.0.1",))
    storage = Storage(chosen)
    secret = "hid" + "den"  # put together, because a traceback quotes this file
    query = f"?X-Amz-Credential={secret}-key&X-Amz-Signature={secret}-signature"
    web.pages["/gone"] = web_page(failures=[403])
    web.pages["/away"] = web_page(location=f"http://127.0.0.1:1/x?token={secret}-token")
    said = [repr(storage), repr(chosen)]
    caplog.set_level("DEBUG")
    for url in (web.url(f"/gone{query}"), web.url(f"/none{query}"), web.url(f"/away{query}")):
        with pytest.raises((StorageError, TransientError)) as caught, storage.fetch(url):
            pass
        said += ["".join(traceback.format_exception(caught.value)), repr(caught.value), str(caught.value)]
    with pytest.raises(UrlRefusedError) as refused, storage.fetch(f"https://me:{secret}-password@example.com/a"):
        pass
    web.pages["/fine"] = web_page(content=b"media")
    with storage.fetch(web.url(f"/fine{query}")) as file:
        said.append(repr(file))
    storage.put(make_file(tmp_path / "out", 10), web.url(f"/put{query}"))
    said += ["".join(traceback.format_exception(refused.value)), caplog.text]
    said += [path.read_text() for path in chosen.cache_dir.glob("sources/*")]
    said += [str(path) for path in chosen.cache_dir.rglob("*")]
    assert any("/gone" in each for each in said)
    assert secret not in "\n".join(said)


def web_page(**chosen: Any) -> Any:
    from tests.service.storage.web_store import Page

    return Page(**chosen)


def test_what_is_held_is_told_by_its_checksum(s3_server: S3Server, bucket: str, settings: Any, tmp_path: Path) -> None:
    storage = Storage(settings(**s3_settings(s3_server)))
    path, other = make_file(tmp_path / "a", 12 << 20), make_file(tmp_path / "b", 12 << 20, seed=1)
    seen: list[int] = []
    storage.put(path, f"s3://{bucket}/held", lambda progress: seen.append(progress.done))
    assert (seen[0], seen[-1]) == (0, 12 << 20) and len(seen) > 3
    assert storage.holds(path, f"s3://{bucket}/held")
    assert not storage.holds(other, f"s3://{bucket}/held")
    assert not storage.holds(path, f"s3://{bucket}/missing")


@pytest.mark.parametrize("place", PLACES, indirect=True)
@pytest.mark.parametrize("size_bytes", [5_000, 9 << 20], ids=lambda size: f"{size}B")
def test_a_writer_that_may_no_longer_write_leaves_what_is_there(place: Place, tmp_path: Path, size_bytes: int) -> None:
    delivered, late = make_file(tmp_path / "a", 9_000, seed=1), make_file(tmp_path / "b", size_bytes, seed=2)
    place.storage.put(delivered, place.url("out"), may_write=lambda: None)

    def refused() -> None:
        raise SupersededError("the job has gone on")

    with pytest.raises(SupersededError):
        place.storage.put(late, place.url("out"), may_write=refused)
    with place.storage.fetch(place.url("out")) as file:
        assert file.path.read_bytes() == delivered.read_bytes()
    assert not [path.name for path in tmp_path.rglob("*.partial")]


@pytest.mark.parametrize("place", [pytest.param("s3", marks=starts_servers)], indirect=True)
@pytest.mark.parametrize("size_bytes", [5_000, 9 << 20], ids=lambda size: f"{size}B")
@pytest.mark.parametrize("was_there", [False, True], ids=["nothing", "a file"])
def test_a_file_that_comes_after_the_last_question_is_not_replaced(
    place: Place, tmp_path: Path, size_bytes: int, was_there: bool
) -> None:
    """As where the writer is paused between its question and its upload."""
    url, other = place.url("out"), Storage(place.settings)
    first, delivered, late = (make_file(tmp_path / f"{seed}", size_bytes, seed) for seed in (1, 2, 3))
    if was_there:
        place.storage.put(first, url)
    with pytest.raises(TargetChangedError):
        place.storage.put(late, url, may_write=lambda: other.put(delivered, url))
    with place.storage.fetch(url) as file:
        assert file.path.read_bytes() == delivered.read_bytes()
    place.storage.put(late, url, may_write=lambda: None)  # the writer asks again, and may
    with place.storage.fetch(url) as file:
        assert file.path.read_bytes() == late.read_bytes()
    place.storage.put(first, url)  # without a question, as ever
