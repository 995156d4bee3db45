"""Runs many short jobs through a service of its own, and says of each thing that could grow whether it stays flat.

    python benchmarks/soak.py [--jobs 1000] [--minutes 240] [--at-once 2] [--first-port 15500] [--json soak.json]

Every job has a video of its own (one second, 320x180), so nothing comes from a cache. After every round of jobs the
service is looked at: memory, file descriptors and threads of each part, the bytes and objects of its storage, its
cache, its spool, its logs, its databases and their rows, and what jobs leave in the folder for temporary files.

What is kept for days would only grow within an hour. So after each look time passes: ended runs and events of Prefect
are dated back beyond their retention, its vacuum runs every few seconds, the S3 server compacts its volumes, and the
deployment lipsync-gc, with ages of seconds, is run. With --keep none of this is done, and the slopes say what a job
leaves behind. Ctrl-C ends the soak after the present round.

A thing is flat if the line through its values after the first --warm jobs (Theil and Sen: the median of the slopes of
all pairs) rises by no more in a hundred jobs than the larger of one percent of its median and the floor of its kind.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit
from uuid import uuid4

import av
import httpx
import psycopg
from sqlalchemy.engine import make_url

_REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_REPOSITORY))

from benchmarks.control_plane import prepared  # noqa: E402
from benchmarks.service_overhead import distinct_copy  # noqa: E402
from benchmarks.trends import Sample, table, trends  # noqa: E402
from lipsync_cli.bench.load import Callers  # noqa: E402
from lipsync_cli.bench.own_stack import OwnStack, own_stack  # noqa: E402
from lipsync_cli.bench.parts import LocalParts  # noqa: E402
from lipsync_core.errors import TransientError  # noqa: E402
from lipsync_service.client.local_files import FileExchange, LocalFiles  # noqa: E402
from lipsync_service.client.prefect_api import RunOrder, open_api  # noqa: E402
from lipsync_service.client.request import LipSyncRequest  # noqa: E402
from lipsync_service.deploy.retention import RUNS_KEPT_DAYS  # noqa: E402
from lipsync_service.names import GC_DEPLOYMENT  # noqa: E402
from lipsync_service.storage.s3 import s3_client  # noqa: E402

_WIDTH, _HEIGHT = 320, 180
_SECONDS = 1.0
_MB = 1_000_000
_SETTLE_S = 3.0
_DAY_S = 86_400
_YOUNG_S = 20.0  # what is younger stays as it is
_VACUUM_S = 5
_SHARED = "shared buffers"  # PostgreSQL's cache of its files: it grows up to its setting, and no further


def small_video(source: Path, path: Path) -> None:
    """The first second of `source`, scaled down."""
    with av.open(str(source)) as container, av.open(str(path), "w") as output:
        stream = container.streams.video[0]
        target = output.add_stream("libx264", rate=Fraction(stream.average_rate or 25), options={"crf": "20"})
        target.width, target.height, target.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        for frame in container.decode(stream):
            if frame.time is not None and frame.time >= _SECONDS:
                break
            output.mux(target.encode(frame.reformat(_WIDTH, _HEIGHT, "yuv420p")))
        output.mux(target.encode(None))


class Soaked:
    """The service that is looked at."""

    def __init__(self, stack: OwnStack, temporary: Path) -> None:
        self.stack = stack
        self.settings = stack.settings
        self._temporary = temporary
        self._parts = LocalParts(stack.root)
        self._began_s = time.monotonic()

    def sample(self, jobs: int) -> Sample:
        """Look at everything, once all runs have ended."""
        self._parts.wait_for_runs()
        time.sleep(_SETTLE_S)
        values: dict[str, float] = {}
        for part, size in sorted(self._parts.sizes().items()):
            values[f"memory {part}, MB"] = size.private_bytes / _MB
            if size.shared_bytes > _MB:
                values[f"memory {part}, {_SHARED}, MB"] = size.shared_bytes / _MB
            values[f"descriptors {part}"] = size.descriptors
            values[f"threads {part}"] = size.threads
        values |= self._stored() | self._on_disk() | self._in_databases()
        return Sample(jobs, time.monotonic() - self._began_s, values)

    def pass_time(self) -> None:
        """Date ended runs and events of Prefect back beyond their retention, and have the S3 server compact itself."""
        with self._database("prefect") as connection:
            days, young = f"{RUNS_KEPT_DAYS + 1} days", f"{_YOUNG_S} seconds"
            connection.execute(
                "UPDATE flow_run SET end_time = end_time - %s::interval WHERE end_time < now() - %s::interval",
                [days, young],
            )
            for table in ("events", "event_resources"):
                connection.execute(  # the names are those above
                    f"UPDATE {table} SET occurred = occurred - %s::interval WHERE occurred < now() - %s::interval",
                    [days, young],
                )
        # SeaweedFS looks every quarter of an hour for volumes of which more than 30 % was removed.
        master = urlsplit(str(self.settings.s3_endpoint))._replace(path="/vol/vacuum", query="garbageThreshold=0.3")
        httpx.get(master._replace(netloc=f"{master.hostname}:{(master.port or 0) + 1}").geturl(), timeout=60)

    def _stored(self) -> dict[str, float]:
        """The objects and bytes of the storage by folder, and unfinished uploads."""
        bucket, _, prefix = self.settings.storage_url.removeprefix("s3://").partition("/")
        client = s3_client(self.settings)
        found: dict[str, float] = {}
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
            for each in page.get("Contents", ()):
                folder = each["Key"].removeprefix(f"{prefix}/").partition("/")[0]
                found[f"objects {folder}"] = found.get(f"objects {folder}", 0) + 1
                found[f"disk {folder}, MB"] = found.get(f"disk {folder}, MB", 0.0) + each["Size"] / _MB
        found["objects unfinished"] = len(client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()))
        client.close()
        return found

    def _on_disk(self) -> dict[str, float]:
        root = self.stack.root
        folders = {
            "S3 server": root / "objects",
            "cache": root / "cache",
            "spool": root / "spool",
            "logs": root / "log",
        }
        sizes = {f"disk {name}, MB": _size_bytes(folder) / _MB for name, folder in folders.items()}
        cached = sum(1 for path in (root / "cache").rglob("*") if path.is_file())
        leftovers = sum(1 for path in self._temporary.iterdir() if path.name.startswith("lipsync"))
        return sizes | {"files cache": cached, "files temporary": leftovers}

    def _in_databases(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for database, name in (("prefect", "Prefect"), ("lipsync", "ledger")):
            with self._database(database) as connection:
                tables = [
                    row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname='public'")
                ]
                counts = [connection.execute(f'SELECT count(*) FROM "{table}"').fetchone() for table in tables]
                size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            found[f"rows {name}"] = sum(row[0] for row in counts if row)
            found[f"disk {name}, MB"] = size[0] / _MB if size else 0.0
        return found

    @contextmanager
    def _database(self, name: str) -> "Iterator[psycopg.Connection[tuple[int, ...]]]":
        url = make_url(self.stack.database_url)
        with psycopg.connect(host=str(url.query["host"]), user=url.username, dbname=name) as connection:
            yield connection


def _size_bytes(folder: Path) -> int:
    """Of all files below; those that go meanwhile do not count."""
    total = 0
    for path in folder.rglob("*"):
        try:
            status = path.lstat()
        except OSError:
            continue
        total += status.st_blocks * 512
    return total


class Inputs:
    """The inputs of the jobs, sent as `lipsync submit` sends them: results come to the service's storage as well."""

    def __init__(self, soaked: Soaked, folder: Path) -> None:
        self._settings = soaked.settings
        self._folder = folder
        prepared(folder, _SECONDS)
        small_video(folder / "face.mp4", folder / "small.mp4")

    def requests(self, count: int) -> list[LipSyncRequest]:
        """Send `count` videos of their own."""
        found = []
        files = FileExchange(self._settings)  # each round is another caller: time has passed since the last one
        for number in range(count):
            video = distinct_copy(self._folder / "small.mp4", self._folder / f"{number}-{uuid4()}.mp4")
            local = LocalFiles(video, self._folder / "speech.wav", self._folder / "out.mp4")
            paths = {"video": video.as_uri(), "audio": "file:///speech.wav", "output": "file:///out.mp4"}
            request = files.addressed(LipSyncRequest(**paths, model="viseme"), local)
            found.append(request)
            files.send(request, local, lambda path, progress: None)
            video.unlink()
        return found


def soak(soaked: Soaked, inputs: Inputs, given: argparse.Namespace) -> tuple[list[Sample], list[str]]:
    """Run the jobs in rounds; returns the samples, and the failures."""
    callers = Callers(soaked.settings)
    samples, failures, done = [soaked.sample(0)], list[str](), 0
    end_s = time.monotonic() + 60 * given.minutes
    is_stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: is_stopped.set())
    while done < given.jobs and time.monotonic() < end_s and not is_stopped.is_set():
        count = min(given.every, given.jobs - done)
        sent = callers.send(inputs.requests(count), given.at_once)
        done += count
        failures += [f"{error.code}: {error}" for error in sent.errors]
        samples.append(soaked.sample(done))
        if not given.keep:
            soaked.pass_time()
            with suppress(TransientError):  # a server that is too busy now: the next round cleans
                collect(soaked)
        memory = sum(value for name, value in samples[-1].values.items() if name.startswith("memory"))
        mean_s = statistics.mean(sent.request_s) if sent.request_s else float("nan")
        print(
            f"{samples[-1].elapsed_s:7.0f} s  {done} jobs, {len(failures)} failed, {mean_s:.1f} s each, "
            f"{memory:.0f} MB",
            flush=True,
        )
        if given.json:
            write_samples(given.json, samples, failures)
    return samples, failures


def collect(soaked: Soaked) -> None:
    """Have the service clean itself, as it does each day."""
    with open_api(soaked.settings) as api:
        run, _ = api.create_run(GC_DEPLOYMENT, RunOrder("soak", {}))
        while not (run := api.run(run.id)).state.is_final:
            time.sleep(1.0)
    if run.state.type != "COMPLETED":
        raise SystemExit(f"the cleaning ended as {run.state.name}: {run.state.message}")


def write_samples(path: Path, samples: Sequence[Sample], failures: Sequence[str]) -> None:
    """Keep what was seen so far."""
    rows = [{"jobs": each.jobs, "elapsed_s": each.elapsed_s, **each.values} for each in samples]
    path.write_text(json.dumps({"samples": rows, "failures": list(failures)}, indent=1), encoding="utf-8")


@contextmanager
def soaked_service(first_port: int) -> Iterator[Soaked]:
    """A service of its own, with its temporary files in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="lipsync-soak-", ignore_cleanup_errors=True) as name:
        temporary = Path(name)
        ages = ("UPLOADS", "TRACKS", "EDITS", "RENDERS", "HANDOVERS", "RESULTS", "LEDGER")
        os.environ |= {f"LIPSYNC_KEEP_{name}_DAYS": str(_YOUNG_S / _DAY_S) for name in ages}
        os.environ |= {
            "LIPSYNC_KEEP_IN_USE_HOURS": str(_YOUNG_S / 3600),
            "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": str(_VACUUM_S),
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ORPHAN_CLEANUP_LOOP_SECONDS": str(_VACUUM_S),
            "LIPSYNC_CACHE_CAP_BYTES": "3MB",
            "LIPSYNC_GPU_POOL": "",
        }
        with own_stack(_REPOSITORY, first_port) as stack:
            os.environ["TMPDIR"] = name
            stack.up(1)
            yield Soaked(stack, temporary)


def main() -> None:
    """Print a line for each round, then the table and the failures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=240.0, help="no further round begins after so many")
    parser.add_argument("--at-once", type=int, default=2, help="callers, each of whom waits for its job")
    parser.add_argument("--every", type=int, default=20, help="jobs between two looks")
    parser.add_argument("--warm", type=int, default=100, help="jobs before the first value that counts")
    parser.add_argument("--first-port", type=int, default=15_500)
    parser.add_argument("--keep", action="store_true", help="let no time pass, and remove nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples")
    given = parser.parse_args()
    with soaked_service(given.first_port) as soaked, tempfile.TemporaryDirectory() as folder:
        samples, failures = soak(soaked, Inputs(soaked, Path(folder)), given)
    found = trends(samples, min(given.warm, samples[-1].jobs))
    growing = [each.name for each in found if each.verdict == "GROWS"]
    print(
        f"\n{samples[-1].jobs} jobs in {samples[-1].elapsed_s / 60:.0f} minutes, {len(failures)} failed",
        *failures,
        sep="\n",
    )
    print(table(found))
    print(
        f"\n{len(found) - len(growing)} of {len(found)} are flat"
        + (f"; these grow: {'; '.join(growing)}" if growing else "")
    )


if __name__ == "__main__":
    main()
