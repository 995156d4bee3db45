"""Closures and pauses of made movements."""

import numpy as np
import pytest

from lipsync_core.score.events import closures_of, silence_of, stretches
from lipsync_core.score.motion import GRID_HZ, Motion, SeenMouths, WantedMouth
from tests.score.movements import made_motion, sampled


def mouths(gaps: list[float], numbers: list[int] | None = None) -> SeenMouths:
    """Mouths that are .5 distances of the eyes wide, their gaps in mouth widths."""
    return SeenMouths(np.array(numbers or range(len(gaps)), np.int64), np.array(gaps) * 0.5, np.full(len(gaps), 0.5))


def test_a_closure_is_seen_where_the_lips_meet_in_one_of_its_frames() -> None:
    closures = np.array([0, 1, 1, 0, 0, 0.95, 0, 0, 0.5, 0])
    found = closures_of(mouths([0.3, 0.2, 0.02, 0.3, 0.3, 0.25, 0.3, 0.3, 0.02, 0.3]), closures)
    assert found is not None
    assert (found.asked, found.seen) == (2, 1)
    assert found.share == 0.5


def test_a_closure_without_a_measured_frame_does_not_count() -> None:
    closures = np.array([0, 1, 0, 0, 1, 0])
    found = closures_of(mouths([0.3, 0.01, 0.3], [0, 1, 2]), closures)
    assert found is not None
    assert (found.asked, found.seen) == (1, 1)
    assert closures_of(mouths([0.3], [0]), closures) is None
    assert closures_of(mouths([]), closures) is None


def test_lips_that_the_mesh_never_sees_meet_are_closed_where_they_are_nearest() -> None:
    closures = np.array([0, 1, 0, 0, 0, 1, 0, 0])
    found = closures_of(mouths([0.25, 0.09, 0.3, 0.2, 0.3, 0.22, 0.24, 0.3]), closures)
    assert found is not None
    assert (found.asked, found.seen) == (2, 1)


@pytest.mark.parametrize(("moves", "most"), [(0.0, 0.05), (0.1, 10.0)])
def test_movement_in_pauses_is_told(moves: float, most: float) -> None:
    motion = made_motion(6.0)
    rests = (motion.times_s >= 2) & (motion.times_s < 4)
    wanted = WantedMouth(Motion(motion.times_s, np.where(rests, 0.0, motion.openings), motion.widths), np.zeros(600))
    seen = sampled(wanted.motion, 0.1, 5.9)
    shaken = seen.openings + moves * np.sin(seen.times_s * 20) * ((seen.times_s >= 2) & (seen.times_s < 4))
    silence = silence_of(Motion(seen.times_s, shaken, seen.widths), wanted)
    assert silence is not None
    assert silence.duration_s == pytest.approx(1.75, abs=0.05)
    assert moves * 5 <= silence.movement <= most


def test_a_pause_lasts_no_longer_than_what_was_seen() -> None:
    motion = made_motion(6.0)
    wanted = WantedMouth(Motion(motion.times_s, np.zeros(600), motion.widths), np.zeros(600))
    silence = silence_of(sampled(motion, 2.0, 3.0), wanted)
    assert silence is not None
    assert 0.7 < silence.duration_s <= 1.0


def test_short_rests_are_no_pauses() -> None:
    motion = made_motion(6.0)
    rests = (np.arange(600) % 50) < 0.3 * GRID_HZ
    wanted = WantedMouth(Motion(motion.times_s, np.where(rests, 0.0, 1.0), motion.widths), np.zeros(600))
    assert silence_of(sampled(motion, 0.1, 5.9), wanted) is None


def test_stretches_begin_and_end_at_the_edges() -> None:
    assert stretches(np.array([True, True, False, True])) == [(0, 1), (3, 3)]
    assert stretches(np.array([False])) == []
