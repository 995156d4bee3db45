"""Measures the time that the service adds to a job: its wall time over REST, on a warm service, less `lipsync run`'s.

It needs a running service (`make up`) and its settings in the environment: `set -a; . .lipsync/service.env`. Each round
measures both, because the load of the machine changes. Every round has a video of its own, so that no result comes
from a cache.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.process import run
from infra.local.layout import BUCKET
from lipsync_service.client.prefect_api import PrefectApi, RunOrder, RunQuery, open_api
from lipsync_service.settings import Settings
from lipsync_service.storage.storage import Storage

_SPEECH = Path(__file__).resolve().parents[1] / "demo" / "speech.wav"
_FACE = _SPEECH.with_name("face.mp4")
_POLL_S = 0.05
LIMIT_S = 3.0


@dataclass(frozen=True, slots=True)
class Round:
    """The times of one job on the command line and in the service, in seconds."""

    command_line_s: float
    service_s: float
    until_first_task_s: float

    @property
    def added_s(self) -> float:
        """The time that the service takes longer."""
        return self.service_s - self.command_line_s


def distinct_copy(video: Path, path: Path) -> Path:
    """Copy an MP4 so that its bytes are unique: a box of a type that readers skip, with a random name, is appended."""
    name = uuid4().bytes
    path.write_bytes(video.read_bytes() + (8 + len(name)).to_bytes(4) + b"free" + name)
    return path


def command_line_s(video: Path, folder: Path) -> float:
    """Run the job as a process of its own; its wall time."""
    lipsync = Path(sys.executable).with_name("lipsync")
    return run([lipsync, "run", "--quiet", "--model", "viseme", video, _SPEECH, "-o", folder / "out.mp4"]).wall_s


def service_s(video: Path, settings: Settings, api: PrefectApi) -> tuple[float, UUID]:
    """Run the job over REST; its time from the request to its final state, and its id.

    The inputs are uploaded before, because a caller's upload is no part of the job.
    """
    storage, folder_url = Storage(settings), f"s3://{BUCKET}/benchmark"
    for path in (video, _SPEECH):
        storage.put(path, f"{folder_url}/{path.name}")
    request = {
        "video": f"{folder_url}/{video.name}",
        "audio": f"{folder_url}/{_SPEECH.name}",
        "output": f"{folder_url}/out.mp4",
        "model": "viseme",
    }
    started = time.perf_counter()
    job, _ = api.create_run("lipsync/lipsync", RunOrder("benchmark", {"request": request}))
    while not (job := api.run(job.id)).state.is_final:
        time.sleep(_POLL_S)
    took_s = time.perf_counter() - started
    if job.state.type != "COMPLETED":
        raise SystemExit(f"the job ended as {job.state.name}: {job.state.message}")
    return took_s, job.id


def measured(video: Path, folder: Path, settings: Settings, api: PrefectApi) -> Round:
    """Measure one round."""
    copy = distinct_copy(video, folder / f"{uuid4()}.mp4")
    alone_s = command_line_s(copy, folder)
    took_s, job_id = service_s(copy, settings, api)
    job = api.run(job_id)
    first = min(task.started_at for task in api.task_runs(job_id) if task.started_at)
    return Round(alone_s, took_s, (first - job.created_at).total_seconds())


def timeline(job_id: UUID, api: PrefectApi) -> list[str]:
    """The start and the duration of each part of the job, one line each."""
    job = api.run(job_id)
    children = api.runs(RunQuery("lipsync-gpu", parent_ids=[job_id]))
    lines = []
    for run_, name in [(job, "job"), *((child, "gpu") for child in children)]:
        for task in [*api.task_runs(run_.id)]:
            began = (task.started_at - job.created_at).total_seconds() if task.started_at else float("nan")
            lines.append(f"  {began:6.2f} s  {task.total_s:6.2f} s  {name} {task.name}")
        ended = (run_.finished_at - job.created_at).total_seconds() if run_.finished_at else float("nan")
        lines.append(f"  {ended:6.2f} s            {name} ends")
    return sorted(lines)


def main() -> None:
    """Print the rounds and their medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=Path, default=_FACE, help="an MP4 of 9.3 s, 1280x720 (default: the demo's)")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    settings = Settings()
    with tempfile.TemporaryDirectory() as name, open_api(settings) as api:
        folder = Path(name)
        service_s(distinct_copy(arguments.video, folder / "warm.mp4"), settings, api)
        rounds = []
        for _ in range(arguments.rounds):
            rounds.append(measured(arguments.video, folder, settings, api))
            print(f"command line {rounds[-1].command_line_s:6.2f} s   service {rounds[-1].service_s:6.2f} s")
        newest = api.runs(RunQuery("lipsync", limit=1))[0]
        print("the last job:", *timeline(newest.id, api), sep="\n")
    median = _median_of(rounds)
    print(f"added by the service: {median(lambda each: each.added_s):.2f} s (limit {LIMIT_S:g} s)")
    print(f"until the first task: {median(lambda each: each.until_first_task_s):.2f} s")


def _median_of(rounds: list[Round]) -> Callable[[Callable[[Round], float]], float]:
    return lambda value: statistics.median(map(value, rounds))


if __name__ == "__main__":
    main()
