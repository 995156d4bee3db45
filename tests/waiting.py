"""Waiting in tests for what comes true by itself: a bound against waiting for ever, and no assertion on the time."""

import time
from collections.abc import Callable
from typing import Any

LIMIT_S = 120.0
#: Between two looks: a part of the wait so far, since most looks ask a server, which then has less time for the rest.
_POLLS, _SHORTEST_POLL_S, _LONGEST_POLL_S = 20, 0.02, 0.25


def wait_until(is_so: Callable[[], Any], limit_s: float = LIMIT_S) -> None:
    """Wait until `is_so()` is true; fail when that takes longer than `limit_s`."""
    start = time.monotonic()
    while not is_so():
        waited_s = time.monotonic() - start
        assert waited_s < limit_s, f"not so after {limit_s} s"
        time.sleep(min(max(waited_s / _POLLS, _SHORTEST_POLL_S), _LONGEST_POLL_S))
