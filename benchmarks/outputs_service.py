"""The jobs that are run on the service of a checkout, and the service's answers about them."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen
from uuid import uuid4

import psycopg
from outputs_checkout import Checkout, Ended
from outputs_digest import MovieDigest, digest_movie
from outputs_jobs import Inputs
from outputs_memory import EngineWatch

_ADDRESS = re.compile(r"\b(uploads|results)/[0-9a-f]{2}/[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RUN_NAME = re.compile(r"(?<=\w)-[0-9a-f]{8}$")  # the part that makes the name of a job unique
_LOOPBACK = re.compile(r"127\.0\.0\.1:\d+")
_PASSING: Final = ("created", "started", "finished", "ran_s")  # fields of a job that differ from run to run
_JOB_COLUMNS: Final = (
    "state",
    "error_code",
    "model",
    "model_licence",
    "model_sha256",
    "tracker",
    "blender",
    "enhancer",
    "encoder",
    "track_was_cached",
    "duration_s",
    "output_bytes",
    "pool",
)
_LIMIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class ServiceJob:
    """One `lipsync submit`."""

    name: str
    video: str
    audio: str
    options: tuple[str, ...] = ()
    key: str = ""  # of its idempotency, the same for jobs that name the same


@dataclass(frozen=True, slots=True)
class ServiceOutcome:
    """A job of the service that has ended."""

    status: int
    stderr: str
    answer: dict[str, Any] | None  # the output of `lipsync submit --json`, without times
    ledger: dict[str, str]
    outcomes: tuple[str, ...]  # output frames by outcome
    stages: tuple[str, ...]  # "part_of/stage pool cached items"
    tasks: tuple[str, ...]  # "flow task state"
    movie: MovieDigest | None


_VISEME, _WAV2LIP = ("--model", "viseme"), ("--model", "wav2lip")
#: In this order: the second sound finds the track of the first.
SERVICE_JOBS: Final = (
    ServiceJob("viseme", "short-mpeg4.mp4", "short-stereo.wav", _VISEME),
    ServiceJob("viseme-second-sound", "short-mpeg4.mp4", "short-wide.wav", _VISEME),
    ServiceJob("viseme-lossless", "short-square.mp4", "short-mono.wav", (*_VISEME, "--crf", "0", "--extend", "loop")),
    ServiceJob("viseme-length-video", "turned.mp4", "short-wide.wav", (*_VISEME, "--length", "video", "--face", "0")),
    ServiceJob("viseme-keyed", "short-square.mp4", "short-stereo.wav", (*_VISEME, "--priority", "bulk"), "once"),
    ServiceJob("viseme-keyed-again", "short-square.mp4", "short-stereo.wav", (*_VISEME, "--priority", "bulk"), "once"),
    ServiceJob("viseme-1080p", "short-hevc.mp4", "short-mono.wav", _VISEME),
    ServiceJob("wav2lip", "short-square.mp4", "short-stereo.wav", _WAV2LIP),
    ServiceJob("wav2lip-lossless", "short-mpeg4.mp4", "short-wide.wav", (*_WAV2LIP, "--crf", "0")),
    ServiceJob("wav2lip-1080p", "short-hevc.mp4", "short-mono.wav", _WAV2LIP),
    ServiceJob("auto", "short-square.mp4", "short-wide.wav"),
    ServiceJob("fails-no-face", "blank.mp4", "short-stereo.wav", _VISEME),
    ServiceJob("fails-no-model", "short-square.mp4", "short-stereo.wav", ("--model", "wav2lip-gan")),
    ServiceJob("fails-key-of-another", "short-square.mp4", "short-wide.wav", _VISEME, "once"),
    ServiceJob("fails-not-found", "s3://lipsync/inputs/none.mp4", "short-stereo.wav", _VISEME),
)


class Service:
    """The running service of a checkout, called as its users call it; see `started`."""

    def __init__(self, checkout: Checkout, inputs: Inputs) -> None:
        self._checkout = checkout
        self._inputs = inputs
        self._copies = checkout.work / "copies" / uuid4().hex
        self._copies.mkdir(parents=True)
        self._jobs: dict[str, str] = {}  # their ids by name
        self._settings = _variables(checkout.state / "service.env")
        self._ledger = _variables(checkout.state / "ledger.env")["LIPSYNC_DATABASE_URL"]

    def run(self, job: ServiceJob) -> tuple[ServiceOutcome, dict[str, Any]]:
        """The job's outcome, and the memory of its processes and of its stages by pool.

        Each service gets videos of its own, which differ only in bytes that readers skip, so that a cache serves only
        results of earlier jobs of this set.
        """
        output = self._output(job.name)
        key = ("--key", f"{job.key} {self._copies.name}") if job.key else ()
        files = (self._video(job.video), self._inputs.path(job.audio), "-o", output)
        words = ("--service", self._checkout.state / "service.env", "--quiet", "--json")
        with EngineWatch(self._checkout.state / "run") as watch:
            ended = self._checkout.lipsync("submit", *files, *job.options, *key, *words)
        if ended.stdout:
            self._jobs[job.name] = json.loads(ended.stdout)["id"]
        outcome, ledger = self._outcome(ended, output)
        processes = {pool: asdict(memory) for pool, memory in watch.by_pool().items()}
        return outcome, {"processes": processes, "ledger_peak_bytes": ledger}

    def run_over_rest(self, name: str, like: ServiceJob) -> ServiceOutcome:
        """Post the request of an earlier job again, as another system would, with crf 0 and another output address."""
        request = self.api(f"flow_runs/{self._jobs[like.name]}")["parameters"]["request"]
        changes = {"output": f"s3://lipsync/outputs/{self._copies.name}.mp4", "crf": 0}
        deployment = self.api("deployments/name/lipsync/lipsync")["id"]
        body = {"name": name, "parameters": {"request": {**request, **changes}}}
        run_id = self.api(f"deployments/{deployment}/create_flow_run", body)["id"]
        output = self._output(name)
        words = ("--service", self._checkout.state / "service.env", "--quiet", "--json")
        return self._outcome(self._checkout.lipsync("jobs", "wait", run_id, "-o", output, *words), output)[0]

    def deployments(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each deployment by name, with the schema of its parameters, its pool and its queue."""
        flows = {flow["id"]: flow["name"] for flow in self.api("flows/filter", {})}
        fields = ("parameter_openapi_schema", "parameters", "work_pool_name", "work_queue_name", "concurrency_limit")
        for found in self.api("deployments/filter", {}):
            schedules = [(each["schedule"], each["active"]) for each in found["schedules"]]
            kept = {name: found[name] for name in fields}
            yield f"{flows[found['flow_id']]}/{found['name']}", {**kept, "schedules": schedules}

    def api(self, path: str, body: Any = None) -> Any:
        """The answer of Prefect's API."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(f"{self._settings['LIPSYNC_API_URL']}/{path}", data, headers)  # the loopback
        with urlopen(request, timeout=_LIMIT_S) as answer:
            return json.load(answer)

    def _output(self, name: str) -> Path:
        return self._copies / f"{name}.mp4"

    def _video(self, name: str) -> str | Path:
        """The video with an empty box at its end that holds the name of this service's copies."""
        if "://" in name:
            return name
        copy, mark = self._copies / f"from-{name}", self._copies.name.encode()
        copy.write_bytes(self._inputs.path(name).read_bytes() + (8 + len(mark)).to_bytes(4) + b"free" + mark)
        return copy

    def _outcome(self, ended: Ended, output: Path) -> tuple[ServiceOutcome, dict[str, int]]:
        answer = json.loads(ended.stdout) if ended.stdout else None
        job_id = answer["id"] if answer else str(uuid4())
        kept = {name: value for name, value in (answer or {}).items() if name not in _PASSING}
        if answer:
            kept["name"] = _RUN_NAME.sub("", answer["name"])
        outcome = ServiceOutcome(
            status=ended.status,
            stderr=self._alike(ended.stderr),
            answer=json.loads(self._alike(json.dumps(kept))) if answer else None,
            ledger=self._job_row(job_id),
            outcomes=self._lines("SELECT outcome, frames FROM frame_outcomes WHERE job_id = %s", job_id),
            stages=self._lines(
                "SELECT part_of || '/' || stage, pool, was_cached, items FROM stage_timings WHERE job_id = %s", job_id
            ),
            tasks=tuple(self._tasks(job_id)),
            movie=digest_movie(output) if output.exists() else None,
        )
        query = "SELECT pool, max(peak_rss_bytes) FROM stage_timings WHERE job_id = %s AND part_of = '' GROUP BY pool"
        return outcome, {str(pool): int(peak) for pool, peak in self._select(query, job_id)}

    def _job_row(self, job_id: str) -> dict[str, str]:
        rows = self._select(f"SELECT {', '.join(_JOB_COLUMNS)} FROM jobs WHERE id = %s", job_id)
        return {name: str(value) for row in rows for name, value in zip(_JOB_COLUMNS, row, strict=True)}

    def _lines(self, query: str, job_id: str) -> tuple[str, ...]:
        return tuple(sorted(" ".join(map(str, row)) for row in self._select(query, job_id)))

    def _select(self, query: str, job_id: str) -> Sequence[tuple[Any, ...]]:
        with psycopg.connect(self._ledger) as connection:
            return connection.execute(query, [job_id]).fetchall()

    def _tasks(self, job_id: str) -> Iterator[str]:
        """Tasks in the order of their names: some of them run at the same time."""
        children = self.api("flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": [job_id]}}})
        for flow, run_id in [("job", job_id), *(("child", child["id"]) for child in children)]:
            rows = self.api("task_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
            yield from sorted(f"{flow}: {_task_name(row)}: {row['state_name']}" for row in rows)

    def _alike(self, text: str) -> str:
        """The text without the parts that differ from run to run: ids, hashes of inputs, ports, the copies' name."""
        text = text.replace(self._copies.name, "COPIES").replace(str(self._inputs.made), "MADE")
        text = _ADDRESS.sub(r"\1/SHA256", _UUID.sub("ID", text))
        return _LOOPBACK.sub("127.0.0.1:PORT", text)


@contextmanager
def started(checkout: Checkout, inputs: Inputs) -> Iterator[Service]:
    """The service, running for the block.

    Raises:
        RuntimeError: it runs already, or does not start.
    """
    if list((checkout.state / "run").glob("*.json")):
        raise RuntimeError(f"a service of {checkout.root} runs already; stop it: make -C {checkout.root} down")
    try:
        checkout.make("up")
        yield Service(checkout, inputs)
    finally:
        checkout.make("down")


def _task_name(row: dict[str, Any]) -> str:
    """The task's name; a child flow's task in its parent has a random one."""
    stands_for_child = (row["state"] or {}).get("state_details", {}).get("child_flow_run_id")
    return "child flow" if stands_for_child else str(row["name"])


def _variables(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
