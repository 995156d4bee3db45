"""`lipsync check`: looks at the inputs of a job before the work, and warns of what would spoil the result."""

from pathlib import Path
from typing import Any

import click

from lipsync_cli.environment import (
    cores_option,
    home_option,
    rules_of_reading,
    start_no_blas_threads,
)
from lipsync_cli.failures import write_stdout
from lipsync_cli.job_options import job_option
from lipsync_cli.values import LocalFile, workspace_at
from lipsync_core.errors import OutputError
from lipsync_core.options import JobOptions

_FILE = LocalFile()


@click.command(epilog="It reads samples of VIDEO: a minute of 720p takes two or three seconds. It writes nothing else.")
@click.argument("video", type=_FILE)
@click.argument("audio", type=_FILE, required=False)
@job_option("face")
@job_option("length")
@job_option("deinterlace")
@job_option("start_s")
@job_option("end_s")
@job_option("video_track")
@job_option("audio_track")
@click.option(
    "--sheet",
    type=LocalFile(OutputError),
    metavar="FILE.png",
    help="Write some of the frames there, with a box and a number for each face; the one to sync is green.",
)
@click.option("--strict", is_flag=True, help="End with exit status 12 where there is a warning.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@cores_option
@home_option
def check(
    video: Path,
    audio: Path | None,
    sheet: Path | None,
    strict: bool,
    as_json: bool,
    threads: int | None,
    home: Path | None,
    **chosen: Any,
) -> None:
    """Warn of what would spoil a job with VIDEO and AUDIO.

    Says which face would be synced, in how many frames that can be done, and why not in the others; and of AUDIO, if
    it is given, whether there is speech that can be heard. docs/preflight.md lists the warnings.
    """
    options = JobOptions(**chosen)
    start_no_blas_threads()
    from lipsync_core.isolation.room import reading_room
    from lipsync_core.shortage import require_room_for_libraries

    require_room_for_libraries()
    # All reading apart: a reader decodes while this process looks for faces.
    with rules_of_reading(), reading_room("all"):
        from lipsync_cli.render.preflight import render_json, render_text
        from lipsync_core.models.store import ModelStore
        from lipsync_core.preflight.check import check as check_inputs
        from lipsync_core.preflight.sheet import ContactSheet
        from lipsync_core.threads import threads_limited

        drawn = None if sheet is None else ContactSheet()
        with threads_limited(threads):
            preflight = check_inputs(video, audio, options, ModelStore(workspace_at(home).models), sheet=drawn)
    if sheet is not None and drawn is not None:
        drawn.write(sheet)
    write_stdout(render_json(preflight, sheet) if as_json else render_text(preflight, sheet))
    if strict:
        preflight.require_no_warning()
