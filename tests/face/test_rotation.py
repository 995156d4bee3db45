"""Points go back to where they were before a picture was turned."""

import numpy as np
import pytest

from lipsync_core.face.rotation import turned, turned_back


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_marked_pixel_is_found_again(quarters: int) -> None:
    picture = np.zeros((5, 9), np.uint8)
    picture[1, 7] = 1
    y, x = np.argwhere(np.rot90(picture, quarters))[0]
    np.testing.assert_array_equal(turned_back(np.array([[x, y]], np.float32), quarters, (5, 9)), [[7, 1]])


@pytest.mark.parametrize("quarters", range(4))
def test_a_point_is_turned_with_its_picture_and_back(quarters: int) -> None:
    picture = np.zeros((4, 6), np.uint8)
    picture[1, 5] = 1
    (row,), (column,) = np.nonzero(np.rot90(picture, quarters))
    (there,) = turned(np.array([[5, 1]], np.float32), quarters, picture.shape)
    assert there.tolist() == [column, row]
    assert turned_back(there[np.newaxis], quarters, picture.shape).tolist() == [[5, 1]]
