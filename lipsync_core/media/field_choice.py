"""Chooses whether a video's pictures are deinterlaced: as was asked for, or by its marks and its first pictures."""

from pathlib import Path

from lipsync_core.apart import read_apart
from lipsync_core.clock import StageClock
from lipsync_core.media.fields import is_woven, may_be_woven
from lipsync_core.media.probe import VideoInfo
from lipsync_core.media.stream import PictureStream
from lipsync_core.option_specs import Deinterlace


@read_apart
def needs_whole_pictures(path: Path, info: VideoInfo, chosen: Deinterlace, track: str | None = None) -> bool:
    """Whether the pictures of the video have to be made whole; only `auto` looks at some, and only where they may.

    Raises:
        InputError: as `probe.probe`.
    """
    if chosen != "auto" or info.is_still:
        return chosen == "on" and not info.is_still
    if not may_be_woven(info.height_px, info.says_interlaced):
        return False
    with PictureStream(path, StageClock(), has_fallback=False, track=track) as pictures:
        return is_woven(pictures)
