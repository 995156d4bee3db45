"""Kills one to three random parts of a working service at a time with `kill -9`, and counts the lost jobs.

It starts a service of its own below a temporary folder and stops it at the end. After every round it starts the killed
parts again, as systemd or Kubernetes would. All jobs make the same movie under different names, so their results can
be compared.

    python benchmarks/killing.py [--seed 1] [--jobs 12] [--rounds 5]
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

_REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_REPOSITORY))

from benchmarks.service_overhead import distinct_copy  # noqa: E402
from infra.local.layout import BUCKET, Layout  # noqa: E402
from infra.local.objects import read_keys  # noqa: E402
from lipsync_core.errors import LipSyncError  # noqa: E402
from lipsync_service.client.prefect_api import FlowRun, RunOrder, open_api  # noqa: E402
from lipsync_service.settings import Settings  # noqa: E402
from lipsync_service.storage.storage import Storage  # noqa: E402

_SPEECH, _FACE = (_REPOSITORY / "demo" / name for name in ("speech.wav", "face.mp4"))
_FIRST_PORT = 14_200
_FOLDER_URL = f"s3://{BUCKET}/killing"
_PARTS = ("run", "worker-lipsync-cpu", "worker-lipsync-gpu", "launcher", "prefect-server", "watcher", "postgres", "s3")
_MAX_KILLED = 3  # at a time
_BETWEEN_S = (3.0, 8.0)
_LIMIT_S = 600.0
_POLL_S = 2.0


@dataclass(frozen=True)
class Stack:
    """The service of this benchmark."""

    layout: Layout

    def run(self, command_name: str) -> None:
        """Run a command of the local stack: `up` starts all parts that do not run, `down` stops all."""
        options = ("--root", str(self.layout.root), "--first-port", str(self.layout.first_port))
        command = [sys.executable, "-m", "infra.local", *options, command_name]
        subprocess.run(command, cwd=_REPOSITORY, check=True, stdout=subprocess.DEVNULL, timeout=300)

    def settings(self) -> Settings:
        """The settings of a caller."""
        keys = read_keys(self.layout.s3_keys)
        access = {"s3_access_key": keys.access_key, "s3_secret_key": keys.secret_key}
        urls = {"api_url": self.layout.api_url, "s3_endpoint": self.layout.s3_url, "storage_url": _FOLDER_URL}
        return Settings.model_validate({**access, **urls, "cache_dir": self.layout.root / "caller"})

    def kill(self, part: str) -> bool:
        """Kill the part; returns whether it ran."""
        pid = self._pid(part)
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _pid(self, part: str) -> int | None:
        if part == "postgres":
            return int((self.layout.postgres / "postmaster.pid").read_text().splitlines()[0])
        if part != "run":
            return self._recorded_pid(part)
        launcher = self._recorded_pid("launcher")
        children = Path(f"/proc/{launcher}/task/{launcher}/children")
        return next((int(pid) for pid in children.read_text().split()), None) if children.exists() else None

    def _recorded_pid(self, part: str) -> int:
        return int(json.loads((self.layout.runs / f"{part}.json").read_text())["pid"])


@contextmanager
def started() -> Iterator[Stack]:
    """A stack that runs for the block."""
    with tempfile.TemporaryDirectory(prefix="lipsync-killing-") as folder, ExitStack() as last:
        stack = Stack(Layout(_REPOSITORY, Path(folder) / "stack", _FIRST_PORT))
        last.callback(stack.run, "down")
        stack.run("up")
        yield stack


def submitted(settings: Settings, count: int, folder: Path) -> list[UUID]:
    """Submit the jobs, each with a video of its own, so that no result comes from a cache."""
    storage, jobs = Storage(settings), []
    storage.put_shared(_SPEECH, f"{_FOLDER_URL}/speech.wav")
    with open_api(settings) as api:
        for number in range(count):
            storage.put_shared(distinct_copy(_FACE, folder / f"{number}.mp4"), f"{_FOLDER_URL}/{number}.mp4")
            files = {"video": f"{_FOLDER_URL}/{number}.mp4", "audio": f"{_FOLDER_URL}/speech.wav"}
            request = {**files, "output": f"{_FOLDER_URL}/{number}-out.mp4", "model": "viseme"}
            run, _ = api.create_run("lipsync/lipsync", RunOrder(f"killing-{number}", {"request": request}))
            jobs.append(run.id)
    return jobs


def finished(settings: Settings, jobs: list[UUID]) -> list[FlowRun]:
    """Wait until all runs have ended, or for 10 minutes, and return them."""
    end_s = time.monotonic() + _LIMIT_S
    with open_api(settings) as api:
        while True:
            runs = [api.run(job) for job in jobs]
            is_over = all(run.state.is_final and run.state.type != "CRASHED" for run in runs)
            if is_over or time.monotonic() > end_s:
                return runs
            time.sleep(_POLL_S)


def contents(settings: Settings, count: int) -> Counter[str]:
    """The number of results by sha256, and of missing ones by error code."""
    storage, found = Storage(settings), Counter[str]()
    for number in range(count):
        try:
            with storage.fetch_shared(f"{_FOLDER_URL}/{number}-out.mp4") as file:
                found[file.sha256] += 1
        except LipSyncError as error:
            found[error.code] += 1
    return found


def main() -> None:
    """Print the killed parts, and the outcomes of the jobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with started() as stack, tempfile.TemporaryDirectory() as folder:
        settings = stack.settings()
        began_s = time.monotonic()
        jobs = submitted(settings, arguments.jobs, Path(folder))
        for _ in range(arguments.rounds):
            time.sleep(chance.uniform(*_BETWEEN_S))
            parts = chance.sample(_PARTS, chance.randint(1, _MAX_KILLED))
            print(f"{time.monotonic() - began_s:6.1f} s  killed:", *(part for part in parts if stack.kill(part)))
            stack.run("up")
        runs = finished(settings, jobs)
        print(f"{time.monotonic() - began_s:6.1f} s  {arguments.jobs} jobs have ended:", end=" ")
        print(*(f"{count} {state}" for state, count in Counter(run.state.type for run in runs).items()), sep=", ")
        print("attempts:", dict(Counter(run.attempt for run in runs)))
        print("results by content:", dict(contents(settings, arguments.jobs)))


if __name__ == "__main__":
    main()
