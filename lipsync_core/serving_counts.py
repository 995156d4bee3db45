"""What a caller of model servers has seen: requests, failures, and the time lost to them, by model and by thread."""

import threading
from dataclasses import dataclass
from typing import Literal

#: Why a request came back without a result, and may have one later.
Fault = Literal["down", "full"]


@dataclass(frozen=True, slots=True)
class ServingCounts:
    """What one caller has seen. The server's own count of failures leaves out requests that its queue refuses."""

    requests: int = 0  # answered with a result
    retries: int = 0  # sent again after a failure
    rejections: int = 0  # refused by a full queue, or dropped from it, and sent again
    waited_s: float = 0.0  # in tries without an answer and in the pauses after them

    def __add__(self, other: "ServingCounts") -> "ServingCounts":
        """Both together."""
        return ServingCounts(
            self.requests + other.requests,
            self.retries + other.retries,
            self.rejections + other.rejections,
            self.waited_s + other.waited_s,
        )

    def since(self, earlier: "ServingCounts") -> "ServingCounts":
        """What came after `earlier`."""
        return ServingCounts(
            self.requests - earlier.requests,
            self.retries - earlier.retries,
            self.rejections - earlier.rejections,
            self.waited_s - earlier.waited_s,
        )

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {self.retries} tried again, {self.rejections} refused by a full queue, "
            f"{self.waited_s:.1f} s lost"
        )


NOTHING = ServingCounts()


class _Account(threading.local):
    """The counts of the present thread: a stage is charged with them as it is with the thread's CPU time."""

    counts = NOTHING


_account = _Account()


def thread_counts() -> ServingCounts:
    """What the present thread has seen so far, of all models; the same object until that changes."""
    return _account.counts


class CountBook:
    """The counts of one model. Threads share it, and each gets its own part in its own account too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = NOTHING

    @property
    def counts(self) -> ServingCounts:
        """The counts so far."""
        with self._lock:
            return self._counts

    def answered(self) -> None:
        """One more result."""
        self._add(ServingCounts(requests=1))

    def failed(self, fault: Fault, waited_s: float) -> None:
        """One more request without a result, which took so long with the pause after it."""
        if fault == "full":
            self._add(ServingCounts(rejections=1, waited_s=waited_s))
        else:
            self._add(ServingCounts(retries=1, waited_s=waited_s))

    def _add(self, more: ServingCounts) -> None:
        with self._lock:
            self._counts += more
        _account.counts += more
