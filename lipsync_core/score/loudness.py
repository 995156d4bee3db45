"""The loudness of a sound as the movement of a mouth: a rough judge, but one that no model has a part in."""

import numpy as np

from lipsync_core.audio.loudness import LEVELS_HZ, Levels
from lipsync_core.score.motion import Motion
from lipsync_core.smoothing import gaussian

_SIGMA = 4.0  # levels of 10 ms: a jaw is slower than a sound
_RANGE_DB = 40.0  # below the loud tenth, all is as good as silent
_LOUD_PERCENT = 90


def loud_motion(levels: Levels, first_s: float) -> Motion:
    """An opening that follows the loudness of `levels`, the first of which is that of `first_s`; the width is unknown.

    Empty levels give a mouth that is shut.
    """
    if not len(levels):
        return Motion(np.zeros(1), np.zeros(1), np.zeros(1))
    smooth_db = gaussian(levels.level_db.astype(np.float64), _SIGMA)
    loud_db = np.percentile(smooth_db, _LOUD_PERCENT)
    openings = np.clip((smooth_db - loud_db) / _RANGE_DB + 1.0, 0.0, None)
    times_s = first_s + np.arange(len(levels)) / LEVELS_HZ
    return Motion(times_s, openings, np.zeros(len(levels)))
