"""The job recorder: writes a job's start, its stages and its end into the ledger."""

import importlib.metadata
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from lipsync_core.catalogue import choose_blender
from lipsync_core.memory import peak_resident_bytes
from lipsync_core.movie import WrittenMovie, enhancer_name
from lipsync_core.options import JobOptions
from lipsync_core.preflight.check import Preflight
from lipsync_core.readers_usage import all_cpu_s
from lipsync_core.report import FrameCounts, Provenance
from lipsync_service.errors import LedgerUnavailableError, SupersededError
from lipsync_service.ledger.ledger import Claim, Ledger
from lipsync_service.ledger.rows import JobRow, JobState, StageRow, merge_jobs, state_after
from lipsync_service.result_facts import ResultFacts, joined
from lipsync_service.settings import Settings
from tasks.job import ChosenParts
from tasks.rendering import RenderPass
from tasks.scoring import Verdict
from tasks.stage_log import StageLog, StageRun


@dataclass(frozen=True, slots=True)
class RunContext:
    """The job and attempt that a flow run works on, and its host and pool."""

    job_id: UUID
    attempt: int
    host: str
    pool: str | None
    ready_at: datetime | None  # when it could have started, had there been a free worker


@dataclass(frozen=True, slots=True)
class JobAddresses:
    """The addresses of the job's files as the ledger names them: without credentials and queries."""

    video: str
    audio: str
    output: str


class JobRecorder:
    """Records one attempt of one job in the ledger. A failure to record never fails the job."""

    def __init__(self, settings: Settings, context: RunContext) -> None:
        self._ledger = Ledger(settings.database_url.get_secret_value(), settings.spool_dir)
        self._context = context
        self._started_at = datetime.now(UTC)
        self._row = JobRow(context.job_id, context.attempt, JobState.RUNNING, host=context.host, pool=context.pool)
        self._frames: FrameCounts | None = None  # None until the output is laid out

    def claim(self, addresses: JobAddresses, idempotency_key: str | None, digest: str) -> Claim:
        """Take the job under its idempotency key, or find the job that has it; `digest` is that of the request.

        Raises:
            IdempotencyConflictError: the key belongs to another request.
            OptionError: the key is empty or too long.
        """
        self._row = replace(
            self._row,
            video_url=addresses.video,
            audio_url=addresses.audio,
            output_url=addresses.output,
            idempotency_key=idempotency_key,
            request_digest=digest,
            version=importlib.metadata.version("lipsync"),
            created_at=self._context.ready_at or self._started_at,
        )
        if idempotency_key is None:  # nothing to ask for, and the row follows when the job starts
            return Claim(self._context.job_id, is_new=True, is_certain=True)
        return self._ledger.claim(replace(self._row, state=JobState.ACCEPTED))

    def job(self, job_id: UUID) -> JobRow | None:
        """The ledger's row of a job; None where it has none. Raises LedgerUnavailableError."""
        return self._ledger.job(job_id)

    def recall(self) -> None:
        """Take over what an earlier attempt has recorded of the result that this one delivers."""
        with suppress(LedgerUnavailableError):
            known = self._ledger.job(self._context.job_id)
            self._row = self._row if known is None else merge_jobs(known, self._row)

    def record_facts(self) -> None:
        """Record what is known by now: an attempt that dies while it delivers has told it to the next one."""
        self._ledger.record(self._row)

    @property
    def facts(self) -> ResultFacts:
        """What this attempt knows of the result by now."""
        return self._row.facts

    @contextmanager
    def recorded(self) -> Iterator["JobRecorder"]:
        """Record the job's start, and its end as the block ends: completed, failed with a code, or cancelled.

        The end of an attempt that is no longer the job's is not recorded.
        """
        self._row = replace(self._row, started_at=self._started_at)
        self._ledger.job_started(self._row)
        try:
            yield self
        except SupersededError:  # the job's row is that of another attempt
            raise
        except BaseException as failure:
            self._finish(*state_after(failure))
            raise
        self._finish(JobState.COMPLETED, None)

    def set_parts(self, parts: ChosenParts, options: JobOptions) -> None:
        """Note the model, the tracker and what follows from them, as soon as they are chosen."""
        model = parts.model
        self._row = replace(
            self._row,
            model=model.label,
            model_licence=model.licence,
            model_sha256=model.weights_sha256,
            tracker=parts.tracker,
            blender=choose_blender(options.blend, model).name,
        )

    def set_preflight(self, preflight: Preflight) -> None:
        """Note the codes of the warnings; those of a strict job's end are there as well."""
        self._row = replace(self._row, warnings=joined([str(each.code) for each in preflight.warnings]))

    def set_render(self, render: RenderPass) -> None:
        """Note the enhancer and the outcomes of the frames."""
        enhancer = render.parts.enhancer
        self._row = replace(self._row, enhancer=enhancer_name(enhancer) if enhancer else None)
        self._frames = render.plan.counts

    def set_movie(self, movie: WrittenMovie) -> None:
        """Note the encoder and the changes; where an earlier attempt has made the movie, its row has them."""
        self._row = replace(
            self._row,
            encoder=movie.encoder.chosen,
            changes=joined(movie.changes),
            dropped=joined(movie.dropped),
        )

    def set_provenance(self, provenance: Provenance) -> None:
        """Note who has signed the result, or why nobody has."""
        self._row = self._row.with_provenance(provenance)

    def set_score(self, verdict: Verdict) -> None:
        """Note the sync score of the result, or why it has none, and what follows from it."""
        self._row = self._row.with_score(verdict.scoring, verdict.name)

    def complete(self, output_bytes: int, duration_s: float, track_was_cached: bool) -> None:
        """Note the output's size and length, and whether an earlier track was used."""
        self._row = replace(
            self._row, output_bytes=output_bytes, duration_s=duration_s, track_was_cached=track_was_cached
        )

    def record_stages(self, log: StageLog) -> None:
        """Record the stages that have run in this process, with their finer rows."""
        self._ledger.stages_timed([row for run in log.runs for row in self._stage_rows(run)])

    def release(self) -> None:
        """Hold no connection while the job works."""
        self._ledger.release()

    def _stage_rows(self, run: StageRun) -> Iterator[StageRow]:
        ready_at = self._context.ready_at
        queue_s = max(0.0, (self._started_at - ready_at).total_seconds()) if ready_at else None
        whole = StageRow(
            self._context.job_id,
            self._context.attempt,
            run.stage,
            run.wall_s,
            run.cpu_s,
            run.finished_at,
            was_cached=run.was_cached,
            queue_s=queue_s if run.stage == "fetch video" else None,
            items=run.items,
            bytes=run.size_bytes,
            peak_rss_bytes=run.peak_rss_bytes,
            gpu_util=run.gpu_util,
            gpu_mem_bytes=run.gpu_mem_bytes,
            provider=run.provider,
            host=self._context.host,
            pool=self._context.pool,
            part_of=run.part_of,
        ).with_served(run.served)
        yield whole
        for part in () if run.part_of else run.parts:
            yield replace(
                whole,
                stage=part.stage,
                part_of=run.stage,
                wall_s=part.wall_s,
                cpu_s=part.cpu_s,
                items=part.items,
                queue_s=None,
                bytes=None,
                peak_rss_bytes=None,
                gpu_util=None,
                gpu_mem_bytes=None,
                provider=part.provider,
            ).with_served(part.served)

    def _finish(self, state: JobState, error_code: str | None) -> None:
        now = datetime.now(UTC)
        wall_s = (now - self._started_at).total_seconds()
        peak_bytes = peak_resident_bytes()
        row = replace(
            self._row,
            state=state,
            error_code=error_code,
            finished_at=now,
            wall_s=wall_s,
            cpu_s=time.process_time() + all_cpu_s(),  # a run has a process of its own, and its readers
            peak_rss_bytes=peak_bytes,
        )
        self._ledger.job_finished(row, self._frames)
