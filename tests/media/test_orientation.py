"""Videos stored turned or mirrored are shown as ffmpeg's command line shows them."""

import math
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.media.decode import SourceFrame, decode_frames, decode_in_order
from lipsync_core.media.planes import plane_samples
from lipsync_core.media.probe import require_video
from tests.conftest import Ffmpeg, MakeVideo

EIGHT = [(degrees, is_mirrored) for degrees in (0, 90, 180, 270) for is_mirrored in (False, True)]


def tagged(ffmpeg: Ffmpeg, plain: Path, degrees: int, is_mirrored: bool) -> Path:
    path = plain.with_name("tagged.mp4")
    flip = ("-display_hflip",) if is_mirrored else ()
    ffmpeg("-display_rotation", str(degrees), *flip, "-i", plain, "-c", "copy", path)
    return path


def planes(frame: SourceFrame) -> list[NDArray[np.generic]]:
    return [plane_samples(frame.picture, at).copy() for at in range(3)]


@pytest.mark.parametrize("size", ["160x120", "161x121"])
@pytest.mark.parametrize(("degrees", "is_mirrored"), EIGHT)
def test_a_video_is_shown_as_a_player_shows_it(
    degrees: int, is_mirrored: bool, size: str, make_video: MakeVideo, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    pix_fmt = "yuv444p" if size == "161x121" else "yuv420p"
    path = tagged(ffmpeg, make_video(frames=3, size=size, pix_fmt=pix_fmt), degrees, is_mirrored)
    ffmpeg("-i", path, "-frames:v", "1", "-pix_fmt", "rgb24", tmp_path / "shown.png")
    with av.open(str(tmp_path / "shown.png")) as container:
        expected = next(container.decode(video=0)).to_ndarray(format="rgb24")
    video = require_video(path)
    first = next(iter(decode_frames(path, StageClock())))
    found = np.rot90(first.picture.to_ndarray(format="rgb24"), video.rotation_deg // 90)
    assert video.is_mirrored == is_mirrored
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 3
    turns = round(first.picture.rotation / 90) + first.extra_turns  # the face trackers' way up
    assert (turns - video.rotation_deg // 90) % 4 == 0


def test_a_matrix_that_mirrors_left_to_right_is_no_rotation(make_video: MakeVideo, tmp_path: Path) -> None:
    # tkhd -1 0 0 1 was read as half a turn: people stood on their heads.
    plain, path = make_video(frames=2), tmp_path / "mirrored.mp4"
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.options = {"crf": "0", "preset": "ultrafast"}
        stream.set_display_matrix([-65536, 0, 0, 0, 65536, 0, 160 << 16, 0, 1 << 30])
        for picture in source.decode(video=0):
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    video = require_video(path)
    assert (video.rotation_deg, video.is_mirrored) == (0, True)
    for one, two in zip(decode_frames(plain, StageClock()), decode_frames(path, StageClock()), strict=True):
        for stored, flipped in zip(planes(one), planes(two), strict=True):
            np.testing.assert_array_equal(stored[:, ::-1], flipped)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p"])
def test_mirrored_pictures_are_the_stored_ones_flipped_in_any_order(
    pix_fmt: str, make_video: MakeVideo, ffmpeg: Ffmpeg
) -> None:
    plain = make_video("plain.mp4", "-bf", "3", "-g", "10", frames=30, pix_fmt=pix_fmt)
    path = tagged(ffmpeg, plain, 0, is_mirrored=True)
    stored = [planes(frame) for frame in decode_frames(plain, StageClock())]
    order = [*range(30), *range(28, 0, -1), 17, 17, 3]
    found = 0
    for index, frame in zip(order, decode_in_order(path, order, StageClock(), budget_bytes=1 << 18), strict=True):
        for one, two in zip(stored[index], planes(frame), strict=True):
            np.testing.assert_array_equal(one[:, ::-1], two)
        found += 1
    assert found == len(order)
    assert math.prod(stored[0][0].shape) == 160 * 120
