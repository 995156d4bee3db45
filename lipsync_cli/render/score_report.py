"""A sync score, as lines of text for people and as fields of JSON for programs (described in docs/score.md)."""

from dataclasses import asdict
from typing import Any

from lipsync_core.score_figures import (
    FLICKER_LIMIT,
    HELD_LIMIT,
    REAL_SPEECH,
    SEAM_LIMIT,
    Agreement,
    PictureFigures,
    PictureMeasure,
    Scoring,
    SyncNetScoring,
    SyncScore,
)

_INDENT = " " * 9


def score_fields(score: SyncScore | None) -> dict[str, Any] | None:
    """The figures under their names; None where there is no score."""
    return None if score is None else asdict(score)


def picture_fields(pictures: PictureFigures | None) -> dict[str, Any] | None:
    """The figures of the pictures under their names, with those that are beyond their limit; None without them."""
    return None if pictures is None else {**asdict(pictures), "faults": list(pictures.faults)}


def score_lines(scoring: Scoring) -> list[str]:
    """The score, and the figures behind it, a line each; then those of the pictures."""
    score, pictures = scoring.score, scoring.pictures
    figures = [] if score is None else [*_agreement_lines(score), *_event_lines(score)]
    seen = [] if pictures is None else _picture_lines(pictures)
    return [f"score    {scoring.sync_account}", *(_INDENT + line for line in figures), *seen]


def syncnet_fields(found: SyncNetScoring | None) -> dict[str, Any]:
    """The field `syncnet`; no field where SyncNet is not installed."""
    return {} if found is None else {"syncnet": asdict(found)}


def syncnet_lines(found: SyncNetScoring | None) -> list[str]:
    """One line; none where SyncNet is not installed."""
    return [] if found is None else [f"syncnet  {found.account}"]


def _agreement_lines(score: SyncScore) -> list[str]:
    real = REAL_SPEECH
    lines = []
    if score.asked is not None:
        lines.append(f"curves   {_told(score.asked)}")
    if score.heard is not None:
        lines.append(
            f"hearing  {_told(score.heard)}; real speech {real.own_heard:.2f}, foreign {real.foreign_heard:.2f}"
        )
    if score.asked is not None:
        lines.append("         the same hearing has moved the mouth, so look at loudness too")
    if score.loud is not None:
        lines.append(f"loudness {_told(score.loud)}; {_beside(real.own_loud, real.foreign_loud)}")
    return lines


def _event_lines(score: SyncScore) -> list[str]:
    closures, silence, worst = score.closures, score.silence, score.worst
    lines = []
    if closures is not None:
        lines.append(f"closures {closures.seen} of {closures.asked} seen (P, B, M)")
    if silence is not None:
        lines.append(f"pauses   {silence.movement:.2f} of its movement in {silence.duration_s:.1f} s of them")
    if worst is not None:
        lines.append(f"worst    frames {worst.first_frame} to {worst.last_frame}: {worst.agreement:.2f}")
    return lines


def _picture_lines(pictures: PictureFigures) -> list[str]:
    faults, covered = pictures.faults, pictures.covered
    lines = [
        f"seam     {_measured(pictures.seam, 'levels')}; good: {SEAM_LIMIT:g} at most",
        f"flicker  {_measured(pictures.flicker, 'levels')}; good: {FLICKER_LIMIT:g} at most",
        f"held     {_measured(pictures.held, 'of the place')}; good: {HELD_LIMIT:g} at most",
    ]
    if covered is not None:
        lines.append(f"covered  {covered.share:.0%} of mouths, in frames {covered.first_frame} to {covered.last_frame}")
    verdict = f"beyond its limit: {', '.join(faults)}" if faults else "good"
    return [f"mouth    {verdict}, in {pictures.frames} places looked at", *(_INDENT + line for line in lines)]


def _measured(measure: PictureMeasure, unit: str) -> str:
    return f"{max(0.0, measure.worst):.2f} {unit} from {measure.start_s:.1f} s (frame {measure.frame})"


def _beside(own: float, foreign: float) -> str:
    return f"real speech {own:.2f}, foreign {foreign:.2f}"


def _told(agreement: Agreement) -> str:
    if agreement.offset_ms is None:
        return "no movement"
    return f"{agreement.in_time:.2f}, best {agreement.correlation:.2f} at {agreement.offset_ms} ms"
