"""What is known of a job's result beside its address: the preflight's warnings, its sync score, its signature.

The ledger's columns have the names of these fields, and so have the rows of the artifact that callers read.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from lipsync_core.score_figures import JudgedBy, Scoring

#: What became of a result that was held to a bound: it reached it; it did not and was delivered, or was not.
ScoreVerdict = Literal["passed", "low", "refused"]
_BETWEEN = "; "


def joined(texts: Iterable[str]) -> str:
    """Several texts in one, as the ledger keeps them in a column."""
    return _BETWEEN.join(texts)


def parted(text: str) -> list[str]:
    """The texts of `joined`."""
    return text.split(_BETWEEN) if text else []


def score_account(scoring: Scoring, verdict: ScoreVerdict | None) -> str:
    """The score in one line: "low: 0.31 by its own curves, offset 0 ms, worst second from 3.2 s"."""
    return f"{'low: ' if verdict in ('low', 'refused') else ''}{scoring.account}"


@dataclass(frozen=True, slots=True)
class ResultFacts:
    """The facts that are known; None where one is not, or not yet."""

    warnings: str | None = None  # codes of the preflight: `joined`; "" where it has none
    score: str | None = None  # the sync score in one line, or why there is none
    sync_score: float | None = None  # 0..1
    score_judged_by: JudgedBy | None = None
    score_offset_ms: int | None = None  # above 0 the mouth is late; None: it does not move
    score_verdict: ScoreVerdict | None = None  # None where no score was asked for, or there is none
    worst_start_s: float | None = None  # the second in which the mouth is furthest from what was wanted
    worst_first_frame: int | None = None
    worst_last_frame: int | None = None
    picture_faults: str | None = None  # seam, flicker, held: `joined`; "" where the pictures have none
    provenance: str | None = None  # who has signed the result, or why nobody has, in one line
    signer: str | None = None
    signing_error: str | None = None  # the code; None where it is signed, or was not to be

    @classmethod
    def of_rows(cls, table: Any) -> "ResultFacts":
        """The facts of the artifact's `rows`, as Prefect gives them back; none where they cannot be read."""
        try:
            rows = json.loads(table) if isinstance(table, str) else table
            known = {field.name for field in fields(cls)}
            return _FACTS.validate_python({row["fact"]: row["value"] for row in rows if row["fact"] in known})
        except (ValueError, TypeError, KeyError, ValidationError):  # of a worker of another version
            return cls()

    def rows(self) -> list[dict[str, object]]:
        """The facts that are known, a row each, for the artifact of a run."""
        values = [(field.name, getattr(self, field.name)) for field in fields(self)]
        return [
            {"fact": name, "value": round(value, 4) if isinstance(value, float) else value}
            for name, value in values
            if value is not None
        ]

    def as_json(self) -> dict[str, Any]:
        """The facts as programs get them: in callbacks, and from the command line."""
        return {
            "warnings": None if self.warnings is None else parted(self.warnings),
            "score": None if self.score is None else self._score(),
            "provenance": None
            if self.provenance is None
            else {"account": self.provenance, "signer": self.signer, "error": self.signing_error},
        }

    def lines(self) -> list[tuple[str, str]]:
        """Names and texts for people; a text is empty where nothing is known."""
        first, last = self.worst_first_frame, self.worst_last_frame
        return [
            ("warnings", ", ".join(parted(self.warnings or ""))),
            ("score", self.score or ""),
            ("", "" if first is None else f"its frames {first} to {last}"),
            ("signed", (self.provenance or "").removeprefix("signed ")),
        ]

    def _score(self) -> dict[str, Any]:
        worst = {
            "start_s": self.worst_start_s,
            "first_frame": self.worst_first_frame,
            "last_frame": self.worst_last_frame,
        }
        return {
            "account": self.score,
            "score": self.sync_score,
            "judged_by": self.score_judged_by,
            "offset_ms": self.score_offset_ms,
            "verdict": self.score_verdict,
            "worst": None if self.worst_start_s is None else worst,
            "picture_faults": None if self.picture_faults is None else parted(self.picture_faults),
        }


NO_FACTS = ResultFacts()
_FACTS = TypeAdapter(ResultFacts)
