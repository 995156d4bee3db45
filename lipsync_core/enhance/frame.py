"""Restores a face inside its frame: the enhancer gets the whole face, and the frame changes only under the mask."""

import av
import numpy as np
from numpy.typing import NDArray

from lipsync_core.enhance.alignment import context_box
from lipsync_core.enhance.contract import Enhancer
from lipsync_core.generators.contract import Painted
from lipsync_core.media.planes import Box, read_region, write_region


def write_enhanced(
    picture: av.VideoFrame, box: Box, composite: Painted, points: NDArray[np.float32], enhancer: Enhancer
) -> None:
    """Restore a blended region and write it into `picture`, in place of `write_region`.

    `composite` is the blender's result for `box` and the mask that it was blended under; `points` (5, 2) are the
    face's five points in pixels of the picture. Pixels whose mask is 0 keep their code values.

    Raises:
        ValueError: shapes differ from the box, the box leaves the picture, or the points are no face.
        ModelError: the enhancer fails.
    """
    around = _around(context_box(points), box).clipped(picture.width, picture.height)
    inner = (slice(box.y0 - around.y0, box.y1 - around.y0), slice(box.x0 - around.x0, box.x1 - around.x0))
    before = read_region(picture, around)  # (h, w, 3)
    painted, mask = before.copy(), np.zeros(before.shape[:2], np.float32)
    painted[inner], mask[inner] = composite.pixels, composite.mask
    local_points = points - np.array([around.x0, around.y0], np.float32)  # (5, 2)
    write_region(picture, around, before, enhancer.enhance(painted, local_points, mask), mask)


def _around(first: Box, second: Box) -> Box:
    """The smallest box that holds both."""
    return Box(min(first.x0, second.x0), min(first.y0, second.y0), max(first.x1, second.x1), max(first.y1, second.y1))
