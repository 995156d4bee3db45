from pathlib import Path

import numpy as np
import pytest

from lipsync_core.clock import StageClock
from lipsync_core.face.cuts import CutDetector
from lipsync_core.media.decode import SourceFrame, decode_frames
from tests.face.conftest import Picture, as_frames


def cuts_in(frames: list[SourceFrame]) -> list[int]:
    detector = CutDetector()
    return [frame.index for frame in frames if detector.is_cut(frame.picture)]


def test_the_cuts_of_a_real_clip_are_found_and_nothing_else(clips: Path) -> None:
    frames = list(decode_frames(clips / "facerec_short_hamilton_clip.mp4", StageClock()))
    assert cuts_in(frames) == [20, 82, 211]


@pytest.mark.parametrize("clip", ["liveportrait_s20.mp4", "liveportrait_s13.mp4"])
def test_a_zoom_and_a_quick_move_are_no_cuts(clip: str, clips: Path) -> None:
    frames = list(decode_frames(clips / clip, StageClock()))
    assert cuts_in(frames) == []


def test_a_cut_is_found_in_ten_bit_pictures_and_odd_shapes(woman: list[Picture], man: list[Picture]) -> None:
    pictures = [picture[:300, 100:342] for picture in (*woman[:3], *man[:3])]
    assert cuts_in(as_frames(pictures, "yuv420p10le")) == [3]


def test_a_slow_fade_is_no_cut(woman: list[Picture]) -> None:
    fade = [(picture * (1 - step / 20)).astype(np.uint8) for step, picture in enumerate(woman[:20])]
    assert cuts_in(as_frames(fade)) == []
