"""The choice of the detection that continues the followed face."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.face.identity import is_near, nearest


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    box: NDArray[np.float32]


def box(x0: float, y0: float, x1: float, y1: float) -> NDArray[np.float32]:
    return np.array([x0, y0, x1, y1], np.float32)


LAST = box(100, 100, 200, 200)


def test_the_face_that_overlaps_most_comes_first() -> None:
    moved, still, elsewhere = Face(box(130, 100, 230, 200)), Face(box(102, 100, 202, 200)), Face(box(500, 0, 600, 100))
    assert nearest([moved, elsewhere, still], LAST) == [still, moved]


@pytest.mark.parametrize(
    "other",
    [box(200, 100, 300, 200), box(125, 125, 165, 165), box(25, 25, 275, 275)],
    ids=["beside it", "much smaller", "much larger"],
)
def test_a_face_is_not_taken_for_another_when_place_or_size_differ(other: NDArray[np.float32]) -> None:
    assert nearest([Face(other)], LAST) == []


def test_nearness_is_measured_in_face_sizes() -> None:
    assert is_near(LAST, LAST + 30, max_step=0.5, max_growth=1.5)
    assert not is_near(LAST, LAST + 60, max_step=0.5, max_growth=1.5)
    assert is_near(LAST * 10, (LAST + 30) * 10, max_step=0.5, max_growth=1.5)


def test_a_box_without_size_is_near_nothing_large() -> None:
    assert not is_near(box(150, 150, 150, 150), LAST, max_step=0.5, max_growth=1.5)
