"""The cache between threads, processes and crashes."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import NOT_INSTALLED
from tests.service.storage.web_store import Page, WebStore

pytest.importorskip("pydantic_settings", reason=NOT_INSTALLED)

from lipsync_core.errors import OutputError
from lipsync_service.storage.cache import DownloadCache
from lipsync_service.storage.storage import Storage

ROOT = Path(__file__).parents[3]
FILE_BYTES = 40_960  # whole blocks of every common file system
CAP_BYTES = 3 * FILE_BYTES + 1000

# Leases the given content, prints that it has, and waits to be killed.
HOLD = """
import sys, time
from pathlib import Path
from lipsync_service.storage.cache import DownloadCache
with DownloadCache(Path(sys.argv[1]), int(sys.argv[2])).lease(sys.argv[3]) as path:
    print(path, flush=True)
    time.sleep(60)
"""
# Fetches an address again and again in a cache that is always too small.
CHURN = """
import hashlib, sys
from pathlib import Path
from lipsync_service.settings import Settings
from lipsync_service.storage.storage import Storage
folder, base = Path(sys.argv[1]), sys.argv[2]
storage = Storage(Settings(cache_dir=folder, cache_cap_bytes=100_000, http_allowed_hosts=("127.0.0.1",)))
for turn in range(12):
    with storage.fetch(f"{base}/{turn % 4}") as file:
        assert hashlib.sha256(file.path.read_bytes()).hexdigest() == file.sha256
"""


@pytest.fixture
def cache(tmp_path: Path) -> DownloadCache:
    return DownloadCache(tmp_path / "cache", CAP_BYTES)


def add(cache: DownloadCache, text: str) -> str:
    """Put a file of FILE_BYTES into the cache; its sha256."""
    content = text.encode().ljust(FILE_BYTES, b".")
    sha256 = hashlib.sha256(content).hexdigest()
    with ExitStack() as lease:
        with cache.arriving(text) as partial:
            partial.write_bytes(content)
            path = lease.enter_context(cache.admit(partial, sha256))
        assert path.read_bytes() == content
    return sha256


def is_here(cache: DownloadCache, sha256: str) -> bool:
    with cache.lease(sha256) as path:
        return path is not None


def test_the_least_recently_used_goes_first(cache: DownloadCache) -> None:
    first, second, third = (add(cache, name) for name in "abc")
    assert is_here(cache, first)  # which is a use
    fourth = add(cache, "d")
    assert [is_here(cache, each) for each in (second, first, third, fourth)] == [False, True, True, True]


def test_what_is_in_use_is_never_removed(cache: DownloadCache, caplog: pytest.LogCaptureFixture) -> None:
    first = add(cache, "a")
    with cache.lease(first) as path:
        assert path is not None
        for name in "bcdefg":
            add(cache, name)
        assert path.exists()
    held = [add(cache, name) for name in "hij"]
    leases = [cache.lease(each) for each in held]
    paths = [each.__enter__() for each in leases]
    add(cache, "k")  # no other file can be evicted, so this one is when it is released
    assert all(path is not None and path.exists() for path in paths)
    assert "everything in it is in use" in caplog.text
    for each in leases:
        each.__exit__(None, None, None)


def test_the_cap_holds_when_a_file_alone_is_larger(tmp_path: Path) -> None:
    cache = DownloadCache(tmp_path, 1000)
    sha256 = add(cache, "a")  # usable for as long as it is leased
    assert not is_here(cache, sha256)


def test_another_process_keeps_a_file_until_it_is_killed(cache: DownloadCache, tmp_path: Path) -> None:
    first = add(cache, "a")
    command = [sys.executable, "-c", HOLD, str(tmp_path / "cache"), str(CAP_BYTES), first]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            path = Path(process.stdout.readline().strip())
            for name in "bcde":
                add(cache, name)
            assert path.exists() and path.name == first
        finally:
            os.kill(process.pid, signal.SIGKILL)
    add(cache, "f")
    assert not path.exists()  # the lease died with its process


def test_an_unfinished_download_counts_and_goes_when_nobody_brings_it(cache: DownloadCache, tmp_path: Path) -> None:
    with cache.arriving("abandoned") as partial:
        partial.write_bytes(b"x" * FILE_BYTES)
        partial.with_name("abandoned.done").write_text("header\n0\n")
        for name in "abcd":
            add(cache, name)
        assert partial.exists()  # in use
    for name in "efg":
        add(cache, name)
    assert not list((tmp_path / "cache" / "arriving").iterdir())


def test_not_every_file_costs_a_look_at_all_of_them(tmp_path: Path) -> None:
    cache, folder = DownloadCache(tmp_path / "cache", 10 * CAP_BYTES), tmp_path / "cache"
    for name in "abc":
        add(cache, name)
    size, looked_at = (folder / "usage").read_text().split()
    assert int(size) == 3 * FILE_BYTES
    foreign = folder / "contents" / "00" / ("0" * 64)  # seen by a look alone
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_bytes(b"x" * FILE_BYTES)
    add(cache, "d")
    assert (folder / "usage").read_text().split() == [str(4 * FILE_BYTES), looked_at]
    (folder / "usage").write_text(f"{4 * FILE_BYTES} {float(looked_at) - 61}")
    add(cache, "e")
    assert int((folder / "usage").read_text().split()[0]) == 6 * FILE_BYTES


@pytest.mark.parametrize("note", ["", "many", "12", "0 nan", "0 99999999999", "-5 0", "\xff"])
def test_a_damaged_usage_is_looked_up_anew(note: str, cache: DownloadCache, tmp_path: Path) -> None:
    first = add(cache, "a")
    for name in "bc":
        add(cache, name)
        (tmp_path / "cache" / "usage").write_text(note, encoding="latin-1")
    add(cache, "d")
    assert not is_here(cache, first)


def test_a_key_whose_content_is_gone_is_forgotten(cache: DownloadCache, tmp_path: Path) -> None:
    cache.remember("key-of-a", add(cache, "a"))
    assert cache.remembered("key-of-a") is not None
    for name in "bcde":
        add(cache, name)
    assert not (tmp_path / "cache" / "sources" / "key-of-a").exists()
    assert cache.remembered("key-of-a") is None and cache.remembered("never") is None


def test_of_a_content_that_stays_only_the_latest_keys_are_remembered(cache: DownloadCache, tmp_path: Path) -> None:
    kept = add(cache, "a")
    for number in range(150):
        cache.remember(f"key-{number}", kept)
        os.utime(tmp_path / "cache" / "sources" / f"key-{number}", (number, number))
    with cache.lease(kept):
        for name in "bcde":
            add(cache, name)
    assert {path.name for path in (tmp_path / "cache" / "sources").iterdir()} == {
        f"key-{number}" for number in range(50, 150)
    }


def test_a_damaged_note_is_no_note(cache: DownloadCache, tmp_path: Path) -> None:
    cache.remember("key", "f" * 64)
    (tmp_path / "cache" / "sources" / "key").write_bytes(b"../../etc/passwd\xff")
    assert cache.remembered("key") is None


def test_one_download_serves_all_who_ask_at_once(web: WebStore, settings: Callable[..., Any]) -> None:
    web.pages["/a"] = Page(b"media" * 50_000, pause_s=0.05)
    storage = Storage(settings(http_allowed_hosts=("127.0.0.1",)))
    together = threading.Barrier(6)

    def ask(_: int) -> Path:
        together.wait()
        with storage.fetch(web.url("/a")) as file:
            assert file.path.stat().st_size == 250_000
            return file.path

    with ThreadPoolExecutor(6) as pool:
        paths = set(pool.map(ask, range(6)))
    assert len(paths) == 1
    assert len([each for each in web.ranges() if each != "bytes=0-0"]) == 1


def test_processes_share_a_cache_that_is_too_small_for_them(web: WebStore, tmp_path: Path) -> None:
    for name in range(4):
        web.pages[f"/{name}"] = Page(bytes([name]) * 60_000, etag=f'"{name}"')
    command = [sys.executable, "-W", "error", "-c", CHURN, str(tmp_path / "cache"), web.url("")]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)]
    for process in running:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    sizes = [path.stat().st_size for path in (tmp_path / "cache" / "contents").glob("*/*")]
    assert sum(sizes) <= 100_000 and not list((tmp_path / "cache").rglob("*.lock"))


def test_a_download_that_was_killed_is_taken_up_by_the_next(web: WebStore, settings: Callable[..., Any]) -> None:
    content = os.urandom(33 << 20)
    web.pages["/a"] = Page(content, pause_s=0.003)
    chosen = settings(http_allowed_hosts=("127.0.0.1",), download_connections=2)
    script = (
        "import sys\n"
        "from lipsync_service.settings import Settings\n"
        "from lipsync_service.storage.storage import Storage\n"
        "chosen = Settings(cache_dir=sys.argv[1], http_allowed_hosts=('127.0.0.1',), download_connections=2)\n"
        "with Storage(chosen).fetch(sys.argv[2], lambda each: print(each.done, flush=True)): pass\n"
    )
    command = [sys.executable, "-c", script, str(chosen.cache_dir), web.url("/a")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        brought_bytes = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
    with Storage(chosen).fetch(web.url("/a")) as file:
        assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert brought_bytes == 8 << 20
    # The server may note requests of the killed process late; the next process begins by asking for the first byte.
    ranges = web.ranges()
    latest_start = len(ranges) - 1 - ranges[::-1].index("bytes=0-0")
    assert len(set(ranges[latest_start + 1 :])) < 5  # of the five pieces at least one was here


def test_other_users_cannot_look_into_the_cache(cache: DownloadCache, tmp_path: Path) -> None:
    add(cache, "a")
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


def test_the_cache_fails_when_its_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError), DownloadCache(tmp_path / "file" / "cache", CAP_BYTES).arriving("a"):
        pass
