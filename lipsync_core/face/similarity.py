"""Similarities: turn, scale and shift, which bring one set of points as close to another as they can."""

import numpy as np
from numpy.typing import NDArray


def similarities(points: NDArray[np.float64], goal: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2, 3) affine matrices, the least-squares similarity from each of (N, P, 2) points to `goal` (P, 2).

    Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns", in its
    two-dimensional closed form.
    """
    middle, goal_middle = points.mean(1, keepdims=True), goal.mean(0)
    source, target = points - middle, goal - goal_middle
    norm = (source**2).sum((1, 2))
    cos = (source * target).sum((1, 2)) / norm
    sin = (source[..., 0] * target[:, 1] - source[..., 1] * target[:, 0]).sum(1) / norm
    turn = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)  # (N, 2, 2)
    shift = goal_middle - (turn @ middle.transpose(0, 2, 1))[..., 0]  # (N, 2)
    return np.concatenate([turn, shift[..., None]], 2)
