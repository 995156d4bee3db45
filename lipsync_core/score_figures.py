"""The figures of a sync score, which reports carry (`lipsync_core.score` works them out)."""

from dataclasses import dataclass
from typing import Literal

#: By whom a movie is judged: the curves that were to be painted, or those that the sound lets expect.
JudgedBy = Literal["asked", "heard"]

#: The worst second of a good picture stays below these, of all faces that were measured by `benchmarks/sync_score.py`
#: (docs/score.md); that of a step of 3 levels, and of a flicker of 1 to either side, does not.
SEAM_LIMIT = 2.5  # levels of 255
FLICKER_LIMIT = 1.0  # levels of 255
HELD_LIMIT = 0.12  # share of the painted place


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a measured mouth follows a curve."""

    offset_ms: int | None  # by which the mouth is late where both agree best; None: one of them does not move
    correlation: float  # -1..1, with that offset taken out
    in_time: float  # -1..1, within a frame (40 ms) of no offset


@dataclass(frozen=True, slots=True)
class Closures:
    """P, B and M: the moments at which the lips are asked to meet."""

    asked: int
    seen: int  # of them, those in which the lips were seen to meet

    @property
    def share(self) -> float:
        """0..1; 1 where none was asked for."""
        return self.seen / self.asked if self.asked else 1.0


@dataclass(frozen=True, slots=True)
class Silence:
    """The pauses, in which the mouth should rest."""

    duration_s: float
    movement: float  # standard deviation of the opening within pauses, as a share of that of speech


@dataclass(frozen=True, slots=True)
class WorstSecond:
    """The second in which the mouth is furthest from its curve."""

    start_s: float
    first_frame: int
    last_frame: int
    agreement: float  # 1: the same movement; 0: none of it; below 0: another one


@dataclass(frozen=True, slots=True)
class SyncScore:
    """The sync score of a movie, and the figures behind it."""

    score: float  # 0..1
    judged_by: JudgedBy
    frames: int  # that were measured
    asked: Agreement | None  # with the curves that were to be painted; None where the model has none
    heard: Agreement | None  # with what the hearing model of `viseme` expects of the sound
    loud: Agreement | None  # with the loudness of speech, which knows no model
    closures: Closures | None  # None where closures are not asked for
    silence: Silence | None  # None where there are no pauses
    worst: WorstSecond | None  # None where the movie is too short, or nothing moves
    was_to_rest: bool = False  # nothing asks the mouth to move, so the score is how still it is

    @property
    def offset_ms(self) -> int | None:
        """By which the mouth is late, against the curve that it is judged by; None where one of them does not move."""
        agreement = self.asked if self.judged_by == "asked" else self.heard
        return None if agreement is None else agreement.offset_ms


@dataclass(frozen=True, slots=True)
class PictureMeasure:
    """One figure of the painted places of a movie."""

    typical: float  # the median of all that were looked at
    worst: float  # the mean of the worst second
    start_s: float  # of that second
    frame: int  # the first one that was looked at in it


@dataclass(frozen=True, slots=True)
class Covering:
    """Mouths that something covers, though they were painted."""

    share: float  # 0..1, of the mouths that were looked at
    start_s: float  # of the first one
    first_frame: int
    last_frame: int


@dataclass(frozen=True, slots=True)
class PictureFigures:
    """How well the painted places of a movie fit into their pictures."""

    frames: int  # that were looked at
    seam: PictureMeasure  # levels of 255: the step along a quarter of the mask's rim that the source does not have
    flicker: PictureMeasure  # levels of 255, from one frame to the next, beyond the source
    held: PictureMeasure  # -1..1: the share of the place that stays as it was while the source goes on
    covered: Covering | None  # None where no mouth seems to be

    @property
    def faults(self) -> tuple[str, ...]:
        """The names of those that are beyond their limit."""
        limits = (
            ("seam", self.seam, SEAM_LIMIT),
            ("flicker", self.flicker, FLICKER_LIMIT),
            ("held", self.held, HELD_LIMIT),
        )
        return tuple(name for name, measure, limit in limits if measure.worst > limit)

    @property
    def account(self) -> str:
        """In one line: "picture good: seam 0.5 levels from 3.2 s, flicker 0.3 from 1.0 s, held 1% from 0.5 s"."""
        seam, flicker, held, covered = self.seam, self.flicker, self.held, self.covered
        parts = [
            f"seam {seam.worst:.1f} levels from {seam.start_s:.1f} s",
            f"flicker {flicker.worst:.1f} from {flicker.start_s:.1f} s",
            f"held {max(0.0, held.worst):.0%} from {held.start_s:.1f} s",
            *([f"mouth covered in {covered.share:.0%} from {covered.start_s:.1f} s"] if covered else []),
        ]
        verdict = f"faulty ({', '.join(self.faults)})" if self.faults else "good"
        return f"picture {verdict}: {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class Scoring:
    """The score of a movie, or why it has none, and the figures of its pictures, where they were measured."""

    score: SyncScore | None = None
    reason: str = ""  # why it has none
    pictures: PictureFigures | None = None

    @property
    def account(self) -> str:
        """In one line: "0.86 by its own curves, offset 0 ms, worst second from 3.2 s; picture good: ..."."""
        return "; ".join([self.sync_account, *([self.pictures.account] if self.pictures else [])])

    @property
    def sync_account(self) -> str:
        """The score alone, in one line."""
        if self.score is None:
            return f"none: {self.reason}"
        found = self.score
        parts = [
            f"{found.score:.2f} by {'its own curves' if found.judged_by == 'asked' else 'the hearing model'}",
            _timing(found),
            *([f"worst second from {found.worst.start_s:.1f} s"] if found.worst else []),
        ]
        return ", ".join(parts)


def _timing(score: SyncScore) -> str:
    if score.was_to_rest:
        return "a mouth that was to rest"
    return "no movement" if score.offset_ms is None else f"offset {score.offset_ms} ms"


NOT_SCORED = Scoring(reason="nobody has measured it")


@dataclass(frozen=True, slots=True)
class SyncNetFigures:
    """What SyncNet tells of a video, by its published measure (docs/score.md)."""

    lse_c: float  # LSE-C, the confidence: how much nearer pictures and sound are at their best shift than usually
    lse_d: float  # LSE-D: their mean distance at their best shift
    offset_ms: int  # by which the mouth is late at their best shift, in steps of 40
    windows: int  # of .2 s, that were compared


@dataclass(frozen=True, slots=True)
class SyncNetScoring:
    """SyncNet's figures, or why there are none though it is installed."""

    figures: SyncNetFigures | None = None
    reason: str = ""  # why there are none

    @property
    def account(self) -> str:
        """In one line: "LSE-C 6.91, LSE-D 7.12, offset 0 ms"."""
        found = self.figures
        if found is None:
            return f"none: {self.reason}"
        return f"LSE-C {found.lse_c:.2f}, LSE-D {found.lse_d:.2f}, offset {found.offset_ms} ms"


@dataclass(frozen=True, slots=True)
class SpeechReference:
    """What people who speak for themselves score: medians of `Agreement.in_time`, their offset taken out."""

    own_heard: float
    foreign_heard: float  # the 95th percentile of mouths under another person's sound
    own_loud: float
    foreign_loud: float


#: Measured by `benchmarks/sync_score.py` (docs/score.md).
REAL_SPEECH = SpeechReference(own_heard=0.65, foreign_heard=0.26, own_loud=0.39, foreign_loud=0.3)
