"""Measures whole jobs of a service whose networks one model server runs: 1, 2, 4, 8 and 16 jobs at once, and faults.

The service is one of its own (`python -m infra.local up`, free ports, removed afterwards), whose worker takes as many
jobs at once as are sent. The server is the real Triton server of `make triton`. It serves `wav2lip` as `lipsync models
export-repository` writes it, with weights from a seed; in the place of the network stands a wait as long as a GPU takes
(2 ms for a batch and 1.2 ms for each frame), with mouths that follow from every number of the inputs. So a movie that
equals that of `lipsync run`, which asks the same server alone, proves that no batch has mixed up any frames.

    python benchmarks/model_server_jobs.py [--seconds 3] [--levels 1 2 4 8 16] [--no-faults]
"""

import argparse
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import UUID

import psutil
from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.model_server_faults import FAULTS
from benchmarks.outputs_digest import MovieDigest, digest_movie
from benchmarks.process import run
from lipsync_cli.bench.inputs import InputPair, distinct_inputs
from lipsync_cli.bench.load import Callers, Sent
from lipsync_cli.bench.own_stack import own_stack
from lipsync_cli.bench.parts import LocalParts
from lipsync_cli.bench.target import Target
from lipsync_core.machine import usable_cores
from lipsync_core.models.store import ModelStore
from lipsync_core.serving.repository import export_repository
from lipsync_core.serving_counts import ServingCounts
from lipsync_service.client.local_files import FileExchange
from lipsync_service.ledger.database import open_engine
from lipsync_service.ledger.tables import StageTiming
from tests.model_server.callers import MODEL
from tests.model_server.repository import serve_by_python
from tests.model_server.triton import Statistics, TritonServer, running_server
from tests.model_server.wheel import found_wheel
from tests.wav2lip_weights import home_with, import_seeded_wav2lip

_SOURCE = Path(__file__).resolve().parents[1]
_DEMO = InputPair(_SOURCE / "demo" / "face.mp4", _SOURCE / "demo" / "speech.wav")
LEVELS = (1, 2, 4, 8, 16)
_EVERY_S = 0.5
_FAULT_JOBS = 4
_HEADINGS = (
    *("jobs at once", "completed", "jobs/s", "job s, median", "frames", "requests", "runs of the network"),
    *("requests a batch", "largest, frames", "server MB", "copies", "equal movies"),
)
_FAULT_HEADINGS = (
    *("during the jobs", "jobs", "completed", "requests tried again", "refused by the queue"),
    *("lost by a job, s, at most", "equal movies"),
)


class MemoryWatch(threading.Thread):
    """Samples the memory and the copies of a server from `start` to `stop`."""

    def __init__(self, server: TritonServer) -> None:
        super().__init__(daemon=True)
        self.memory_bytes = 0  # the most that was seen
        self.copies = 0
        self._server = server
        self._stopped = threading.Event()

    def run(self) -> None:
        """Look twice a second."""
        while not self._stopped.wait(_EVERY_S):
            with suppress(psutil.Error):  # the server has just been killed
                self.memory_bytes = max(self.memory_bytes, self._server.memory_bytes())
                self.copies = max(self.copies, len(self._server.stubs()))

    def stop(self) -> None:
        """End the sampling."""
        self._stopped.set()
        self.join()


class SentJobs:
    """Jobs that a thread sends and waits for."""

    def __init__(self, send: Callable[[], tuple[Sent, list[Path]]]) -> None:
        self._send = send
        self._pool = ThreadPoolExecutor(1)

    def start(self) -> None:
        """Send them, and go on."""
        self._future = self._pool.submit(self._send)

    def wait(self) -> None:
        """Wait until all have ended."""
        self.result()

    def result(self) -> tuple[Sent, list[Path]]:
        """The jobs and their movies, once they have ended."""
        with self._pool:
            return self._future.result()


@dataclass(frozen=True, slots=True)
class Bench:
    """The service, its model server, and folders."""

    target: Target
    server: TritonServer
    folder: Path
    seconds: float

    def level(self, jobs: int) -> str:
        """The row of the table for so many jobs at once."""
        pairs = self._inputs(jobs)
        before, watch = self.server.statistics(MODEL), MemoryWatch(self.server)
        watch.start()
        sent, movies = self._sent(pairs)
        watch.stop()
        counted = self.server.statistics(MODEL).since(before)
        return _row(
            jobs,
            len(sent.request_s),
            f"{len(sent.request_s) / sent.wall_s:.2f}",
            f"{sorted(sent.request_s)[len(sent.request_s) // 2]:.1f}" if sent.request_s else "",
            *_counts(counted),
            f"{watch.memory_bytes / 1e6:.0f}",
            watch.copies,
            self._equal(pairs, movies),
        )

    def fault(self, name: str) -> str:
        """The row of the table for jobs during which the fault happens."""
        pairs = self._inputs(_FAULT_JOBS)
        jobs = SentJobs(partial(self._sent, pairs))
        FAULTS[name](self.server, jobs)
        sent, movies = jobs.result()
        lost = lost_to_server(self.target, sent.job_ids)
        return _row(
            name,
            len(pairs),
            len(sent.request_s),
            sum(each.retries for each in lost),
            sum(each.rejections for each in lost),
            f"{max((each.waited_s for each in lost), default=0.0):.1f}",
            self._equal(pairs, movies),
        )

    def _inputs(self, count: int) -> tuple[InputPair, ...]:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        return distinct_inputs(_DEMO, folder, count, self.seconds)

    def _sent(self, pairs: Sequence[InputPair]) -> tuple[Sent, list[Path]]:
        """Send the jobs, all at once; the movies in the order of the pairs."""
        requests = self.target.requests(pairs, MODEL)
        sent = Callers(self.target.settings).send(requests, len(requests))
        exchange = FileExchange(self.target.settings)
        movies = [pair.video.with_suffix(".served.mp4") for pair in pairs]
        if not sent.errors:
            for request, movie in zip(requests, movies, strict=True):
                exchange.download(request.output, movie, lambda path, progress: None)
        for error in sent.errors:
            print(f"{error.code}: {error}", file=sys.stderr)
        return sent, movies

    def _equal(self, pairs: Sequence[InputPair], movies: Sequence[Path]) -> int:
        """The number of movies whose pictures and sound equal, bit for bit, those of `lipsync run` by itself."""
        made = zip(pairs, movies, strict=True)
        return sum(movie.is_file() and _content(movie) == _content(self._alone(pair)) for pair, movie in made)

    def _alone(self, pair: InputPair) -> Path:
        """The movie of `lipsync run`, the only caller of the server meanwhile.

        It gets one core, because x264's pictures depend on its number of threads: a run of the service has one.
        """
        output = pair.video.with_suffix(".alone.mp4")
        lipsync = Path(sys.executable).with_name("lipsync")
        files = [pair.video, pair.audio, "-o", output]
        run(
            [
                "taskset",
                "--cpu-list",
                "0",
                lipsync,
                "run",
                "--quiet",
                "--model",
                MODEL,
                *files,
                "--model-server",
                self.server.url,
            ]
        )
        return output


def _content(movie: Path) -> MovieDigest:
    """What is seen and heard; the bytes of the file also name the number of the encoder's threads."""
    return replace(digest_movie(movie), file_sha256="")


@contextmanager
def bench(folder: Path, seconds: float, jobs: int) -> Iterator[Bench]:
    """A model server and a service that asks it, whose worker takes `jobs` jobs at once; both end with the block."""
    home = folder / "data" / "lipsync"
    network = folder / "wav2lip.onnx"
    import_seeded_wav2lip(network)
    workspace = home_with(network, home)
    export_repository(ModelStore(workspace.models), folder / "models")
    serve_by_python(folder / "models" / MODEL, "timed")
    with running_server(folder / "models", folder) as server, own_stack(_SOURCE) as stack:
        os.environ |= {
            "XDG_DATA_HOME": str(home.parent),
            "LIPSYNC_MODEL_SERVER": server.url,
            "WORKER_LIMIT": str(max(jobs, usable_cores())),  # hence one thread for each
        }
        stack.up(workers=1)
        target = Target(stack.settings, LocalParts(stack.root), stack.database_url)
        yield Bench(target, server, folder, seconds)


def lost_to_server(target: Target, job_ids: Sequence[UUID]) -> list[ServingCounts]:
    """What the ledger says of the jobs' requests to the model server, by job."""
    columns = (StageTiming.served_requests, StageTiming.served_retries, StageTiming.served_rejections)
    query = select(*columns, StageTiming.served_wait_s).where(
        StageTiming.job_id.in_(job_ids), StageTiming.part_of == "", StageTiming.served_requests.is_not(None)
    )
    with open_engine(target.database_url or "").connect() as connection:
        return [ServingCounts(*row) for row in connection.execute(query)]


def _counts(counted: Statistics) -> tuple[object, ...]:
    largest = max(counted.batches, default=0)
    return counted.frames, counted.requests, counted.executions, f"{counted.requests_a_batch:.2f}", largest


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _headings(names: Sequence[str]) -> str:
    return f"{_row(*names)}\n|{'---|' * len(names)}"


def main() -> int:
    """Read the command line, measure, print the tables."""
    parser = argparse.ArgumentParser(description="Jobs of a service on one model server.")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each clip")
    parser.add_argument("--levels", type=int, nargs="*", default=LEVELS, help="jobs at once; none: the faults alone")
    parser.add_argument("--faults", action=argparse.BooleanOptionalAction, default=True, help="measure these too")
    options = parser.parse_args()
    wheel = found_wheel()
    if isinstance(wheel, str):
        print(f"lipsync: {wheel}", file=sys.stderr)
        return 1
    with (
        tempfile.TemporaryDirectory(prefix="lipsync-bench-", ignore_cleanup_errors=True) as name,
        bench(Path(name), options.seconds, max((*options.levels, _FAULT_JOBS))) as started,
    ):
        server = started.server
        started.level(2)  # the service is warm, and the server's buffers have grown
        if options.levels:
            print(_headings(_HEADINGS), flush=True)
        for jobs in options.levels:
            print(started.level(jobs), flush=True)
        if options.faults:
            print(_headings(_FAULT_HEADINGS), flush=True)
            for fault in FAULTS:
                print(started.fault(fault), flush=True)
    print(f"left at the end: {len(server.processes())} processes of the server; its ports are", end=" ")
    print("taken" if server.is_listening() else "free")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
