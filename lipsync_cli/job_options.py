"""The options of a job that `lipsync run` and `lipsync submit` have in common."""

import click

from lipsync_cli.values import FaceChoice
from lipsync_core.options import JobOptions

DEFAULTS = JobOptions()

length_option = click.option(
    "--length",
    type=click.Choice(["audio", "video"]),
    default=DEFAULTS.length,
    help="Which input the result lasts as long as.",
)
extend_option = click.option(
    "--extend",
    type=click.Choice(["pingpong", "loop", "freeze"]),
    default=DEFAULTS.extend,
    help="How a video shorter than the result goes on.",
)
face_option = click.option(
    "--face", type=FaceChoice(), show_default="largest", help="Whom to sync: largest, or 0 for the leftmost."
)
crf_option = click.option("--crf", type=int, default=DEFAULTS.crf, help="x264 quality: 0 is lossless, 51 the worst.")
min_synced_option = click.option(
    "--min-synced",
    type=float,
    default=DEFAULTS.min_synced,
    help="Fail when a smaller share of the frames (0 to 1) gets synced; at 0, when none does.",
)
