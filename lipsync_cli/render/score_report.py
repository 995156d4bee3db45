"""A sync score, as lines of text for people and as fields of JSON for programs (described in docs/score.md)."""

from dataclasses import asdict
from typing import Any

from lipsync_core.score_figures import REAL_SPEECH, Agreement, Scoring, SyncScore


def score_fields(score: SyncScore | None) -> dict[str, Any] | None:
    """The figures under their names; None where there is no score."""
    return None if score is None else asdict(score)


def score_lines(scoring: Scoring) -> list[str]:
    """The score and the figures behind it, a line each."""
    score = scoring.score
    if score is None:
        return [f"score    {scoring.account}"]
    closures, silence, worst = score.closures, score.silence, score.worst
    lines = [f"score    {scoring.account}"]
    if score.asked is not None:
        lines.append(f"         opening against the curves that were to be painted: {_agreement(score.asked)}")
    if closures is not None:
        lines.append(f"         lips seen to meet in {closures.seen} of {closures.asked} closures (P, B, M)")
    if silence is not None:
        lines.append(f"         {silence.movement:.2f} of its movement in {silence.duration_s:.1f} s of pauses")
    lines += _sound_lines(score)
    if worst is not None:
        lines.append(f"         worst second: frames {worst.first_frame} to {worst.last_frame}, {worst.agreement:.2f}")
    return lines


def _sound_lines(score: SyncScore) -> list[str]:
    lines = []
    if score.heard is not None:
        same = " (viseme hears alike)" if score.judged_by == "asked" else ""
        real = f"real speech {REAL_SPEECH.own_heard:.2f}, another's {REAL_SPEECH.foreign_heard:.2f}"
        lines.append(f"         against the hearing model{same}: {_agreement(score.heard)}; {real}")
    if score.loud is not None:
        real = f"real speech {REAL_SPEECH.own_loud:.2f}, another's {REAL_SPEECH.foreign_loud:.2f}"
        lines.append(f"         against loudness: {_agreement(score.loud)}; {real}")
    return lines


def _agreement(agreement: Agreement) -> str:
    if agreement.offset_ms is None:
        return "no movement"
    return f"{agreement.in_time:.2f}, best {agreement.correlation:.2f} at {agreement.offset_ms} ms"
