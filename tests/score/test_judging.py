"""The score of made mouths."""

import numpy as np
import pytest

from lipsync_core.audio.loudness import Levels
from lipsync_core.score.judging import judge
from lipsync_core.score.loudness import loud_motion
from lipsync_core.score.motion import Motion, SeenMouths, WantedMouth
from lipsync_core.score_figures import Scoring
from tests.score.movements import made_motion, sampled, seen_of, wanted_of

TIMES_S = 1.0 + np.arange(150) / 25
WANTED = wanted_of(made_motion(8.0))
NOTHING = loud_motion(Levels(np.zeros(0, np.float32)), 0.0)


def seen(late_s: float = 0.0) -> SeenMouths:
    return seen_of(sampled(WANTED.motion, 1.0, 6.999, late_s))


def still(wanted: WantedMouth) -> WantedMouth:
    motion = wanted.motion
    return wanted_of(Motion(motion.times_s, np.zeros(len(motion)), motion.widths))


def test_a_mouth_that_does_as_it_was_asked_scores_1() -> None:
    found = judge(seen(), TIMES_S, WANTED, NOTHING, WANTED)
    assert found.score == pytest.approx(1.0)
    assert (found.judged_by, found.frames) == ("asked", 150)
    assert found.loud is not None and found.loud.offset_ms is None


def test_a_late_mouth_scores_low_and_its_offset_is_told() -> None:
    found = judge(seen(late_s=0.12), TIMES_S, WANTED, NOTHING, WANTED)
    assert found.score < 0.6
    assert "offset 120 ms" in Scoring(found).account


def test_without_curves_the_hearing_model_judges() -> None:
    own, foreign = (judge(seen(), TIMES_S, heard, NOTHING) for heard in (WANTED, wanted_of(made_motion(8.0, seed=5))))
    assert (own.judged_by, own.asked, own.closures) == ("heard", None, None)
    assert own.score == pytest.approx(1.0)
    assert foreign.score < 0.3


def test_a_mouth_that_speaks_in_pauses_scores_low() -> None:
    rests = (WANTED.motion.times_s >= 3) & (WANTED.motion.times_s < 5)
    paused = Motion(WANTED.motion.times_s, np.where(rests, 0.0, WANTED.motion.openings), WANTED.motion.widths)
    good, shaken = (seen_of(sampled(paused, 1.0, 6.999)) for _ in range(2))
    shaken.openings[50:100] += 0.08 * np.sin(np.arange(50))
    scores = [judge(each, TIMES_S, wanted_of(paused), NOTHING, wanted_of(paused)).score for each in (good, shaken)]
    assert scores[0] > 0.95
    assert scores[1] < 0.5


def test_a_mouth_that_was_to_rest_and_does_scores_1() -> None:
    resting = SeenMouths(np.arange(150), np.full(150, 0.01), np.full(150, 0.5))
    found = judge(resting, TIMES_S, still(WANTED), NOTHING, still(WANTED))
    assert found.score == 1.0
    assert Scoring(found).sync_account.startswith("1.00 by its own curves, a mouth that was to rest")
    assert judge(seen(), TIMES_S, still(WANTED), NOTHING, still(WANTED)).score == 0.0


def test_a_movie_without_a_measured_mouth_scores_0() -> None:
    found = judge(SeenMouths.joined(()), TIMES_S, WANTED, NOTHING, WANTED)
    assert (found.score, found.frames, found.worst) == (0.0, 0, None)


def test_the_mouths_of_segments_are_joined_in_order() -> None:
    whole = seen()
    parts = [SeenMouths(whole.numbers[part], whole.openings[part], whole.widths[part]) for part in _halves(70)]
    joined = SeenMouths.joined(parts)
    np.testing.assert_array_equal(joined.numbers, whole.numbers)
    np.testing.assert_array_equal(joined.openings, whole.openings)


def _halves(at: int) -> tuple[slice, slice]:
    return slice(0, at), slice(at, None)
