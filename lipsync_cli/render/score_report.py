"""A sync score, as lines of text for people and as fields of JSON for programs (described in docs/score.md)."""

from dataclasses import asdict
from typing import Any

from lipsync_core.score_figures import REAL_SPEECH, Agreement, Scoring, SyncNetScoring, SyncScore

_INDENT = " " * 9


def score_fields(score: SyncScore | None) -> dict[str, Any] | None:
    """The figures under their names; None where there is no score."""
    return None if score is None else asdict(score)


def score_lines(scoring: Scoring) -> list[str]:
    """The score, and the figures behind it, a line each."""
    score = scoring.score
    figures = [] if score is None else [*_agreement_lines(score), *_event_lines(score)]
    return [f"score    {scoring.account}", *(_INDENT + line for line in figures)]


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


def _beside(own: float, foreign: float) -> str:
    return f"real speech {own:.2f}, foreign {foreign:.2f}"


def _told(agreement: Agreement) -> str:
    if agreement.offset_ms is None:
        return "no movement"
    return f"{agreement.in_time:.2f}, best {agreement.correlation:.2f} at {agreement.offset_ms} ms"
