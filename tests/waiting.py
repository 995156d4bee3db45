"""Waiting in tests for what comes true by itself: a bound against waiting for ever, and no assertion on the time."""

import time
from collections.abc import Callable
from typing import Any

LIMIT_S = 120.0
_POLL_S = 0.02


def wait_until(is_so: Callable[[], Any], limit_s: float = LIMIT_S) -> None:
    """Wait until `is_so()` is true; fail when that takes longer than `limit_s`."""
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline, f"not so after {limit_s} s"
        time.sleep(_POLL_S)
