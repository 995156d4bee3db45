"""Borrowed lips keep their colour, and cover what the mesh does not see of an open mouth."""

from fractions import Fraction

import av
import cv2
import numpy as np

from lipsync_core.face.landmarks import LOWER_OUTER_LIP, UPPER_OUTER_LIP, rows
from lipsync_core.face.track import TrackedFace
from lipsync_core.generators.viseme.curves import Curve
from lipsync_core.generators.viseme.exemplar import MouthObserver
from lipsync_core.generators.viseme.painter import VisemePainting
from lipsync_core.media.decode import SourceFrame
from lipsync_core.media.planes import read_region
from tests.generators.faces import placed, plain_face, track_of

SKIN, LIP, DARK, RIM = (205, 160, 140), (175, 85, 90), (50, 20, 20), (60, 160, 60)
SIZE, EYES = 384, (192, 90)
CLOSED, OPEN = placed(plain_face(0.0), *EYES), placed(plain_face(14.0), *EYES)


def frame_of(pixels: np.ndarray, index: int) -> SourceFrame:
    picture = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv444p")
    return SourceFrame(index=index, pts=index, duration=1, time_base=Fraction(1, 25), picture=picture)


def filled(points: np.ndarray, colour: tuple[int, int, int], lower: float = 0.0) -> np.ndarray:
    """(SIZE, SIZE, 3) the outline of the mouth in a colour, its lower edge `lower` pixels below the mesh's."""
    pixels = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    beneath = points[rows(LOWER_OUTER_LIP), :2][::-1] + np.array([0.0, lower], np.float32)
    outline = np.concatenate([points[rows(UPPER_OUTER_LIP), :2], beneath])
    cv2.fillPoly(pixels, [np.rint(outline).astype(np.int32)], colour)
    return pixels


def closed_over(open_mouth: np.ndarray) -> np.ndarray:
    """(h, w, 3) the painted region of a frame whose mouth is open, in a clip that shows closed lips too."""
    lips = filled(CLOSED, LIP)
    line = round(float(CLOSED[rows((13,))[0], 1]))
    lips[line - 1 : line + 1, EYES[0] - 20 : EYES[0] + 21] = DARK
    frames, observer = (frame_of(lips, 0), frame_of(open_mouth, 1)), MouthObserver()
    for frame, points in zip(frames, (CLOSED, OPEN), strict=True):
        observer.observe(frame, TrackedFace(frame.index, np.array([0, 0, SIZE, SIZE], np.float32), 1.0, points))
    painter = VisemePainting().painter(track_of([CLOSED, None, OPEN]), observer.findings())
    box = painter.region(2)
    assert box is not None
    edit = np.zeros(len(Curve), np.float32)
    edit[Curve.CLOSURE] = 1.0
    return painter.paint(read_region(frames[1].picture, box), box, 2, edit).pixels.astype(float)


def test_lips_do_not_turn_grey_where_the_open_mouth_shows_skin_instead_of_lips() -> None:
    painted = closed_over(filled(OPEN, SKIN))
    redness = (painted[..., 0] - painted[..., 1:].mean(-1)) / painted.mean(-1)
    lip = (LIP[0] - (LIP[1] + LIP[2]) / 2) / (sum(LIP) / 3)
    is_lip = redness > 0.8 * lip
    # Both lips, 50 px wide and 18 px high in their middle, have at least most of their redness.
    assert is_lip.sum() > 450


def test_the_rim_of_a_lower_lip_that_the_mesh_sees_too_high_is_painted_over() -> None:
    painted = closed_over(filled(OPEN, RIM, lower=5.0))
    is_rim = (np.abs(painted - RIM).max(-1) < 40).sum()
    assert is_rim < 110  # 218 as far as above the lips
