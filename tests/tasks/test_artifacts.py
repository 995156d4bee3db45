"""The progress bar of a run: none for a short job, and then as often as the length of the job allows."""

from itertools import pairwise
from uuid import UUID, uuid4

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from lipsync_core.report import Progress
from tasks import artifacts
from tasks.artifacts import ShownProgress
from tests.hand_clock import HandClock


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    """Time goes on only where a test says so."""
    clock = HandClock()
    monkeypatch.setattr(artifacts, "time", clock)
    return clock


@pytest.fixture
def shown(hands: HandClock, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Time and percentage of each request to Prefect's server."""
    requests: list[tuple[float, float]] = []

    def make(progress: float, **_named: str) -> UUID:
        requests.append((round(hands.monotonic(), 3), progress))
        return uuid4()

    monkeypatch.setattr(artifacts, "create_progress_artifact", make)
    monkeypatch.setattr(artifacts, "update_progress_artifact", lambda _artifact, progress: make(progress))
    return requests


def work(hands: HandClock, seconds: int) -> None:
    """Write a frame each tenth of a second."""
    progress, total = ShownProgress(), 10 * seconds
    for done in range(1, total + 1):
        hands.work(0.1)
        progress(Progress("encode", done, total))


def test_a_short_job_has_no_bar(hands: HandClock, shown: list[tuple[float, float]]) -> None:
    work(hands, 9)
    assert shown == []


def test_a_longer_one_has_a_bar_that_ends_at_its_end(hands: HandClock, shown: list[tuple[float, float]]) -> None:
    work(hands, 20)
    assert [at for at, _ in shown] == pytest.approx([10, 13, 16, 19, 20], abs=0.35)
    assert [percent for _, percent in shown] == pytest.approx([50, 65, 80, 95, 100], abs=2)


def test_a_long_one_moves_its_bar_less_often(hands: HandClock, shown: list[tuple[float, float]]) -> None:
    work(hands, 1200)
    pauses = [after - before for (before, _), (after, _) in pairwise(shown)]
    assert len(shown) < 60 and shown[-1][1] == 100
    assert all(pause >= 2.9 for pause in pauses[:-1]) and max(pauses) > 60
