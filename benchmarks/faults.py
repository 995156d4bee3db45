"""Breaks a service at chosen moments, and prints a table of what became of the jobs.

`kill`: `kill -9` of a run in each of its stages, of the job's own run and of its part on the GPU pool. `pause`: a run
and its worker are stopped by a signal, as with a host that hangs, for longer than their heartbeats may be missing;
another worker does the job, and then they come back. `cancel`: a job is cancelled in both pools. `parts`: each server
of the service, and the watcher, is stopped and started again while jobs are at work. For the model server see
`benchmarks/model_server_faults.py`.

It starts a service of its own and removes it. The exit status is 1 where a job was lost, ran twice to its end, had its
result overwritten, or left something.

    python benchmarks/faults.py [--times 5] [--jobs 20] [kill] [cancel] [pause] [parts]
"""

import argparse
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.service_of_its_own import (
    BrokenService,
    account,
    finished,
    output_url,
    signalled,
    started,
    submitted,
)
from benchmarks.stage_signs import SIGNS
from demo.make_face_clip import make_face_clip
from infra.local.layout import BUCKET
from infra.local.objects import read_keys, s3_client
from lipsync_service.client.prefect_api import FlowRun, RunQuery
from lipsync_service.names import CPU_POOL, GPU_FLOW, JOB_FLOW
from lipsync_service.watch.service_api import open_watched_api
from lipsync_service.worker.run_processes import process_of
from lipsync_service.worker.starting import worker_command
from tests.receiver import Receiver
from tests.web import serving

_LIMIT_S = 600.0
_STAGE_LIMIT_S = 300.0
_POLL_S = 0.002
_AWAY_S = 5.0  # how long a stopped part stays away
_SETTLE_S = 60.0  # for what a job leaves to be cleared up
_SPEECH = Path(__file__).resolve().parents[1] / "demo" / "speech.wav"
_SPEECH_S, _FRAMES, _SIZE = 5, 60, (640, 360)
_PARTS = {"PostgreSQL": "postgres", "S3": "s3", "Prefect's server": "prefect-server", "watcher": "watcher"}
_CPU_WORKER = "worker-lipsync-cpu"


@dataclass
class Case:
    """One kind of fault."""

    fault: str
    ends: str = "COMPLETED"  # the state that its jobs are to end in
    times: int = 0
    lost: int = 0
    doubled: int = 0
    overwritten: int = 0
    leftovers: list[str] = field(default_factory=list)
    held_slots: int = 0
    resumed_s: list[float] = field(default_factory=list)
    missed: int = 0  # the job was past the stage before the fault came

    @property
    def is_clean(self) -> bool:
        """The fault came, and nothing went wrong."""
        return self.times > 0 and not (
            self.lost or self.doubled or self.overwritten or self.leftovers or self.held_slots
        )

    @property
    def row(self) -> str:
        """The row of the table."""
        resumed = f"{statistics.median(self.resumed_s):.0f} s" if self.resumed_s else "–"
        cells = [self.fault, self.times, self.lost, self.doubled, self.overwritten, len(self.leftovers)]
        return "| " + " | ".join(str(cell) for cell in [*cells, self.held_slots, resumed]) + " |"


class Faults:
    """The faults of one service."""

    def __init__(self, service: BrokenService, receiver: Receiver, media: tuple[Path, Path], times: int) -> None:
        self._service, self._receiver, self._times = service, receiver, times
        self._media = media
        self._settings = service.settings()
        self._s3: Any = s3_client(service.layout, read_keys(service.layout.s3_keys))
        self._numbers = count()

    def kill(self, stage: str, of: str) -> Case:
        """Kill the process `of` parent or child in the stage, each time in a job of its own."""
        case = Case(f"kill -9, {stage}, {of}")
        while case.times < self._times and case.missed < 3 * self._times:
            [number], [job] = self._submit(1)
            pid = self._reached(job, stage, of)
            before = set(self._service.run_pids())
            if pid is None or not signalled(pid, signal.SIGKILL):
                case.missed += 1
                self._check(case, [number], [job])
                continue
            killed_s = time.monotonic()
            case.resumed_s.extend(self._resumed_s(job, before, killed_s))
            self._check(case, [number], [job])
            case.times += 1
        return case

    def pause(self) -> Case:
        """Stop a run and its worker until the job is done elsewhere, and have them go on."""
        case = Case("pause beyond the heartbeats, and return")
        while case.times < self._times and case.missed < 3 * self._times:
            [number], [job] = self._submit(1)
            pid = self._reached(job, "encode", "parent")
            worker = self._service.pid(_CPU_WORKER)
            if pid is None or worker is None:
                case.missed += 1
                self._check(case, [number], [job])
                continue
            stopped = [each for each in (worker, pid) if signalled(each, signal.SIGSTOP)]
            paused_s = time.monotonic()
            elsewhere = self._other_host(worker)
            finished(self._settings, [job], _LIMIT_S)
            case.resumed_s.append(time.monotonic() - paused_s)
            delivered = self._version(number)
            for each in stopped:
                signalled(each, signal.SIGCONT)
            _wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), _SETTLE_S)
            case.overwritten += self._version(number) != delivered
            self._check(case, [number], [job])
            case.times += 1
            elsewhere.kill()  # unshare passes no other signal on
            elsewhere.wait()
        return case

    def _other_host(self, worker: int) -> "subprocess.Popen[bytes]":
        """A worker like this one that sees none of its processes, as on another host; it needs root."""
        pairs = (pair.split(b"=", 1) for pair in Path(f"/proc/{worker}/environ").read_bytes().split(b"\0") if pair)
        environment = {name.decode(): value.decode() for name, value in pairs}
        command = [*worker_command(CPU_POOL), "--name", "elsewhere", "--limit", "2"]
        with (self._service.layout.logs / "elsewhere.log").open("ab") as log:
            return subprocess.Popen(
                ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child", *command],
                cwd=self._service.layout.source,
                env=environment,
                stdout=log,
                stderr=log,
            )

    def cancel(self, stage: str, of: str) -> Case:
        """Cancel a job in the stage; the time is that until no process works for it."""
        case = Case(f"cancel, {stage}, {of}", ends="CANCELLED")
        while case.times < self._times and case.missed < 3 * self._times:
            [number], [job] = self._submit(1)
            if self._reached(job, stage, of) is None:
                case.missed += 1
                finished(self._settings, [job], _LIMIT_S)
                continue
            with open_watched_api(self._settings, 30.0) as api:
                api.cancel(job)
            cancelled_s = time.monotonic()
            _wait_until(lambda: not self._service.run_pids(), _LIMIT_S)
            case.resumed_s.append(time.monotonic() - cancelled_s)
            self._check(case, [number], [job])
            case.times += 1
        return case

    def part(self, name: str, jobs: int) -> Case:
        """Stop a part by SIGTERM and start it again, `times` times while jobs are at work."""
        case = Case(f"stop and start of {name}, {jobs} jobs")
        numbers, ids = self._submit(jobs)
        for _ in range(self._times):
            time.sleep(_AWAY_S)
            pid = self._service.pid(_PARTS[name])
            signalled(pid, signal.SIGINT if name == "PostgreSQL" else signal.SIGTERM)
            _wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), _SETTLE_S)  # SeaweedFS takes 18 s
            case.times += 1
            time.sleep(_AWAY_S)
            self._service.run("up")
        self._check(case, numbers, ids)
        return case

    def _submit(self, jobs: int) -> tuple[list[int], list[UUID]]:
        numbers = [next(self._numbers) for _ in range(jobs)]
        return numbers, submitted(self._settings, numbers, *self._media, callback_url=self._receiver.url())

    def _reached(self, job: UUID, stage: str, of: str) -> int | None:
        """Wait for the stage; the process that is in it, or None where the job was too fast."""
        is_there = SIGNS.get(stage)
        end_s, child = time.monotonic() + _STAGE_LIMIT_S, None
        while time.monotonic() < end_s:
            if of == "child" and child is None:
                child = self._child(job)
            run_id = child if of == "child" else job
            pid = None if run_id is None else process_of(run_id)
            if pid is not None and (is_there(self._folder(pid), pid) if is_there else self._uploads(job)):
                return pid
            time.sleep(_POLL_S)
        return None

    def _child(self, job: UUID) -> UUID | None:
        time.sleep(0.1)
        with open_watched_api(self._settings, 30.0) as api:
            return next((run.id for run in api.runs(RunQuery(GPU_FLOW, parent_ids=[job]))), None)

    def _folder(self, pid: int) -> Path | None:
        return next(self._service.temporary.glob(f"lipsync-job-*-{pid}-*"), None)

    def _uploads(self, job: UUID) -> bool:
        """The movie is being delivered: it is kept meanwhile."""
        return any(str(job) in key for key in self._kept())

    def _kept(self) -> list[str]:
        prefix = urlsplit(self._service.layout.storage_url).path.lstrip("/") + "/renders/"
        found = self._s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [each["Key"] for each in found]

    def _resumed_s(self, job: UUID, before: set[int], since_s: float) -> Iterator[float]:
        """The time until another process is at work for the job; nothing where the job ends without one."""
        end_s = since_s + _LIMIT_S
        with open_watched_api(self._settings, 30.0) as api:
            while time.monotonic() < end_s:
                if set(self._service.run_pids()) - before:
                    yield time.monotonic() - since_s
                    return
                run = api.run(job)
                if run.state.is_final and run.state.type != "CRASHED":
                    return
                time.sleep(0.2)

    def _version(self, number: int) -> tuple[str, str]:
        """Changes with each writing of the result, also of the same bytes."""
        head = self._s3.head_object(Bucket=BUCKET, Key=urlsplit(output_url(number)).path.lstrip("/"))
        return str(head["ETag"]), str(head["LastModified"])

    def _check(self, case: Case, numbers: list[int], jobs: list[UUID]) -> None:
        runs = finished(self._settings, jobs, _LIMIT_S)
        _wait_until(lambda: self._told(jobs) >= len(jobs), _SETTLE_S)
        _wait_until(lambda: not self._left(), _SETTLE_S)
        for number, run in zip(numbers, runs, strict=True):
            self._judge(case, number, run)
        events = {
            job: {told.headers["webhook-id"] for told in self._receiver.told if told.event["job_id"] == str(job)}
            for job in jobs
        }
        case.doubled += sum(len(ids) != 1 for ids in events.values())
        case.leftovers += self._left()
        with open_watched_api(self._settings, 30.0) as api:
            held = [run for flow in (JOB_FLOW, GPU_FLOW) for run in api.runs(RunQuery(flow, ("RUNNING", "PENDING")))]
        case.held_slots += len(held)

    def _judge(self, case: Case, number: int, run: FlowRun) -> None:
        if run.state.type != case.ends:
            case.lost += 1
            print(account(self._settings, run), file=sys.stderr)
            return
        with open_watched_api(self._settings, 30.0) as api:
            case.doubled += sum(state.type == case.ends for state in api.history(run.id)) > 1
        if case.ends != "COMPLETED":
            return
        try:
            self._version(number)
        except Exception as exc:
            case.lost += 1
            print(f"{run.name} completed without a result: {exc}", file=sys.stderr)

    def _told(self, jobs: list[UUID]) -> int:
        ids = {str(job) for job in jobs}
        return len({told.event["job_id"] for told in self._receiver.told} & ids)

    def _left(self) -> list[str]:
        """Folders and processes of jobs, kept movies, and uploads in parts, when no job is at work."""
        uploads = self._s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        folders = [path.name for path in self._service.temporary.glob("lipsync-job-*")]
        return [*folders, *self._kept(), *(each["Key"] for each in uploads), *map(str, self._service.run_pids())]


def _wait_until(is_so: Callable[[], bool], limit_s: float) -> None:
    end_s = time.monotonic() + limit_s
    while not is_so() and time.monotonic() < end_s:
        time.sleep(0.2)


def _media(folder: Path) -> tuple[Path, Path]:
    """A face of two seconds, and five seconds of speech."""
    video, audio = folder / "face.mp4", folder / "speech.wav"
    make_face_clip(video, _FRAMES, _SIZE)
    with wave.open(str(_SPEECH)) as speech, wave.open(str(audio), "wb") as cut:
        cut.setparams(speech.getparams())
        cut.writeframes(speech.readframes(_SPEECH_S * speech.getframerate()))
    return video, audio


_KILLED = [("fetch", "child"), ("track", "child"), ("infer", "child")] + [
    (stage, "parent") for stage in ("fetch", "blend", "encode", "upload")
]


def _cases(faults: Faults, kinds: list[str], jobs: int) -> Iterator[Case]:
    if "kill" in kinds:
        yield from (faults.kill(stage, of) for stage, of in _KILLED)
    if "cancel" in kinds:
        yield from (faults.cancel(stage, of) for stage, of in (("track", "child"), ("encode", "parent")))
    if "pause" in kinds:
        yield faults.pause()
    if "parts" in kinds:
        yield from (faults.part(name, jobs) for name in _PARTS)


def main() -> int:
    """Print the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "kinds", nargs="*", metavar="kill|cancel|pause|parts", default=["kill", "cancel", "pause", "parts"]
    )
    parser.add_argument("--times", type=int, default=5, help="of each fault")
    parser.add_argument("--jobs", type=int, default=20, help="while a part is stopped")
    parser.add_argument("--first-port", type=int, default=14_200)
    arguments = parser.parse_args()
    receiver = Receiver()
    with serving(receiver), tempfile.TemporaryDirectory() as folder:
        media = _media(Path(folder))
        with started(
            arguments.first_port, has_gpu_pool=True, LIPSYNC_HTTP_ALLOWED_HOSTS=receiver.host, LIPSYNC_PREVIEW="false"
        ) as service:
            faults = Faults(service, receiver, media, arguments.times)
            print(
                "| fault | times | lost | doubled | overwritten | leftovers | slots held | median until at work again |"
            )
            print("|---|---|---|---|---|---|---|---|", flush=True)
            is_clean = True
            for case in _cases(faults, arguments.kinds, arguments.jobs):
                print(case.row, flush=True)
                for left in case.leftovers:
                    print(f"left: {left}", file=sys.stderr)
                is_clean &= case.is_clean
    return int(not is_clean)


if __name__ == "__main__":
    sys.exit(main())
