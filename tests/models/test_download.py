"""Downloads from a real server over TLS: broken connections, wrong answers, proxies, full disks."""

import hashlib
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lipsync_core.errors import DiskFullError, ModelCorruptError, ModelError, TransientError
from lipsync_core.models.download import Downloader, RemoteFile
from lipsync_core.models.partial import PartialFile
from lipsync_core.report import Progress
from tests.web import Answer, FileServer, ForwardProxy

CONTENT = np.random.default_rng(1).bytes(1_000_003)
PATH = "/weights.bin"
ROOT = Path(__file__).parents[2]
TIMEOUT_S = 30.0  # as in the product; no test waits so long


@pytest.fixture
def target(folder: Path) -> Path:
    return folder / "weights.bin"


def remote(server: FileServer, path: str = PATH, content: bytes = CONTENT) -> RemoteFile:
    return RemoteFile(server.url(path), hashlib.sha256(content).hexdigest(), len(content))


def fetch(file: RemoteFile, target: Path, retries: int = 3) -> list[Progress]:
    seen: list[Progress] = []
    Downloader(pauses_s=(0.0,) * retries, timeout_s=TIMEOUT_S).fetch(file, target, seen.append)
    return seen


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_file_arrives_whole_and_the_bytes_are_counted(server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer(CONTENT, etag='"one"')
    seen = fetch(remote(server), target)
    assert target.read_bytes() == CONTENT
    assert files(target.parent) == ["weights.bin"]
    done = [progress.done for progress in seen]
    assert done == sorted(done) and done[0] == 0 and done[-1] == len(CONTENT) and len(done) > 10
    assert {(progress.stage, progress.total) for progress in seen} == {("download", len(CONTENT))}


def test_a_file_that_is_here_is_not_fetched_again(server: FileServer, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    fetch(remote(server), target)
    assert server.requests == []


def test_a_file_that_is_here_and_wrong_is_replaced(server: FileServer, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(bytes(len(CONTENT)))
    server.answers[PATH] = Answer(CONTENT)
    fetch(remote(server), target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ['"one"', "", 'W/"weak"'])
@pytest.mark.parametrize("is_length_said", [True, False])
def test_a_cut_connection_is_taken_up_where_it_broke(
    etag: str, is_length_said: bool, server: FileServer, target: Path
) -> None:
    server.answers[PATH] = Answer(CONTENT, etag=etag, cuts=[300_000, 1, 200_000], is_length_said=is_length_said)
    fetch(remote(server), target)
    assert target.read_bytes() == CONTENT
    assert server.ranges() == ["", "bytes=300000-", "bytes=300001-", "bytes=500001-"]
    tags = [headers.get("If-Range") for _, headers in server.requests]
    assert tags == [None] + [etag if etag.startswith('"') else None] * 3


def test_a_later_call_goes_on_with_what_an_earlier_one_left(server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer(CONTENT, etag='"one"', cuts=[400_000] + [0] * 4)
    with pytest.raises(TransientError, match="the connection ended after 400000 of 1000003 bytes") as caught:
        fetch(remote(server), target)
    assert "it goes on" in caught.value.remedy
    assert files(target.parent) == ["weights.bin.partial", "weights.bin.partial.etag"]
    server.requests.clear()
    seen = fetch(remote(server), target)
    assert target.read_bytes() == CONTENT
    assert server.ranges() == ["bytes=400000-"]
    assert seen[0].done == 400_000
    assert files(target.parent) == ["weights.bin"]


def test_a_new_version_on_the_server_is_fetched_from_the_start(server: FileServer, target: Path) -> None:
    partial = PartialFile(target)
    partial.begin('"old"')
    assert list(partial.append(iter([bytes(400_000)]))) == [400_000]
    server.answers[PATH] = Answer(CONTENT, etag='"new"')
    fetch(remote(server), target)
    assert target.read_bytes() == CONTENT
    assert server.ranges() == ["bytes=400000-"]


def test_a_server_without_ranges_is_asked_for_everything_again(server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer(CONTENT, takes_ranges=False, cuts=[400_000, 100_000])
    fetch(remote(server), target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("shift", [-1, 5])
def test_a_part_that_begins_elsewhere_is_not_appended(shift: int, server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer(CONTENT, cuts=[400_000], range_start_shift=shift)
    fetch(remote(server), target)
    assert target.read_bytes() == CONTENT
    assert server.ranges() == ["", "bytes=400000-", ""]


def test_a_part_of_a_file_of_another_size_is_not_appended(server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer(CONTENT, cuts=[400_000, 0, 0, 0, 0])
    with pytest.raises(TransientError):
        fetch(remote(server), target)
    server.answers[PATH] = Answer(CONTENT + b"longer")
    with pytest.raises(ModelCorruptError, match="has 1000009 bytes, not the registered 1000003"):
        fetch(remote(server), target)
    assert server.ranges()[-2:] == ["bytes=400000-", ""]


def test_a_partial_file_longer_than_the_file_is_thrown_away(server: FileServer, target: Path) -> None:
    partial = PartialFile(target)
    partial.begin("")
    list(partial.append(iter([bytes(len(CONTENT) + 1)])))
    server.answers[PATH] = Answer(CONTENT)
    fetch(remote(server), target)
    assert target.read_bytes() == CONTENT


def test_a_range_that_the_server_does_not_have_starts_again(server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer(CONTENT[:400_000], is_length_said=False)
    with pytest.raises(TransientError):  # its file is shorter than the registered one, and it states no length
        fetch(remote(server), target)
    server.answers[PATH] = Answer(CONTENT)
    fetch(remote(server), target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_busy_server_is_asked_again(status: int, server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer(CONTENT, failures=[status] * 3)
    fetch(remote(server), target)
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 4


def test_fetch_fails_when_the_server_stays_busy(server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer(CONTENT, failures=[503] * 9)
    with pytest.raises(TransientError, match="answers 503 Service Unavailable"):
        fetch(remote(server), target)
    assert len(server.requests) == 4
    assert files(target.parent) == []


def test_the_pauses_between_attempts_are_kept(
    server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers[PATH] = Answer(CONTENT, failures=[503] * 2)
    pauses_s: list[float] = []
    monkeypatch.setattr("lipsync_core.models.download.time", SimpleNamespace(sleep=pauses_s.append))
    Downloader(pauses_s=(1.0, 3.0), timeout_s=TIMEOUT_S).fetch(remote(server), target, lambda _: None)
    assert pauses_s == [1.0, 3.0]
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_fetch_fails_at_once_when_the_server_refuses(status: int, server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer(CONTENT, failures=[status])
    with pytest.raises(ModelError, match=f"answers {status} ") as caught:
        fetch(remote(server), target)
    assert "models import" in caught.value.remedy
    assert len(server.requests) == 1


def test_fetch_fails_when_other_bytes_come_and_the_next_call_starts_anew(server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer(bytes(len(CONTENT)))
    with pytest.raises(ModelCorruptError, match="does not have the registered sha256"):
        fetch(remote(server), target)
    assert files(target.parent) == []
    server.answers[PATH] = Answer(CONTENT)
    fetch(remote(server), target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("size_bytes", [0, 10, len(CONTENT) - 1, len(CONTENT) + 1])
def test_fetch_fails_when_the_server_offers_another_size(size_bytes: int, server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer((CONTENT + b"x")[:size_bytes])
    with pytest.raises(ModelCorruptError, match=f"has {size_bytes} bytes, not the registered 1000003"):
        fetch(remote(server), target)
    assert files(target.parent) == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<!DOCTYPE html><title>Log in</title>", content_type="text/html; charset=utf-8"),
        Answer(b"\n <HTML><body>moved</body></HTML>".ljust(len(CONTENT)), is_length_said=False),
        Answer(CONTENT, content_type="text/html"),
    ],
    ids=["said to be", "looks like", "only said to be"],
)
def test_fetch_fails_when_a_web_page_comes_and_keeps_what_is_here(
    answer: Answer, server: FileServer, target: Path
) -> None:
    answer.takes_ranges = False
    server.answers[PATH] = Answer(CONTENT, cuts=[400_000] + [0] * 4)
    with pytest.raises(TransientError):
        fetch(remote(server), target)
    server.answers[PATH] = answer
    with pytest.raises(ModelCorruptError, match="is an HTML page, not a model"):
        fetch(remote(server), target)
    assert PartialFile(target).size_bytes == 400_000


def test_a_redirect_is_followed_with_the_range(server: FileServer, target: Path) -> None:
    server.answers["/here"] = Answer(location=server.url("/there"))
    server.answers["/there"] = Answer(CONTENT, cuts=[400_000])
    fetch(remote(server, "/here"), target)
    assert target.read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["/here", "/there"] * 2
    assert server.ranges()[-1] == "bytes=400000-"


@pytest.mark.parametrize("location", ["http://localhost/there", "file:///etc/passwd", "ftp://localhost/there"])
def test_fetch_fails_when_a_redirect_leaves_https(location: str, server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer(location=location)
    with pytest.raises(ModelError, match=r"not an https address|is not allowed"):
        fetch(remote(server), target)
    assert files(target.parent) == []


def test_fetch_fails_when_redirects_go_round_in_circles(server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer(location=server.url(PATH))
    with pytest.raises(ModelError, match="answers 302"):
        fetch(remote(server), target)


@pytest.mark.parametrize("url", ["http://localhost/a", "file:///etc/passwd", "https:///a", "weights.bin", ""])
def test_fetch_fails_when_the_address_is_not_https(url: str, target: Path) -> None:
    with pytest.raises(ModelError, match="is not an https address"):
        fetch(RemoteFile(url, "0" * 64, 5), target)


def test_fetch_fails_when_the_certificate_is_not_trusted(
    server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    server.answers[PATH] = Answer(CONTENT)
    with pytest.raises(ModelError, match="certificate that is not trusted") as caught:
        fetch(remote(server), target)
    assert not isinstance(caught.value, ModelCorruptError)
    assert "SSL_CERT_FILE" in caught.value.remedy
    assert server.requests == []


def test_fetch_fails_when_nobody_listens(server: FileServer, target: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"https://localhost:{unused.getsockname()[1]}/a"
        with pytest.raises(TransientError, match=r"localhost cannot be reached: .*refused"):
            fetch(RemoteFile(url, "0" * 64, 5), target)


def test_fetch_fails_when_the_server_falls_silent(server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer(CONTENT, stalls_at=0)
    with pytest.raises(TransientError, match="timed out"):
        Downloader(pauses_s=(), timeout_s=0.2).fetch(remote(server), target, lambda _: None)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_the_users_proxy_is_used(
    name: str, server: FileServer, proxy: ForwardProxy, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, proxy.url)
    server.answers[PATH] = Answer(CONTENT, cuts=[400_000])
    file = RemoteFile("https://weights.test" + PATH, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    fetch(file, target)  # a name that only the proxy knows
    assert target.read_bytes() == CONTENT
    assert proxy.asked == ["weights.test:443"] * 2


def test_no_proxy_is_honoured(
    server: FileServer, proxy: ForwardProxy, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "localhost")
    server.answers[PATH] = Answer(CONTENT)
    fetch(remote(server), target)
    assert proxy.asked == []
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [403, 407])
def test_fetch_fails_when_the_proxy_refuses(
    status: int, server: FileServer, proxy: ForwardProxy, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    proxy.refusal = status
    with pytest.raises(ModelError, match=f"the proxy does not lead to localhost: {status}") as caught:
        fetch(remote(server), target)
    assert "HTTPS_PROXY" in caught.value.remedy
    assert len(proxy.asked) == 1


def test_fetch_fails_when_the_proxy_has_no_address(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:port")
    with pytest.raises(ModelError, match="cannot be reached") as caught:
        fetch(RemoteFile("https://weights.test/a", "0" * 64, 5), target)
    assert "HTTPS_PROXY" in caught.value.remedy


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """The system refuses to let any file grow beyond `size_bytes`, as a full disk would."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


def test_fetch_fails_when_the_disk_fills_up_and_goes_on_when_there_is_room(server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer(CONTENT)
    with pytest.raises(DiskFullError, match=r"no room for .*weights\.bin\.partial"), largest_file(600_000):
        fetch(remote(server), target)
    kept_bytes = PartialFile(target).size_bytes
    assert 500_000 < kept_bytes <= 600_000
    fetch(remote(server), target)
    assert target.read_bytes() == CONTENT
    assert server.ranges()[-1] == f"bytes={kept_bytes}-"


def test_fetch_fails_before_a_byte_comes_when_there_will_be_no_room(server: FileServer, target: Path) -> None:
    size_bytes = 1 << 60
    server.answers[PATH] = Answer(CONTENT, is_length_said=False)
    with pytest.raises(DiskFullError, match="has room for"):
        fetch(RemoteFile(server.url(PATH), "0" * 64, size_bytes), target)
    assert files(target.parent) == []


def test_fetch_fails_when_the_folder_cannot_be_made(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    server.answers[PATH] = Answer(CONTENT)
    with pytest.raises(ModelError, match="cannot be written"):
        fetch(remote(server), tmp_path / "file" / "weights.bin")


def test_a_killed_process_leaves_a_part_that_the_next_one_takes_up(server: FileServer, target: Path) -> None:
    server.answers[PATH] = Answer(CONTENT, etag='"one"', stalls_at=400_000)
    file = remote(server)
    code = (
        "import sys; from pathlib import Path; from lipsync_core.models.download import *\n"
        f"file = RemoteFile({file.url!r}, {file.sha256!r}, {file.size_bytes})\n"
        "Downloader().fetch(file, Path(sys.argv[1]), lambda seen: print(seen.done, flush=True))\n"
    )
    command = [sys.executable, "-c", code, str(target)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=os.environ, text=True) as child:
        assert child.stdout is not None
        while int(child.stdout.readline()) < 200_000:
            pass
        child.send_signal(signal.SIGKILL)
    kept_bytes = PartialFile(target).size_bytes
    assert 200_000 <= kept_bytes < len(CONTENT)
    server.answers[PATH].stalls_at = None
    fetch(file, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges() == ["", f"bytes={kept_bytes}-"]
