"""`lipsync score`: says how well the mouth in a video follows a sound."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lipsync_cli.environment import home_option, rules_of_reading, start_no_blas_threads
from lipsync_cli.failures import write_stdout
from lipsync_cli.job_options import job_option
from lipsync_cli.progress.run import shown_progress
from lipsync_cli.render.score_report import score_fields, score_lines, syncnet_fields, syncnet_lines
from lipsync_cli.values import LocalFile, workspace_at
from lipsync_core.options import JobOptions
from lipsync_core.score_figures import Scoring

if TYPE_CHECKING:
    from lipsync_core.scoring import VideoScore

SCHEMA = "lipsync.score/1"


@click.command()
@click.argument("video", type=LocalFile())
@click.argument("audio", type=LocalFile(), required=False)
@job_option("face")
@job_option("video_track")
@job_option("audio_track")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@home_option
def score(video: Path, audio: Path | None, as_json: bool, quiet: bool, home: Path | None, **chosen: Any) -> None:
    """Say how well the mouth in VIDEO follows AUDIO, by default its own sound.

    The offset is that of the mouth: above 0 it is late. Where the model syncnet is installed (lipsync models import
    PATH --as syncnet), its LSE-C and LSE-D are measured as well, in about a second for each second of VIDEO.
    """
    start_no_blas_threads()
    from lipsync_core.shortage import require_room_for_libraries

    require_room_for_libraries()
    from lipsync_core.isolation.room import reading_room

    with rules_of_reading(), reading_room("probes"), shown_progress(quiet) as progress:
        from lipsync_core.scoring import score_video

        found = score_video(video, audio, JobOptions(**chosen), workspace_at(home), progress)
    write_stdout(json.dumps(_fields(found), indent=2) if as_json else _described(found))


def _described(found: "VideoScore") -> str:
    faces = f"a face in {found.score.frames} of {found.frames} frames"
    return "\n".join(
        [
            f"video    {found.video}, {found.duration_s:.2f} s, {faces}",
            f"sound    {found.audio}",
            *score_lines(Scoring(found.score)),
            *syncnet_lines(found.syncnet),
        ]
    )


def _fields(found: "VideoScore") -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "video": str(found.video),
        "audio": str(found.audio),
        "duration_s": found.duration_s,
        "frames": found.frames,
        "score": score_fields(found.score),
        **syncnet_fields(found.syncnet),
    }
