"""A service that a benchmark may break: its parts and runs by their processes, its jobs, and what became of them."""

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

import httpx

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from benchmarks.service_overhead import distinct_copy  # noqa: E402
from infra.local.layout import BUCKET, Layout  # noqa: E402
from infra.local.objects import read_keys  # noqa: E402
from lipsync_core.errors import LipSyncError  # noqa: E402
from lipsync_service.client.prefect_api import FlowRun, RunOrder  # noqa: E402
from lipsync_service.names import GPU_POOL  # noqa: E402
from lipsync_service.settings import Settings  # noqa: E402
from lipsync_service.storage.storage import Storage  # noqa: E402
from lipsync_service.watch.service_api import open_watched_api  # noqa: E402

_SPEECH, _FACE = (REPOSITORY / "demo" / name for name in ("speech.wav", "face.mp4"))
_FOLDER_URL = f"s3://{BUCKET}/broken"
_CALL_S = 30.0
_POLL_S = 1.0
POSTGRES = "postgres"


@dataclass(frozen=True)
class BrokenService:
    """A service on this machine, whose parts are killed and started again."""

    layout: Layout
    environment: Mapping[str, str]  # of all parts, beside the present one

    @property
    def temporary(self) -> Path:
        """The folder of its parts' temporary files."""
        return self.layout.root / "tmp"

    def run(self, *order: str) -> None:
        """Run a command of the local stack: `up` starts all parts that do not run, `down` stops all."""
        options = ("--root", str(self.layout.root), "--first-port", str(self.layout.first_port))
        command = [sys.executable, "-m", "infra.local", *options, *order]
        self.temporary.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **self.environment, "TMPDIR": str(self.temporary)}
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise RuntimeError(f"{order} failed: {done.stdout}{done.stderr}")

    def settings(self) -> Settings:
        """The settings of a caller."""
        keys = read_keys(self.layout.s3_keys)
        access = {"s3_access_key": keys.access_key, "s3_secret_key": keys.secret_key}
        urls = {
            "api_url": self.layout.api_url,
            "s3_endpoint": self.layout.s3_url,
            "storage_url": self.layout.storage_url,
        }
        return Settings.model_validate({**access, **urls, "cache_dir": self.layout.root / "caller"})

    def kill(self, part: str) -> bool:
        """Kill the part; returns whether it ran."""
        return signalled(self.pid(part), signal.SIGKILL)

    def pid(self, part: str) -> int | None:
        """The process id of the part; of `run`, that of any run. None where it has never run."""
        with suppress(FileNotFoundError):
            if part == POSTGRES:
                return int((self.layout.postgres / "postmaster.pid").read_text().splitlines()[0])
            if part == "run":
                return next(iter(self.run_pids()), None)
            return int(json.loads((self.layout.runs / f"{part}.json").read_text())["pid"])
        return None

    def run_pids(self) -> list[int]:
        """The forked runs that are at work."""
        launcher = self.pid("launcher")
        children = Path(f"/proc/{launcher}/task/{launcher}/children")
        return [int(pid) for pid in children.read_text().split()] if children.exists() else []


def signalled(pid: int | None, number: int) -> bool:
    """Send the signal; returns whether there was such a process."""
    if pid is None:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def started(first_port: int, *, has_gpu_pool: bool = False, **environment: str) -> Iterator[BrokenService]:
    """A service that runs for the block, its parts with this environment, and is removed with its data."""
    with (
        tempfile.TemporaryDirectory(prefix="lipsync-broken-", ignore_cleanup_errors=True) as folder,
        ExitStack() as end,
    ):
        pool = {"LIPSYNC_GPU_POOL": GPU_POOL if has_gpu_pool else ""}
        service = BrokenService(Layout(REPOSITORY, Path(folder) / "stack", first_port), {**pool, **environment})
        end.callback(service.run, "down")
        service.run("up")
        yield service


def output_url(number: int) -> str:
    """The address of the result of the job `number`."""
    return f"{_FOLDER_URL}/{number}-out.mp4"


def submitted(
    settings: Settings, numbers: Sequence[int], video: Path = _FACE, audio: Path = _SPEECH, **options: str
) -> list[UUID]:
    """Submit the jobs, each with a video of its own, so that no result comes from a cache."""
    storage, jobs = Storage(settings), []
    storage.put(audio, f"{_FOLDER_URL}/speech.wav")
    with open_watched_api(settings, _CALL_S) as api, tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            storage.put(distinct_copy(video, Path(folder) / f"{number}.mp4"), f"{_FOLDER_URL}/{number}.mp4")
            files = {"video": f"{_FOLDER_URL}/{number}.mp4", "audio": f"{_FOLDER_URL}/speech.wav"}
            request = {**files, "output": output_url(number), "model": "viseme", **options}
            run, _ = api.create_run("lipsync/lipsync", RunOrder(f"broken-{number}", {"request": request}))
            jobs.append(run.id)
    return jobs


def finished(settings: Settings, jobs: Sequence[UUID], limit_s: float) -> list[FlowRun]:
    """Wait until all runs have ended, `limit_s` at most, and return them; a crashed run starts again."""
    end_s = time.monotonic() + limit_s
    with open_watched_api(settings, _CALL_S) as api:
        while True:
            runs = [api.run(job) for job in jobs]
            is_over = all(run.state.is_final and run.state.type != "CRASHED" for run in runs)
            if is_over or time.monotonic() > end_s:
                return runs
            time.sleep(_POLL_S)


def contents(settings: Settings, numbers: Sequence[int]) -> Counter[str]:
    """The number of results by sha256, and of missing ones by error code."""
    storage, found = Storage(settings), Counter[str]()
    for number in numbers:
        try:
            with storage.fetch(output_url(number)) as file:
                found[file.sha256] += 1
        except LipSyncError as error:
            found[error.code] += 1
    return found


def account(settings: Settings, run: FlowRun) -> str:
    """Why a job has no result: all its states with their messages, and the errors of its log."""
    with open_watched_api(settings, _CALL_S) as api:
        lines = [f"{run.name} ({run.id}): {run.state.type} at attempt {run.attempt}: {run.state.message}"]
        lines += [f"  {_clock(state.since)} {state.name}: {state.message}" for state in api.history(run.id)]
    return "\n".join((*lines, *_errors(settings, run.id)))


def _errors(settings: Settings, run_id: UUID) -> Iterator[str]:
    wanted = {"flow_run_id": {"any_": [str(run_id)]}, "level": {"ge_": logging.WARNING}}
    body = {"logs": wanted, "sort": "TIMESTAMP_ASC"}
    answer = httpx.post(f"{settings.api_url}/logs/filter", json=body, timeout=_CALL_S, trust_env=False)
    for line in answer.raise_for_status().json():
        yield f"  {_clock(datetime.fromisoformat(line['timestamp']))} log: {line['message']}"


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S.%f}"[:-3]
