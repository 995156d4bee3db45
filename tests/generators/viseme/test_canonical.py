"""The canonical crop: the face has the same position and size in every pose."""

import numpy as np
import pytest

from lipsync_core.face.landmarks import OUTER_EYE_CORNERS, rows
from lipsync_core.generators.viseme.canonical import (
    EYE_DISTANCE_PX,
    EYE_MIDDLE,
    apply_transform,
    canonical_transforms,
    face_template,
    inverse_transform,
    scale_of,
)
from tests.generators.faces import placed, plain_face


@pytest.mark.parametrize(("x", "y", "scale", "roll"), [(300, 200, 1, 0), (50, 900, 0.3, 0.4), (640, 360, 4, -2.9)])
def test_every_pose_lands_on_the_same_canonical_points(x: float, y: float, scale: float, roll: float) -> None:
    face = plain_face()
    template = face_template(face[None])
    transform = canonical_transforms(placed(face, x, y, scale, roll)[None], template)[0]
    mapped = apply_transform(transform, placed(face, x, y, scale, roll)[:, :2])
    eyes = mapped[rows(OUTER_EYE_CORNERS)]
    assert eyes.mean(0) == pytest.approx(EYE_MIDDLE, abs=0.01)
    assert np.linalg.norm(eyes[1] - eyes[0]) == pytest.approx(EYE_DISTANCE_PX, abs=0.01)
    assert scale_of(transform) == pytest.approx(EYE_DISTANCE_PX / 100 / scale, rel=1e-4)


def test_the_inverse_leads_back_to_the_frame() -> None:
    face = placed(plain_face(), 500, 300, 2.0, 0.3)
    transform = canonical_transforms(face[None], face_template(face[None]))[0]
    there = apply_transform(transform, face[:, :2])
    assert apply_transform(inverse_transform(transform), there) == pytest.approx(face[:, :2], abs=1e-3)


def test_the_template_is_the_clips_typical_pose_not_its_exception() -> None:
    usual = [placed(plain_face(), 300, 200) for _ in range(9)]
    odd = placed(plain_face(), 300, 200)
    odd[:, 1] *= 1.4
    template = face_template(np.stack([*usual, odd]))
    assert template == pytest.approx(face_template(usual[0][None]), abs=1e-3)
