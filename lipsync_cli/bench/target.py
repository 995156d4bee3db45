"""The service that is measured: its address, its processes where they run here, and its ledger where it can be read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from lipsync_cli.bench.figures import Load, Stage
from lipsync_cli.bench.inputs import InputPair
from lipsync_cli.bench.load import Callers
from lipsync_cli.bench.own_stack import OwnStack
from lipsync_cli.bench.parts import LocalParts
from lipsync_cli.bench.watching import LoadWatch
from lipsync_core.errors import LipSyncError
from lipsync_service.client.job_client import JobQuery, open_client
from lipsync_service.client.local_files import FileExchange, LocalFiles, split_local
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.gpu_meter import ReadGpu
from lipsync_service.ledger.timing_report import ReportFilter, timing_breakdown
from lipsync_service.settings import Settings


@dataclass(frozen=True, slots=True)
class Target:
    """A service that takes requests."""

    settings: Settings
    parts: LocalParts | None  # None: it runs on another machine, or in containers
    database_url: str | None  # of its ledger; None: unknown
    read_gpu: ReadGpu | None = None  # of this machine

    @property
    def address(self) -> str:
        """Of Prefect's API, without credentials."""
        parts = urlsplit(self.settings.api_url)
        return f"{parts.scheme}://{parts.hostname}:{parts.port}{parts.path}" if parts.port else self.settings.api_url

    @property
    def notes(self) -> tuple[str, ...]:
        """What cannot be measured of this service, and why."""
        notes = []
        if self.parts is None:
            notes.append(
                "CPU and memory of the service's parts are not measured: its processes are not those of `make up` on "
                "this machine"
            )
        if self.database_url is None:
            notes.append("The stages are not measured: the address of the ledger is unknown (LIPSYNC_DATABASE_URL)")
        if self.read_gpu is None:
            notes.append("No GPU is measured: this machine has none, or lacks its driver or nvidia-ml-py")
        return tuple(notes)

    def of_own_stack(self, stack: OwnStack) -> "Target":
        """The target that is `stack`, with the same GPU."""
        return replace(self, settings=stack.settings, parts=LocalParts(stack.root), database_url=stack.database_url)

    def check(self) -> None:
        """See that the service answers and has a storage for inputs, before the work of making them.

        Raises:
            LipSyncError: it has not.
        """
        with open_client(self.settings) as client:
            client.jobs(JobQuery(limit=1))
        FileExchange(self.settings).require_storage(LocalFiles(video=Path()))

    def try_out(self, pair: InputPair, model: str) -> None:
        """Have one job done.

        Raises:
            LipSyncError: the service does not answer, or the job fails.
        """
        sent = Callers(self.settings).send(self.requests([pair], model), 1)
        for error in sent.errors:
            raise error

    def load(
        self,
        pairs: Sequence[InputPair],
        at_once: int,
        model: str,
        is_enhanced: bool = False,
        workers: int | None = None,
    ) -> Load:
        """Send a request for each pair, `at_once` of them at any time; the inputs are uploaded before."""
        requests = self.requests(pairs, model, is_enhanced)
        callers = Callers(self.settings, is_watched=self.parts is None)
        watch = LoadWatch(self.parts, self.read_gpu, callers.running)
        watch.start()
        try:
            sent = callers.send(requests, at_once)
        finally:
            seen = watch.stop()
        return Load(
            at_once=at_once,
            request_s=sent.request_s,
            failures=tuple(error.code for error in sent.errors),
            wall_s=sent.wall_s,
            most_running=seen.most_running,
            machine=seen.machine,
            gpu=seen.gpu,
            stages=self._stages(sent.job_ids),
            workers=workers,
        )

    def requests(self, pairs: Sequence[InputPair], model: str, is_enhanced: bool = False) -> list[LipSyncRequest]:
        """The requests with addresses of the service, after the inputs were uploaded."""
        exchange, requests = FileExchange(self.settings), []
        for pair in pairs:
            fields = {"video": str(pair.video), "audio": str(pair.audio), "output": f"{uuid4()}.mp4"}
            addresses, local = split_local({**fields, "model": model, "enhance_quality": is_enhanced}, Path())
            request = exchange.addressed(LipSyncRequest.model_validate(addresses), local)
            exchange.send(request, local, lambda path, progress: None)
            requests.append(request)
        return requests

    def _stages(self, job_ids: tuple[UUID, ...]) -> tuple[Stage, ...]:
        """The stages of these jobs, the largest first; empty where the ledger cannot be read."""
        if self.database_url is None or not job_ids:
            return ()
        try:
            breakdown = timing_breakdown(self.database_url, ReportFilter(job_ids=job_ids))
        except LipSyncError:  # a measurement is worth more than its breakdown
            return ()
        jobs = len(job_ids)
        return tuple(
            Stage(line.stage, line.median_s, line.total_s / jobs, line.cpu_s / jobs)
            for line in breakdown.lines
            if not line.part_of
        )
