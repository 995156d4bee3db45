"""Measures one model server with 1 to 16 runs on it: throughput, the batches that form, rejections and its memory.

The server is the real Triton server of `make triton`, on the CPU. It serves `wav2lip` with the configuration that the
product writes; in the place of the network stands either a wait as long as a GPU takes (2 ms for a batch and 1.2 ms
for each frame), or with --network a real ONNX file on the CPU. A run here is a thread of this process with the
product's client, a connection and a clip of its own, which sends its frames as fast as they come back.

    python benchmarks/model_server.py [--frames 8] [--seconds 10] [--network wav2lip.onnx]
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lipsync_core.serving.client import ServedModel
from lipsync_core.serving_counts import ServingCounts
from tests.model_server.callers import MODEL, clip_of
from tests.model_server.repository import serve_network, write_stand_in
from tests.model_server.triton import Statistics, TritonServer, running_server
from tests.model_server.wheel import found_wheel

LEVELS = (1, 2, 4, 8, 16)
HEADINGS = (
    *("runs", "frames/s", "request ms", "frames a batch", "largest", "requests a batch"),
    *("rejections", "server MB", "copies of the model"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run measured."""

    latencies_s: tuple[float, ...]  # of its requests
    counts: ServingCounts


@dataclass(frozen=True, slots=True)
class Level:
    """The figures of some runs at a time."""

    runs: tuple[Run, ...]
    wall_s: float
    counted: Statistics  # by the server, meanwhile
    memory_bytes: int  # proportional set size of server and stubs, the greatest seen
    copies: int  # of the model

    @property
    def row(self) -> str:
        """The row below `HEADINGS`."""
        requests = sum(len(run.latencies_s) for run in self.runs)
        median_ms = 1000 * statistics.median(each for run in self.runs for each in run.latencies_s)
        executions = max(1, self.counted.executions)
        cells = (
            f"{len(self.runs)}",
            f"{self.counted.frames / self.wall_s:.0f}",
            f"{median_ms:.0f}",
            f"{self.counted.frames / executions:.1f}",
            f"{max(self.counted.batches, default=0)}",
            f"{requests / executions:.2f}",
            f"{sum(run.counts.rejections for run in self.runs)}",
            f"{self.memory_bytes / 1e6:.0f}",
            f"{self.copies}",
        )
        return f"| {' | '.join(cells)} |"


def one_run(url: str, seed: int, frames: int, ready: threading.Barrier, until: threading.Event) -> Run:
    """Send requests of `frames` frames until told to stop."""
    model, clip = ServedModel(url, MODEL), clip_of(seed, frames)
    latencies_s = []
    ready.wait()
    while not until.is_set():
        started = time.perf_counter()
        model.run(clip.feeds, outputs=("patches",))
        latencies_s.append(time.perf_counter() - started)
    model.close()
    return Run(tuple(latencies_s), model.counts)


def measured(server: TritonServer, runs: int, frames: int, seconds: float) -> Level:
    """Let `runs` runs work for some seconds."""
    ready, until = threading.Barrier(runs + 1), threading.Event()
    memory_bytes = 0
    with ThreadPoolExecutor(runs) as pool:
        futures = [pool.submit(one_run, server.url, seed, frames, ready, until) for seed in range(runs)]
        before = server.statistics(MODEL)
        ready.wait()
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            time.sleep(min(1.0, seconds / 4))
            memory_bytes = max(memory_bytes, server.memory_bytes())
        until.set()
        done = tuple(future.result() for future in futures)
        wall_s = time.perf_counter() - started
    return Level(done, wall_s, server.statistics(MODEL).since(before), memory_bytes, len(server.stubs()))


def main() -> int:
    """Read the command line, run, print a table."""
    parser = argparse.ArgumentParser(description="One model server with 1 to 16 runs on it.")
    parser.add_argument("--frames", type=int, default=8, help="of one request")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each level")
    parser.add_argument("--network", type=Path, help="a Wav2Lip ONNX file with bytes of pictures at its ends")
    options = parser.parse_args()
    wheel = found_wheel()
    if isinstance(wheel, str):
        print(f"lipsync: {wheel}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as name:
        model = write_stand_in(Path(name) / "models")
        if options.network:
            serve_network(model, options.network)
        with running_server(model.parent, Path(name)) as server:
            measured(server, LEVELS[-1], options.frames, options.seconds / 2)  # its buffers grow to the largest batch
            print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}")
            for runs in LEVELS:
                print(measured(server, runs, options.frames, options.seconds).row, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
