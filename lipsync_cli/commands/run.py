"""`lipsync run`: does one job on this machine, from a video and a sound file to a movie."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from lipsync_cli.environment import (
    cores_option,
    home_option,
    isolate_option,
    ledger_option,
    model_server_option,
    model_server_wait_option,
    rules_of_reading,
    signing_settings,
    start_no_blas_threads,
)
from lipsync_cli.failures import write_stdout
from lipsync_cli.job_options import job_option
from lipsync_cli.ledger import open_ledger, recorded
from lipsync_cli.progress.run import shown_progress
from lipsync_cli.render.run_report import render_json, render_text
from lipsync_cli.values import LocalFile, workspace_at
from lipsync_core.apart import Scope
from lipsync_core.errors import OutputError
from lipsync_core.execution import Execution
from lipsync_core.options import JobOptions
from lipsync_core.report import JobReport
from lipsync_core.workspace import Workspace

_FILE = LocalFile()


@click.command(epilog="An existing OUT is replaced, at the very end and in one step; until then it is not touched.")
@click.argument("video", type=_FILE)
@click.argument("audio", type=_FILE)
@click.option(
    "-o", "--output", type=LocalFile(OutputError), required=True, metavar="OUT.mp4", help="Where the result goes."
)
@job_option("model")
@job_option("tracker")
@job_option("blend")
@job_option("expression")
@job_option("enhance_quality")
@job_option("providers")
@job_option("precision")
@job_option("decoder")
@model_server_option
@model_server_wait_option
@job_option("compat")
@job_option("length")
@job_option("extend")
@job_option("face")
@job_option("encoder")
@job_option("codec")
@job_option("keep_depth")
@job_option("pix_fmt")
@job_option("max_size")
@job_option("crf")
@job_option("preset")
@job_option("deinterlace")
@job_option("fps")
@job_option("audio_codec")
@job_option("start_s")
@job_option("end_s")
@job_option("video_track")
@job_option("audio_track")
@job_option("provenance")
@job_option("min_synced")
@job_option("min_score")
@isolate_option
@cores_option
@job_option("jobs")
@ledger_option
@click.option("--strict", is_flag=True, help="Stop before the work where `lipsync check` warns: PREFLIGHT_WARNING.")
@click.option("--json", "as_json", is_flag=True, help="Write the report to standard output as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="No progress and no report; with --json, no progress.")
@home_option
def run(
    video: Path,
    audio: Path,
    output: Path,
    home: Path | None,
    threads: int | None,
    ledger: str | None,
    as_json: bool,
    quiet: bool,
    **chosen: Any,
) -> None:
    """Make the face in VIDEO speak AUDIO.

    VIDEO is any video or still image that FFmpeg reads, AUDIO any file with sound, a video as well.
    --start and --end cut the result: the frames between them are those of the whole result.

    \b
    Names that begin with a dash go behind two dashes:
      lipsync run -o out.mp4 -- -a.mp4 -b.wav
    """
    scope: Scope = "all" if chosen.pop("isolate") else "probes"
    execution = Execution(**{field.name: chosen.pop(field.name) for field in fields(Execution)})
    is_strict = chosen.pop("strict")
    options = JobOptions(**chosen)
    workspace = replace(workspace_at(home), signing=signing_settings())
    account = None if ledger is None else open_ledger(ledger)
    _prepare_process()
    from lipsync_core.isolation.room import reading_room

    # The room first: what is loaded before is copied, page by page, where either side of its fork writes to it.
    with rules_of_reading(), reading_room(scope), ExitStack() as stack:
        from lipsync_core.pipeline import lip_sync
        from lipsync_core.threads import threads_limited

        stack.enter_context(threads_limited(threads))
        progress = stack.enter_context(shown_progress(quiet))
        job = partial(lip_sync, video, audio, output, options, workspace, progress, execution=execution)
        job = partial(_checked, job, video, audio, options, workspace) if is_strict else job
        report = job() if account is None else recorded(account, video, audio, job)
    _conclude(report, as_json, quiet)


def _conclude(report: JobReport, as_json: bool, quiet: bool) -> None:
    """Show the report; raises what has kept the result from being signed."""
    if as_json:
        write_stdout(render_json(report))
    elif not quiet:
        write_stdout(render_text(report))
    if report.provenance.error is not None:
        raise report.provenance.error


def _checked(
    job: Callable[[], JobReport], video: Path, audio: Path, options: JobOptions, workspace: Workspace
) -> JobReport:
    """The report of `job`, which is done where the preflight has no warning; else raises PreflightError."""
    from lipsync_core.models.store import ModelStore
    from lipsync_core.preflight.check import check

    check(video, audio, options, ModelStore(workspace.models)).require_no_warning()
    return job()


def _prepare_process() -> None:
    """Look whether there is enough memory, before codecs and libraries are loaded and start their threads."""
    start_no_blas_threads()
    from lipsync_core.memory import give_memory_back
    from lipsync_core.shortage import require_room_for_libraries

    require_room_for_libraries()
    give_memory_back()
