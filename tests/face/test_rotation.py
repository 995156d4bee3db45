"""Points go back to where they were before a picture was turned."""

import numpy as np
import pytest

from lipsync_core.face.rotation import turned_back


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_marked_pixel_is_found_again(quarters: int) -> None:
    picture = np.zeros((5, 9), np.uint8)
    picture[1, 7] = 1
    y, x = np.argwhere(np.rot90(picture, quarters))[0]
    np.testing.assert_array_equal(turned_back(np.array([[x, y]], np.float32), quarters, (5, 9)), [[7, 1]])
