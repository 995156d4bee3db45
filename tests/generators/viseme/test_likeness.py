"""A mouth that does not look like the clip's closed lips is open, whatever lies in it, and closes with those lips."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from lipsync_core.face.landmarks import LOWER_OUTER_LIP, UPPER_INNER_LIP, UPPER_OUTER_LIP, rows
from lipsync_core.face.track import TrackedFace
from lipsync_core.generators.viseme.curves import Curve
from lipsync_core.generators.viseme.exemplar import MouthObserver
from lipsync_core.generators.viseme.likeness import ClosedLook
from lipsync_core.generators.viseme.lips import lip_picture
from lipsync_core.generators.viseme.mouth_crop import crop_mouth
from lipsync_core.generators.viseme.painter import VisemePainting
from lipsync_core.generators.viseme.seam import find_seam
from lipsync_core.media.decode import SourceFrame
from lipsync_core.media.planes import read_region
from tests.generators.faces import placed, plain_face, track_of

SKIN, LIP, DARK = (205, 160, 140), (175, 85, 90), (50, 20, 20)
TONGUE = (105, 64, 64)  # neither dark enough for an opening, nor pale enough for teeth
SIZE, EYES = 384, (192, 90)
POINTS = placed(plain_face(2.0), *EYES)


def drawn(between: tuple[int, int, int], height_px: int, light: float = 1.0, index: int = 0) -> SourceFrame:
    """A frame whose lips have `height_px` of a colour between them; the mesh sees all of them as closed."""
    pixels = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    outline = np.concatenate([POINTS[rows(UPPER_OUTER_LIP), :2], POINTS[rows(LOWER_OUTER_LIP), :2][::-1]])
    cv2.fillPoly(pixels, [np.rint(outline).astype(np.int32)], LIP)
    left, right = POINTS[rows(UPPER_INNER_LIP)[[0, -1]], 0]
    top = round(float(POINTS[rows((13, 14)), 1].mean()) - height_px / 2)
    pixels[top : top + height_px, round(left) : round(right) + 1] = between
    picture = av.VideoFrame.from_ndarray((pixels * light).astype(np.uint8), format="rgb24").reformat(format="yuv444p")
    return SourceFrame(index=index, pts=index, duration=1, time_base=Fraction(1, 25), picture=picture)


def found_in(*frames: SourceFrame) -> dict[str, np.ndarray]:
    observer = MouthObserver()
    for frame in frames:
        observer.observe(frame, TrackedFace(frame.index, np.array([0, 0, SIZE, SIZE], np.float32), 1.0, POINTS))
    return observer.findings()


CLOSED, OPEN = drawn(DARK, 2), drawn(TONGUE, 10, index=1)


@pytest.mark.parametrize(("frame", "likeness"), [(CLOSED, 1.0), (drawn(DARK, 2, light=0.6), 1.0), (OPEN, 0.0)])
def test_lips_are_like_the_clips_closed_ones_in_any_light_unless_something_is_between_them(
    frame: SourceFrame, likeness: float
) -> None:
    crop = crop_mouth(frame, POINTS)
    seam = find_seam(crop.pixels, crop.points)
    assert seam.is_closed  # by dark and teeth alone
    look = ClosedLook(lip_picture(found_in(CLOSED)))
    assert look.likeness(crop.pixels, seam.line) == pytest.approx(likeness, abs=0.01)


def test_a_mouth_that_only_the_clips_closed_lips_show_to_be_open_is_painted_closed() -> None:
    painter = VisemePainting().painter(track_of([POINTS, POINTS]), found_in(CLOSED, OPEN))
    box = painter.region(1)
    assert box is not None
    region = read_region(OPEN.picture, box)
    edit = np.zeros(len(Curve), np.float32)
    edit[Curve.CLOSURE] = 1.0
    painted = painter.paint(region, box, 1, edit).pixels
    before, after = (int((np.abs(pixels.astype(int) - TONGUE).max(2) < 12).sum()) for pixels in (region, painted))
    assert before > 300
    assert after < 0.1 * before
