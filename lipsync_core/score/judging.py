"""The score of a movie, from its measured mouths and what its sound asks for."""

import numpy as np
from numpy.typing import NDArray

from lipsync_core.score.agreement import agreement_of, is_still, worst_second
from lipsync_core.score.events import closures_of, silence_of
from lipsync_core.score.motion import Motion, SeenMouths, WantedMouth
from lipsync_core.score_figures import Agreement, Silence, SyncScore

#: A painted mouth trembles in pauses by less than this share of its movement in speech, and from the other on it
#: speaks in them.
_RESTLESS, _SPEAKING = 0.35, 1.0


def judge(
    seen: SeenMouths,
    times_s: NDArray[np.float64],
    heard: WantedMouth,
    loud: Motion,
    asked: WantedMouth | None = None,
    closures: NDArray[np.float64] | None = None,
) -> SyncScore:
    """The score of the `seen` mouths.

    Args:
        seen: of the movie.
        times_s: (M,) the middle of every frame of the movie, in seconds of the sound.
        heard: what the hearing model expects of the sound.
        loud: the loudness of the sound.
        asked: what was to be painted, where that is known: the score is by this then, and by what is heard elsewhere.
        closures: (M,) 0..1, those that every frame was to show, where that is known.
    """
    motion = seen.motion(times_s)
    by_asking = None if asked is None else agreement_of(motion, _openings(asked.motion))
    by_hearing = agreement_of(motion, heard.motion)
    judge_of = heard if asked is None else asked
    silence = silence_of(motion, judge_of)
    rested = is_still(motion) and len(motion) > 0 and not judge_of.motion.openings.any()
    return SyncScore(
        score=_score(by_hearing if by_asking is None else by_asking, silence, rested),
        judged_by="heard" if asked is None else "asked",
        frames=len(seen),
        asked=by_asking,
        heard=by_hearing,
        loud=agreement_of(motion, loud),
        closures=None if closures is None else closures_of(seen, closures),
        silence=silence,
        worst=worst_second(motion, judge_of.motion, seen.numbers),
    )


def _openings(motion: Motion) -> Motion:
    """The same without its width, which `viseme` paints by other rules than its curve's."""
    return Motion(motion.times_s, motion.openings, np.zeros(len(motion)))


def _score(agreement: Agreement, silence: Silence | None, rested: bool) -> float:
    """0..1: the agreement in time, less where the mouth moves in pauses; 1 where it was to rest and does."""
    if rested:
        return 1.0
    restless = 0.0 if silence is None else (silence.movement - _RESTLESS) / (_SPEAKING - _RESTLESS)
    return float(max(0.0, agreement.in_time) * (1.0 - min(1.0, max(0.0, restless))))
