"""Waiting for a server that is being started again."""

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def patiently(ask: Callable[[], _T], may_pass: Callable[[Exception], bool], patience_s: float, poll_s: float) -> _T:
    """What `ask` returns, asked again every `poll_s`, for `patience_s`, while it fails with what `may_pass`.

    Raises: what `ask` raises, once that may not pass or has lasted too long.
    """
    given_up_at = time.monotonic() + patience_s
    while True:
        try:
            return ask()
        except Exception as exc:
            if not may_pass(exc) or time.monotonic() > given_up_at:
                raise
        time.sleep(poll_s)
