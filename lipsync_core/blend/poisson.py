"""Poisson blending: the painted pixels' gradients, the source's colours around them.

Perez, Gangnet and Blake 2003, "Poisson image editing". The change `u` that is added to the source satisfies
laplace(u) = div(w * grad(painted - source)) in the mask's bounding rectangle and is 0 on the rectangle's
outermost pixels. The weights `w` of a mask, and the pixels whose differences are taken, are those of OpenCV's
`seamlessClone` (NORMAL_CLONE), so that both agree inside the mask. Two things differ on purpose: nothing
changes where the mask is 0, and the mask may touch the region's edge.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.blend.dirichlet import DirichletSolver
from lipsync_core.generators.contract import Painted

#: The mask shrinks by 3 pixels before it weighs gradients, as in `seamlessClone`.
_RIM_WINDOW = np.ones((7, 7), np.uint8)
#: Where the mask ends inside its rectangle the solution does not quite reach 0: it fades in over 5 pixels.
_FADE_WINDOW = np.ones((5, 5), np.uint8)
#: The smallest side of a rectangle that has a pixel to solve for between its outermost ones.
_MIN_SIDE_PX = 3


class PoissonBlender:
    """Joins painted pixels to the source by their gradients; right for patches whose colours are off.

    A soft mask weighs gradients. The region's outermost pixels stay the source's.
    """

    @property
    def name(self) -> str:
        """`poisson`."""
        return "poisson"

    def blend(self, region: NDArray[np.uint8], painted: Painted) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB; equal to `region` wherever the mask is 0.

        Raises:
            ValueError: the shapes do not match.
        """
        if region.shape != painted.pixels.shape or region.shape[:2] != painted.mask.shape:
            raise ValueError(f"region {region.shape}, pixels {painted.pixels.shape}, mask {painted.mask.shape}")
        composite = region.copy()
        covered = (painted.mask > 0.0).astype(np.uint8)
        # The pixels beyond the region are not known here, so the region's outermost pixels serve as the rim.
        covered[[0, -1]] = 0
        covered[:, [0, -1]] = 0
        left, top, width, height = cv2.boundingRect(covered)
        if width < _MIN_SIDE_PX or height < _MIN_SIDE_PX:
            return composite
        rectangle = np.s_[top : top + height, left : left + width]
        change = _change(region[rectangle], painted.pixels[rectangle], painted.mask[rectangle])
        composite[rectangle] = cv2.add(region[rectangle], change, dtype=cv2.CV_8U)  # rounds and clips
        return composite


def _change(source: NDArray[np.uint8], pixels: NDArray[np.uint8], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, 3) the change to add to `source` ((h, w, 3), as `pixels`); 0 wherever `mask` is 0 and on the rim."""
    weight = cv2.erode(mask, _RIM_WINDOW, borderType=cv2.BORDER_CONSTANT, borderValue=0.0)
    fade = _fade(mask)[1:-1, 1:-1]
    field = GradientField(weight.astype(np.float32, copy=False))
    solver = DirichletSolver(mask.shape[0] - 2, mask.shape[1] - 2)
    change = np.subtract(pixels, source, dtype=np.float32)
    for channel in range(3):
        solution = solver.solve(field.divergence(change[..., channel]))
        np.multiply(solution, fade, out=change[1:-1, 1:-1, channel])
    change[[0, -1]] = 0.0
    change[:, [0, -1]] = 0.0
    return change


def _fade(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) 1 inside the mask, falling to 0 across its rim; exactly 0 wherever the mask is 0."""
    inside = cv2.erode((mask > 0.0).astype(np.uint8), _FADE_WINDOW, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    # No pixel inside lies within the window of one outside the mask: there, the sum is 0.
    sums = cv2.boxFilter(inside, cv2.CV_32F, _FADE_WINDOW.shape, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.multiply(sums, np.float32(1.0 / _FADE_WINDOW.size))


class GradientField:
    """Weighted differences of neighbouring pixels; its arrays are made once for all channels of a picture."""

    def __init__(self, weight: NDArray[np.float32]) -> None:
        height, width = weight.shape
        self._weight = weight  # (h, w) 0..1, of the difference from a pixel to the next
        self._across = np.empty((height - 2, width - 1), np.float32)
        self._down = np.empty((height - 1, width - 2), np.float32)
        self._divergence = np.empty((height - 2, width - 2), np.float32)

    def divergence(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """(h - 2, w - 2) divergence of the field of `plane` (h, w), without the rim; valid until the next call."""
        np.subtract(plane[1:-1, 1:], plane[1:-1, :-1], out=self._across)
        self._across *= self._weight[1:-1, :-1]
        np.subtract(plane[1:, 1:-1], plane[:-1, 1:-1], out=self._down)
        self._down *= self._weight[:-1, 1:-1]
        np.subtract(self._down[1:], self._down[:-1], out=self._divergence)
        self._divergence += self._across[:, 1:]
        self._divergence -= self._across[:, :-1]
        return self._divergence
