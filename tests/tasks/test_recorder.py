"""The recorder of a job: what one attempt has found out of the result is known to the next one."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.ledger_databases import outage  # skips all below where the extra is missing

# isort: split
pytest.importorskip("prefect", reason="the extra service is not installed")
from lipsync_core.report import Provenance
from lipsync_core.score_figures import Scoring
from lipsync_service.ledger.database import upgrade
from lipsync_service.settings import Settings
from tasks.recorder import JobRecorder, RunContext
from tasks.scoring import Verdict


def test_an_attempt_that_delivers_an_earlier_ones_movie_knows_its_score(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    url, job_id = f"sqlite:///{tmp_path / 'ledger.sqlite'}", uuid4()
    upgrade(url)
    made = settings(database_url=url, spool_dir=tmp_path / "spool")
    first, second = (JobRecorder(made, RunContext(job_id, attempt, "host", "pool", None)) for attempt in (1, 2))
    first.set_score(Verdict(Scoring(reason="the movie is short"), "passed"))
    first.record_facts()  # and then it dies
    second.recall()
    second.set_provenance(Provenance("Studio"))
    assert (second.facts.score, second.facts.signer) == ("none: the movie is short", "Studio")
    with outage(url):
        second.recall()
    assert second.facts.score == "none: the movie is short"
