"""The mask decides which pixels are painted and which rows have to be computed."""

import numpy as np

from lipsync_core.generators.wav2lip_mask import FIRST_ROW, first_row_read, mouth_mask


def test_the_mask_lies_below_row_43_and_fades_to_nothing_at_the_edges() -> None:
    mask = mouth_mask()
    assert mask.shape == (96, 96)
    assert mask.dtype == np.float32
    assert not mask[:44].any()
    assert not mask[95].any()
    assert not mask[:, [0, 95]].any()
    assert (mask[55:88, 14:82] == 1.0).all()  # mouth and chin in full
    assert np.abs(np.diff(mask, axis=0)).max() < 0.25  # no hard edge
    assert np.abs(np.diff(mask, axis=1)).max() < 0.25


def test_the_computed_rows_follow_from_the_mask() -> None:
    assert FIRST_ROW == 43
    lower = np.zeros((96, 96), np.float32)
    lower[70:90, 10:80] = 1.0
    assert first_row_read(lower) == 68
    assert first_row_read(np.ones((96, 96), np.float32)) == 0
