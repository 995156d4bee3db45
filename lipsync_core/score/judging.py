"""The score of a movie, from its measured mouths and what its sound asks for."""

import numpy as np
from numpy.typing import NDArray

from lipsync_core.score.agreement import agreement_of, worst_second
from lipsync_core.score.events import closures_of, silence_of
from lipsync_core.score.motion import FRAME_S, Motion, SeenMouths, WantedMouth
from lipsync_core.score_figures import Agreement, Silence, SyncScore, WorstSecond

#: A painted mouth trembles in pauses by less than this share of its movement in speech, and from the other on it
#: speaks in them.
_RESTLESS, _SPEAKING = 0.35, 1.0
#: Standard deviations of the opening, in distances of the eyes: painted mouths that rest tremble by .004 to .012 with
#: what is left of the source's movement, and those that speak move by .02 to .06.
_RESTS, _MOVES = 0.015, 0.03
_TOO_LATE_S = 0.2
_CERTAIN = 0.05  # of the correlation that an offset brings


def judge(
    seen: SeenMouths,
    times_s: NDArray[np.float64],
    heard: WantedMouth,
    loud: Motion,
    asked: WantedMouth | None = None,
    closures: NDArray[np.float64] | None = None,
) -> SyncScore:
    """The score of the `seen` mouths; where the mouth was to rest all the time, 1 if it does.

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
    expected = heard if asked is None else asked
    silence = silence_of(motion, expected)
    worst = worst_second(motion, expected.motion, seen.numbers)
    agreement = by_hearing if by_asking is None else by_asking
    rests = bool(len(motion) > 0 and not expected.motion.openings.any())
    return SyncScore(
        score=_rest(motion) if rests else _score(agreement, silence, None if asked is None else worst),
        judged_by="heard" if asked is None else "asked",
        frames=len(seen),
        asked=by_asking,
        heard=by_hearing,
        loud=agreement_of(motion, loud),
        closures=None if closures is None else closures_of(seen, closures),
        silence=silence,
        worst=worst,
        was_to_rest=rests,
    )


def _openings(motion: Motion) -> Motion:
    """The same without its width, which `viseme` paints by other rules than its curve's."""
    return Motion(motion.times_s, motion.openings, np.zeros(len(motion)))


def _score(agreement: Agreement, silence: Silence | None, worst: WorstSecond | None) -> float:
    """0..1: the agreement in time, less where the mouth is late or early for certain, or moves in pauses.

    It is never more than half of what the `worst` second leaves: one that has nothing to do with what was asked for is
    worth .5.
    """
    score = max(0.0, agreement.in_time) * (1.0 - _lateness(agreement))
    if silence is not None:
        score *= 1.0 - _share(silence.movement, _RESTLESS, _SPEAKING)
    return score if worst is None else max(0.0, min(score, (1.0 + worst.agreement) / 2))


def _rest(motion: Motion) -> float:
    """0..1: how still a mouth is that was to rest."""
    return 1.0 - _share(float(motion.openings.std()), _RESTS, _MOVES)


def _lateness(agreement: Agreement) -> float:
    """0..1, 0 within a frame: how far the mouth is late or early, where that makes a difference."""
    if agreement.offset_ms is None or agreement.correlation - agreement.in_time < _CERTAIN:
        return 0.0
    return _share(abs(agreement.offset_ms) / 1000, FRAME_S, _TOO_LATE_S)


def _share(value: float, least: float, most: float) -> float:
    return min(1.0, max(0.0, (value - least) / (most - least)))
