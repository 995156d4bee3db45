"""`lipsync run`: one job, from two files to one."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from lipsync_cli.failures import write_stdout
from lipsync_cli.job_options import DEFAULTS, crf_option, extend_option, face_option, length_option, min_synced_option
from lipsync_cli.ledger import OWN, entered, open_ledger
from lipsync_cli.progress.run import shown_progress
from lipsync_cli.render.run_report import render_json, render_text
from lipsync_cli.values import Moment, home_option, workspace_at
from lipsync_core.execution import Execution
from lipsync_core.options import PRESETS, JobOptions

_FILE = click.Path(path_type=Path)
EXECUTION = Execution()


@click.command(epilog="An existing OUT is replaced, at the very end and in one step; until then it is not touched.")
@click.argument("video", type=_FILE)
@click.argument("audio", type=_FILE)
@click.option("-o", "--output", type=_FILE, required=True, metavar="OUT.mp4", help="Where the result goes.")
@click.option(
    "--model",
    metavar="NAME",
    default=DEFAULTS.model,
    help="Generator: auto (the best that can be used here), viseme, wav2lip or wav2lip-gan.",
)
@click.option("--tracker", metavar="NAME", default=DEFAULTS.tracker, help="Face tracker: auto, mediapipe or scrfd.")
@click.option(
    "--blend",
    type=click.Choice(["auto", "feather", "poisson"]),
    default=DEFAULTS.blend,
    help="How new pixels join the old: auto is what suits the model.",
)
@click.option(
    "--enhance-quality", is_flag=True, help="Restore the new mouth with GFPGAN, at several times the job's cost."
)
@click.option(
    "--providers",
    type=click.Choice(["auto", "cpu", "cuda", "tensorrt"]),
    default=EXECUTION.providers,
    help="What runs the networks of wav2lip, scrfd and gfpgan; auto takes cuda where it works, else cpu.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16"]),
    default=EXECUTION.precision,
    help="Of their numbers; fp16 with tensorrt only.",
)
@click.option(
    "--compat",
    type=click.Choice(["none", "upstream"]),
    default=DEFAULTS.compat,
    help="upstream: do everything as Wav2Lip's public implementation does, to compare results.",
)
@length_option
@extend_option
@face_option
@crf_option
@click.option("--preset", type=click.Choice(PRESETS), metavar="NAME", default=DEFAULTS.preset, help="x264 preset.")
@click.option(
    "--start", "start_s", type=Moment(), default="0", help="Where in the result to start: seconds or [HH:]MM:SS."
)
@click.option("--end", "end_s", type=Moment(), show_default="its end", help="Where in the result to stop.")
@min_synced_option
@click.option(
    "--ledger",
    metavar="URL",
    envvar="LIPSYNC_LEDGER",
    help=f"Enter the job in this ledger, or in the one that lipsync report reads: {OWN}.  [env: LIPSYNC_LEDGER]",
)
@click.option("--json", "as_json", is_flag=True, help="Write the report to standard output as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="No progress and no report; with --json, no progress.")
@home_option
def run(
    video: Path,
    audio: Path,
    output: Path,
    home: Path | None,
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
    execution = Execution(chosen.pop("providers"), chosen.pop("precision"))
    options = JobOptions(**chosen)
    account = None if ledger is None else open_ledger(ledger)
    from lipsync_core.memory import give_memory_back

    give_memory_back()  # before codecs and libraries start their threads
    from lipsync_core.pipeline import lip_sync

    with shown_progress(quiet) as progress:
        job = partial(lip_sync, video, audio, output, options, workspace_at(home), progress, execution=execution)
        report = job() if account is None else entered(account, video, audio, job)
    if as_json:
        write_stdout(render_json(report))
    elif not quiet:
        write_stdout(render_text(report))
