"""Changes from frame to frame of drawn places."""

from dataclasses import replace

import numpy as np
import pytest

from lipsync_core.media.planes import Box
from lipsync_core.render import EditedRegion
from lipsync_core.score.flicker import PairChange, Place, pair_change
from tests.score.regions import brighter, painted, skin

FIRST, SECOND = painted(skin(0, seed=1)), painted(skin(2, seed=2))


def changed(first: EditedRegion, second: EditedRegion) -> PairChange | None:
    return pair_change(Place.of(first), Place.of(second))


def test_a_place_that_follows_its_source_neither_flickers_nor_is_held() -> None:
    change = changed(FIRST, SECOND)
    assert change is not None
    assert change.flicker < 0.2
    assert abs(change.held) < 0.05


@pytest.mark.parametrize("levels", [-3, 2])
def test_a_place_that_becomes_brighter_by_itself_flickers(levels: int) -> None:
    change = changed(FIRST, brighter(SECOND, levels))
    assert change is not None
    assert change.flicker == pytest.approx(abs(levels), abs=0.3)


def test_light_that_changes_in_the_source_is_no_flicker() -> None:
    lit = np.clip(SECOND.before + 8.0, 0, 255).astype(np.uint8)
    change = changed(FIRST, painted(lit))
    assert change is not None
    assert change.flicker < 0.2


def test_a_patch_that_stays_while_the_head_moves_is_held() -> None:
    stale = np.where(SECOND.mask[..., None] > 0, FIRST.after, SECOND.before)
    change = changed(FIRST, replace(SECOND, after=stale))
    assert change is not None
    assert change.held > 0.5


def test_a_source_that_stands_still_holds_nothing() -> None:
    change = changed(FIRST, FIRST)
    assert change is not None
    assert change.held == 0.0


def test_places_are_compared_where_both_are_in_the_picture() -> None:
    box = FIRST.box
    shifted = replace(FIRST, box=Box(box.x0 + 20, box.y0, box.x1 + 20, box.y1))
    assert changed(FIRST, shifted) is not None
    away = replace(FIRST, box=Box(box.x0 + 90, box.y0, box.x1 + 90, box.y1))
    assert changed(FIRST, away) is None
    assert changed(FIRST, replace(FIRST, mask=np.zeros_like(FIRST.mask))) is None
