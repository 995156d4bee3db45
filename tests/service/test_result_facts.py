"""What is known of a result: one set of names for the ledger, the artifact, the callback and the command line."""

import json
from dataclasses import fields, replace
from uuid import uuid4

import pytest

pytest.importorskip("pydantic", reason="the service needs the extra 'service'")
from lipsync_core.errors import SigningError
from lipsync_core.report import Provenance
from lipsync_core.score_figures import Agreement, PictureFigures, PictureMeasure, Scoring, SyncScore, WorstSecond
from lipsync_service.ledger.rows import JobRow, JobState, row_from_line, row_to_line
from lipsync_service.result_facts import NO_FACTS, ResultFacts

SCORE = SyncScore(
    score=0.31,
    judged_by="asked",
    frames=40,
    asked=Agreement(120, 0.8, 0.31),
    heard=None,
    loud=None,
    closures=None,
    silence=None,
    worst=WorstSecond(3.2, 80, 104, -0.1),
)
ROW = replace(JobRow(uuid4(), 1, JobState.RUNNING), warnings="FACE_SMALL; TOO_DARK")
PICTURES = PictureFigures(
    frames=20,
    seam=PictureMeasure(0.4, 8.21, 3.2, 80),
    flicker=PictureMeasure(0.1, 0.3, 1.0, 25),
    held=PictureMeasure(0.0, 0.01, 0.5, 13),
    covered=None,
)
JUDGED = ROW.with_score(Scoring(SCORE, pictures=PICTURES), "low").with_provenance(Provenance("Studio, signer"))


def test_callers_get_the_figures_of_the_ledger() -> None:
    row = row_from_line(row_to_line(JUDGED))  # as the spool keeps it
    assert isinstance(row, JobRow)
    assert row.facts.as_json() == {
        "warnings": ["FACE_SMALL", "TOO_DARK"],
        "score": {
            "account": "low: 0.31 by its own curves, offset 120 ms, worst second from 3.2 s; picture faulty (seam): "
            "seam 8.2 levels from 3.2 s, flicker 0.3 from 1.0 s, held 1% from 0.5 s",
            "score": 0.31,
            "judged_by": "asked",
            "offset_ms": 120,
            "verdict": "low",
            "worst": {"start_s": 3.2, "first_frame": 80, "last_frame": 104},
            "picture_faults": ["seam"],
        },
        "provenance": {"account": "signed by Studio, signer", "signer": "Studio, signer", "error": None},
    }


def test_a_result_without_score_or_signature_says_why() -> None:
    failed = Provenance(error=SigningError("the token is locked", "unlock it"))
    told = ROW.with_score(Scoring(reason="the face mesh is not installed")).with_provenance(failed).facts.as_json()
    assert told["score"]["account"] == "none: the face mesh is not installed"
    assert {told["score"][name] for name in ("score", "offset_ms", "verdict", "worst", "picture_faults")} == {None}
    assert (told["provenance"]["signer"], told["provenance"]["error"]) == (None, "SIGNING_FAILED")
    assert NO_FACTS.as_json() == {"warnings": None, "score": None, "provenance": None}


def test_the_artifact_gives_back_what_it_was_made_of() -> None:
    for facts in (JUDGED.facts, ROW.facts, NO_FACTS, replace(ROW, warnings="").facts):
        assert ResultFacts.of_rows(json.dumps(facts.rows())) == facts


@pytest.mark.parametrize(
    "table",
    ["no JSON", "{}", '[{"fact": "sync_score", "value": "high"}]', '[["sync_score"]]', None, 7],
)
def test_reading_an_artifact_of_another_release_gives_no_facts(table: object) -> None:
    assert ResultFacts.of_rows(table) == NO_FACTS


def test_a_fact_that_this_release_does_not_know_is_left_out() -> None:
    rows = [*JUDGED.facts.rows(), {"fact": "colour", "value": "red"}]
    assert ResultFacts.of_rows(rows) == JUDGED.facts


def test_every_fact_is_a_column_of_the_ledger() -> None:
    assert {field.name for field in fields(ResultFacts)} <= {field.name for field in fields(JobRow)}
