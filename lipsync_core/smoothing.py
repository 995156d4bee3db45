"""Gaussian smoothing along one axis of an array."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_F = TypeVar("_F", np.float32, np.float64)

#: The Gaussian is cut off at so many sigmas on each side; the tails beyond weigh less than 1e-4.
_REACH_SIGMAS = 4.0


def gaussian(values: NDArray[_F], sigma: float, axis: int = 0) -> NDArray[_F]:
    """Smooth `values` along `axis` with a Gaussian of `sigma` samples, repeating the end values outward.

    The shape and the dtype stay. With a sigma of 0, or an empty array, the result is a copy.

    Raises:
        ValueError: sigma is negative.
    """
    if sigma < 0:
        raise ValueError(f"sigma is {sigma}")
    reach = round(_REACH_SIGMAS * sigma)
    if reach == 0 or values.size == 0:
        return values.copy()
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    along = np.moveaxis(values, axis, 0)
    count = len(along)
    padded = np.concatenate([np.repeat(along[:1], reach, 0), along, np.repeat(along[-1:], reach, 0)])
    smooth = np.zeros_like(along)
    for start, weight in enumerate(weights.tolist()):
        smooth += weight * padded[start : start + count]
    return np.moveaxis(smooth, 0, axis)
