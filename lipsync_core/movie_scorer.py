"""Scores a job's movie: measures its mouths on their way to the encoder, and judges them once it is finished."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.speech_encoder import MODEL as SPEECH_MODEL
from lipsync_core.clip_plan import ClipPlan
from lipsync_core.clock import StageClock
from lipsync_core.errors import ModelMissingError, QualityError
from lipsync_core.face.mediapipe import MODEL as MESH_MODEL
from lipsync_core.face.mesh import MeshFitter
from lipsync_core.generators.viseme.curves import Curve, MouthCurves
from lipsync_core.generators.viseme.generator import VisemeGenerator, expressed
from lipsync_core.listening import HeardSpeech, listen
from lipsync_core.models.store import ModelStore
from lipsync_core.option_specs import NEURAL_MODELS
from lipsync_core.options import JobOptions
from lipsync_core.score.agreement import FEWEST
from lipsync_core.score.judging import judge
from lipsync_core.score.loudness import loud_motion
from lipsync_core.score.meter import MouthMeter, frames_to_measure
from lipsync_core.score.motion import Motion, WantedMouth, wanted_mouth
from lipsync_core.score.pictures import PictureMeter, judge_pictures, pairs_to_look_at
from lipsync_core.score.seen import Seen
from lipsync_core.score_figures import Scoring

TOO_SHORT = Scoring(reason=f"fewer than {FEWEST} frames have a new mouth")
_STAGE = "score"


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What the sound of a movie lets expect of its mouths."""

    times_s: NDArray[np.float64]  # (M,) the middle of every frame
    heard: WantedMouth
    loud: Motion
    asked: WantedMouth | None = None  # what is to be painted, where that is known
    closures: NDArray[np.float64] | None = None  # (M,) those that are to be painted, 0..1

    def judged(self, seen: Seen) -> Scoring:
        """The score of the mouths `seen` in the movie, and the figures of its pictures."""
        score = judge(seen.mouths, self.times_s, self.heard, self.loud, self.asked, self.closures)
        return Scoring(score, pictures=judge_pictures(seen.pictures, self.times_s))


@dataclass(slots=True, eq=False)
class MovieScorer:
    """Judges a movie, whole or in segments, by the mouths that its meter has seen."""

    meter: MouthMeter
    expected: Expected
    min_score: float
    clock: StageClock
    told: Scoring = field(default_factory=Scoring)
    _parts: list[Seen] = field(default_factory=list)

    def add(self, seen: Seen) -> None:
        """Take in all that was measured in the next segment."""
        self._parts.append(seen)

    def __call__(self, path: Path) -> None:
        """Judge the movie, whose frames the meter has measured here, or segments have brought.

        Raises:
            QualityError: its score is lower than was asked for, or its pictures have a fault.
        """
        with self.clock.stage(_STAGE):
            self.add(self.meter.taken())
            self.told = self.expected.judged(Seen.joined(self._parts))
        error = refusal_of(self.told, self.min_score)
        if error is not None:
            raise error


def refusal_of(scoring: Scoring, min_score: float) -> QualityError | None:
    """Why a movie is not good enough for a gate of `min_score`; None where it is, or where 0 asks for no gate."""
    score, pictures = scoring.score, scoring.pictures
    if score is None or not min_score:
        return None
    if score.score < min_score:
        return QualityError(
            f"the mouth does not follow the sound as well as was asked for: sync score {scoring.account}",
            f"{where_to_look(scoring)}choose another face or video, or ask for less than min-score {min_score:g}",
        )
    if pictures is not None and pictures.faults:
        return QualityError(
            f"the painted mouth does not fit into its pictures: {scoring.account}",
            "look at that second, choose another face, video or blender, or ask for no min-score",
        )
    return None


def where_to_look(scoring: Scoring) -> str:
    """The beginning of a remedy: the frames of the worst second; empty where none is known."""
    worst = scoring.score.worst if scoring.score else None
    return f"look at frames {worst.first_frame} to {worst.last_frame}, " if worst else ""


def require_scoring(options: JobOptions, models: ModelStore, model: str) -> None:
    """Make sure, before any work is done for it, that a movie which is to have a score can be scored here.

    `model` is the generator's name; "auto" where it is not chosen yet.

    Raises:
        ModelMissingError: a model that measures is not installed, and the options ask for a score.
        ModelCorruptError: its file is not the registered one.
    """
    if options.min_score:
        models.open_usable(MESH_MODEL)
        if model in NEURAL_MODELS:  # it has no curves, so it is judged by what is heard
            models.open_usable(SPEECH_MODEL)


def open_scorer(
    plan: ClipPlan, heard: HeardSpeech, audio: Path, options: JobOptions, models: ModelStore, clock: StageClock
) -> MovieScorer | Scoring:
    """The scorer of the movie of `plan`, or why there is none: a model is missing, or the movie too short to tell.

    Raises:
        ModelMissingError: such a model is not installed, and the options ask for a score.
        ModelCorruptError: its file is not the registered one.
    """
    try:
        expected = _expected(plan, heard, audio, options, models, clock)
        meter = open_meter(plan, expected.closures, models)
    except ModelMissingError as exc:
        if options.min_score:
            raise
        return Scoring(reason=exc.message)
    if meter.is_measured.sum() < FEWEST:
        return TOO_SHORT
    return MovieScorer(meter, expected, options.min_score, clock)


def open_meter(plan: ClipPlan, closures: NDArray[np.float64] | None, models: ModelStore) -> MouthMeter:
    """The meter of the movie of `plan`, whose frames are to show these `closures` (M,), where they are known.

    Raises:
        ModelMissingError: the face mesh is not installed.
        ModelCorruptError: its file is not the registered one.
    """
    fitter = MeshFitter(models.open_usable(MESH_MODEL).path("face_landmark"))
    rate = plan.timeline.frame_rate or plan.video.info.frame_rate
    known = np.zeros(len(plan.timeline)) if closures is None else closures
    pictures = PictureMeter(pairs_to_look_at(plan.is_synced, rate))
    return MouthMeter(fitter, plan.clip.track, frames_to_measure(plan.is_synced, known, rate), pictures)


def expected_of_edits(plan: ClipPlan, rows: NDArray[Any], loud: Motion) -> Expected:
    """What the edits of `viseme`, (K, len(Curve)) `rows` of the synced frames, ask for.

    They are what its hearing expects, with the expression of the job.
    """
    times_s = plan.timeline.middles_s()
    synced_s = times_s[plan.is_synced]
    edits = np.asarray(rows, np.float64)
    wanted = WantedMouth(Motion(synced_s, edits[:, Curve.JAW], edits[:, Curve.WIDTH]), edits[:, Curve.CLOSURE])
    return Expected(times_s, wanted, loud, wanted, closures_of_edits(plan, rows))


def closures_of_edits(plan: ClipPlan, rows: NDArray[Any]) -> NDArray[np.float64]:
    """(M,) 0..1: the closures of every frame, from the edits of `viseme` for the synced ones."""
    closures = np.zeros(len(plan.timeline))
    closures[plan.is_synced] = rows[:, Curve.CLOSURE]
    return closures


def expected_by_hearing(
    plan: ClipPlan, audio: Path, options: JobOptions, models: ModelStore, clock: StageClock
) -> Expected:
    """What the hearing model of `viseme` expects of the sound: for models without curves.

    Raises:
        ModelMissingError: the speech encoder is not installed.
        InputError: the sound cannot be read.
    """
    times_s = plan.timeline.middles_s()
    heard = listen(VisemeGenerator.open(models), audio, options, clock)
    loud = loud_motion(heard.levels, float(heard.levels_from_s))
    return Expected(times_s, wanted_mouth(heard.conditions, times_s[0], times_s[-1]), loud)


def _expected(
    plan: ClipPlan, heard: HeardSpeech, audio: Path, options: JobOptions, models: ModelStore, clock: StageClock
) -> Expected:
    """By the curves that are painted where there are some; else the sound is heard once more."""
    curves = heard.conditions
    if not isinstance(curves, MouthCurves):
        return expected_by_hearing(plan, audio, options, models, clock)
    times_s, scale = plan.timeline.middles_s(), options.expression
    wanted = wanted_mouth(curves, times_s[0], times_s[-1])
    motion = wanted.motion
    asked = WantedMouth(Motion(motion.times_s, motion.openings * scale, motion.widths * scale), wanted.closures)
    closures = expressed(curves.at(times_s), scale)[:, Curve.CLOSURE].astype(np.float64)
    return Expected(times_s, wanted, loud_motion(heard.levels, float(heard.levels_from_s)), asked, closures)
