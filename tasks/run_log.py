"""The log of a run without the lines of Prefect's that are no news."""

import logging
from typing import Final

from prefect._internal.control_listener import get_intent

_CANCELLED: Final = "Flow run was cancelled."
# Prefect warns in every run that a time limit cannot interrupt a blocking call. No call blocks here: frames pass in
# loops, and sockets have time limits of their own.
_TIME_LIMIT: Final = "seconds configured for this task"


def leave_out_noise() -> None:
    """Have Prefect's loggers of runs and task runs leave out the lines that `is_news` refuses."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(is_news)  # adding it twice is adding it once


def is_news(record: logging.LogRecord) -> bool:
    """Whether the line tells the reader of a run's log something.

    In a run that is being cancelled, only one does. The others are the errors of the stages that it stops, and the last
    state that the run itself has seen, which is not `Cancelled`: the worker sets that when the run has ended.
    """
    message = record.getMessage()
    return message == _CANCELLED if get_intent() == "cancel" else _TIME_LIMIT not in message
