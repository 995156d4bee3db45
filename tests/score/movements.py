"""Movements of mouths, made from random numbers."""

import numpy as np
from numpy.typing import NDArray

from lipsync_core.score.motion import GRID_HZ, Motion, SeenMouths, WantedMouth
from lipsync_core.smoothing import gaussian


def made_motion(duration_s: float, seed: int = 1) -> Motion:
    """A smooth random movement on the grid, the opening 0..1."""
    random = np.random.default_rng(seed)
    count = round(duration_s * GRID_HZ)
    opening, width = (gaussian(random.normal(size=count), 4.0) for _ in range(2))
    return Motion(np.arange(count) / GRID_HZ, (opening - opening.min()) / np.ptp(opening), width)


def sampled(motion: Motion, start_s: float, end_s: float, late_s: float = 0.0, rate_hz: float = 25.0) -> Motion:
    """The motion as seen in frames: later by `late_s`, in distances of the eyes."""
    times_s = np.arange(start_s, end_s, 1 / rate_hz)
    shown = motion.at(times_s - late_s)
    return Motion(times_s, 0.2 * shown.openings, 0.5 + 0.1 * shown.widths)


def seen_of(motion: Motion) -> SeenMouths:
    """All frames of a motion, as measured."""
    return SeenMouths(np.arange(len(motion)), motion.openings.copy(), motion.widths)


def wanted_of(motion: Motion, closures: NDArray[np.float64] | None = None) -> WantedMouth:
    """The motion as a wanted one."""
    return WantedMouth(motion, np.zeros(len(motion)) if closures is None else closures)
