"""Steps along the rim of drawn masks."""

import numpy as np
import pytest

from lipsync_core.render import EditedRegion
from lipsync_core.score.seam import seam_of
from tests.score.regions import brighter, painted, skin


def seam(region: EditedRegion) -> float:
    return seam_of(region.before, region.after, region.mask)


@pytest.mark.parametrize("levels", [3, 10])
@pytest.mark.parametrize("edge", [0.0, 0.5])
def test_a_step_is_told_in_levels_at_the_rim_and_where_a_mask_was_cut_off(levels: int, edge: float) -> None:
    shaded = painted(skin(), levels=0.0)
    assert seam(brighter(shaded, levels, edge)) == pytest.approx(levels, abs=0.1)


def test_a_soft_rim_has_no_seam() -> None:
    soft = painted(skin(), levels=6.0)
    assert seam(soft) < 1.5
    assert seam(brighter(soft, 6)) > 5.0


def test_texture_that_the_source_has_or_that_was_moved_is_no_seam() -> None:
    still = painted(skin(noise=30.0), levels=0.0)
    assert seam(still) == 0.0
    moved = EditedRegion(still.box, skin(), np.where(still.mask[..., None] > 0, skin(moved_px=1), skin()), still.mask)
    assert seam(moved) < 3.0


def test_a_place_in_which_nothing_was_painted_has_no_seam() -> None:
    bare = painted(skin(), levels=0.0)
    assert seam_of(bare.before, bare.after, np.zeros_like(bare.mask)) == 0.0
    with pytest.raises(ValueError, match="mask"):
        seam_of(bare.before, bare.after, bare.mask[1:])
