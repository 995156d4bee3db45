"""The handover between the pools: read back whole, and refused with a code when it is another version's or absent."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from lipsync_core.errors import OptionError, TransientError
from lipsync_core.generators.contract import ModelIdentity
from lipsync_service.client.run_states import RunState
from lipsync_service.errors import GpuRunError, ObjectMissingError
from lipsync_service.storage.storage import Storage
from tasks.handover import Failure, Handover, inferred_by, read_handover, write_handover
from tasks.job import ChosenParts

MODEL = ModelIdentity("wav2lip", "1", "non-commercial", False, 96, "ab" * 32, "asked for")


@pytest.fixture
def job(settings: Any, tmp_path: Path) -> Any:
    """The parts of a job that a handover uses."""
    (tmp_path / "job").mkdir()
    chosen = settings()
    return SimpleNamespace(
        files=Storage(chosen), folder=tmp_path / "job", shared=lambda name: f"{chosen.storage_url}/{name}"
    )


def test_a_failure_crosses_with_its_class_and_the_chosen_parts(job: Any) -> None:
    run_id, parts = uuid4(), ChosenParts(MODEL, "mediapipe/1")
    failure = Failure.of(OptionError("crf is 99", "choose 0 to 51"))
    write_handover.fn(job, run_id, Handover(parts=parts, failure=failure))
    handover = read_handover.fn(job, run_id)
    assert handover.chosen_parts == parts
    with pytest.raises(OptionError, match=r"^crf is 99; choose 0 to 51$"):
        inferred_by(run_id, handover)


@pytest.mark.parametrize("text", ['{"inferred": {"track": {}, "edits": {}}}', '{"inferred": {"tr', ""])
def test_a_handover_fails_when_it_is_of_another_version_or_torn(job: Any, tmp_path: Path, text: str) -> None:
    run_id, path = uuid4(), tmp_path / "old.json"
    path.write_text(text)
    job.files.put_shared(path, job.shared(f"handovers/{run_id}.json"))
    with pytest.raises(GpuRunError, match="cannot be read; have the workers of both pools run the same version"):
        read_handover.fn(job, run_id)


def test_a_child_that_could_not_write_its_handover_fails_with_the_code_of_its_state(job: Any) -> None:
    run_id = uuid4()
    handover = read_handover.fn(job, run_id)
    assert handover == Handover()
    message = "BAD_OPTION: LIPSYNC_PROVIDERS cannot be used: it is CUDA; change it or unset it"
    with pytest.raises(OptionError, match="LIPSYNC_PROVIDERS cannot be used"):
        inferred_by(run_id, handover, RunState("FAILED", "Failed", message, datetime.now(UTC)))
    with pytest.raises(GpuRunError, match="ended without a result"):
        inferred_by(run_id, handover, RunState("CRASHED", "Crashed", "its process vanished", datetime.now(UTC)))


def test_a_handover_that_was_seen_and_is_not_there_is_looked_for_again() -> None:
    class Files:
        def fetch_shared(self, url: str) -> None:
            raise ObjectMissingError(f"there is no {url}")

    job: Any = SimpleNamespace(files=Files(), shared=lambda name: name)
    assert read_handover.fn(job, uuid4()).inferred is None
    with pytest.raises(TransientError):
        read_handover.fn(job, uuid4(), was_seen=True)
