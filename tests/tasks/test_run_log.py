"""The lines of Prefect's that a run's log leaves out."""

import logging

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from prefect.logging import get_logger

from tasks import run_log
from tasks.run_log import leave_out_noise


class Lines(logging.Handler):
    """Keeps the messages that reach it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage())


@pytest.fixture(params=["prefect.flow_runs", "prefect.task_runs"])
def logger(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    logger = get_logger(request.param)
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", False)
    leave_out_noise()
    return logger


@pytest.fixture
def lines(logger: logging.Logger) -> Lines:
    lines = Lines()
    logger.addHandler(lines)
    return lines


def test_a_run_that_is_cancelled_logs_one_line(
    logger: logging.Logger, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger.warning("before")
    monkeypatch.setattr(run_log, "get_intent", lambda: "cancel")
    logger.error("Task run failed with exception: ChannelClosedError()")
    logger.warning("Flow run was cancelled.")
    logger.warning("Finished in state Running()")
    assert lines.seen == ["before", "Flow run was cancelled."]


def test_a_run_that_fails_logs_its_errors_and_no_warning_of_time_limits(logger: logging.Logger, lines: Lines) -> None:
    logger.warning("the 60 seconds configured for this task cannot interrupt it")
    logger.error("Task run failed with exception: ValueError()")
    logger.warning("Finished in state Failed()")
    assert lines.seen == ["Task run failed with exception: ValueError()", "Finished in state Failed()"]
