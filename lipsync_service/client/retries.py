"""Retries of a call that fails while its server is being started again."""

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def retried(call: Callable[[], _T], is_transient: Callable[[Exception], bool], limit_s: float, pause_s: float) -> _T:
    """The result of `call`, repeated after `pause_s` where it fails with an error that `is_transient`.

    Raises: the error of `call` where it is not transient, or where `limit_s` seconds have gone by.
    """
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return call()
        except Exception as exc:
            if not is_transient(exc) or time.monotonic() > deadline:
                raise
        time.sleep(pause_s)
