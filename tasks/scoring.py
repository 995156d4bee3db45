"""Scores the result of a job before it is signed, and does what operator and caller have decided about a low score."""

import logging
from dataclasses import dataclass

from lipsync_core.audio.loudness import LevelMeter
from lipsync_core.clock import StageClock
from lipsync_core.errors import ModelMissingError, QualityError
from lipsync_core.listening import speech_of
from lipsync_core.movie_scorer import (
    TOO_SHORT,
    Expected,
    expected_by_hearing,
    expected_of_edits,
    refusal_of,
    where_to_look,
)
from lipsync_core.score.agreement import FEWEST
from lipsync_core.score.loudness import loud_motion
from lipsync_core.score.motion import Motion
from lipsync_core.score.seen import Seen
from lipsync_core.score_figures import Scoring
from lipsync_service.result_facts import ScoreVerdict, score_account
from lipsync_service.settings import Settings
from tasks.edits import open_edits
from tasks.mouths import has_curves
from tasks.rendering import RenderPass
from tasks.stage_log import StageMeter

_log = logging.getLogger(__name__)
_REMEDY = "give a video that shows the face larger, from the front and uncovered"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The score of a result, and what follows from it."""

    scoring: Scoring
    name: ScoreVerdict | None = None  # None where no score was asked for, or there is none
    error: QualityError | None = None  # why the result is not delivered

    @property
    def account(self) -> str:
        """In one line, for the run's log and the result's artifact: "low: 0.31 by its own curves, ..."."""
        return score_account(self.scoring, self.name)

    def require_delivery(self) -> None:
        """Refuse to deliver a result that the operator or the caller does not want delivered.

        Raises:
            QualityError: its score is too low, or its pictures have a fault.
        """
        if self.error is not None:
            raise self.error


def score_result(render: RenderPass, settings: Settings, meter: StageMeter) -> Verdict | None:
    """The verdict on the finished movie; None where an earlier attempt has made and judged it.

    Raises:
        InputError: the sound cannot be read.
        ChecksumError: the stored edits cannot be read.
        ModelMissingError: a model that measures is not installed, and the job asks for a score.
    """
    meter.was_cached = render.is_kept
    if render.is_kept:
        return None
    verdict = _verdict(_scoring(render, meter.clock), settings, render.job.options.min_score)
    score = verdict.scoring.score
    meter.items, meter.note = score.frames if score else 0, verdict.account
    if verdict.name in ("low", "refused"):
        _log.warning("the result is not as good as was asked for: %s", verdict.account)
    return verdict


def _scoring(render: RenderPass, clock: StageClock) -> Scoring:
    if render.meter is None:
        return Scoring(reason="the face mesh is not installed")
    if render.meter.is_measured.sum() < FEWEST:
        return TOO_SHORT
    try:
        expected = _expected(render, clock)
    except ModelMissingError as error:
        if render.job.options.min_score:
            raise
        return Scoring(reason=error.message)
    return expected.judged(Seen.joined(render.seen))


def _expected(render: RenderPass, clock: StageClock) -> Expected:
    plan, audio, job = render.plan, render.inputs.audio.path, render.job
    if has_curves(render.parts.identity) and render.rows is not None:
        return expected_of_edits(plan, open_edits(render.rows, plan), _loud(render, clock))
    return expected_by_hearing(plan, audio, job.options, job.models, clock)


def _loud(render: RenderPass, clock: StageClock) -> Motion:
    options, levels = render.job.options, LevelMeter()
    for _ in levels.measure(speech_of(render.inputs.audio.path, options, clock)):
        pass
    return loud_motion(levels.levels(), float(options.start_s))


def _verdict(scoring: Scoring, settings: Settings, asked: float) -> Verdict:
    """A result below the caller's bound, `asked`, is refused; of one below the operator's the policy decides."""
    operators = 0.0 if settings.quality == "deliver" else settings.min_score
    required = operators if settings.quality == "fail" else 0.0
    score = scoring.score
    if score is None or not (operators or asked):
        return Verdict(scoring)
    refusal = refusal_of(scoring, max(asked, required))
    if refusal is not None:
        remedy = f"{where_to_look(scoring)}{_REMEDY}"
        if refusal_of(scoring, required) is None:  # it is the caller's bound alone
            bound = f"less than min_score {asked:g}" if score.score < asked else "no min_score"
            remedy = f"{remedy}, or ask for {bound}"
        return Verdict(scoring, "refused", QualityError(refusal.message, remedy))
    return Verdict(scoring, "low" if refusal_of(scoring, operators) else "passed")
