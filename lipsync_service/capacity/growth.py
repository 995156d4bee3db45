"""How a fleet grows for a goal, and which of its sizes is the first that keeps it."""

from collections.abc import Callable
from math import ceil

from lipsync_service.capacity.costs import JobCosts
from lipsync_service.capacity.fleet import Fleet
from lipsync_service.capacity.sizing import grown

_MAX_GROWTHS = 30
_STRIDE = 8  # growths that a first guess skips
_LINES = 3  # guesses by a straight line; then the rest is halved


def growth_path(fleet: Fleet, job: JobCosts) -> list[Fleet]:
    """The fleet and what it grows to: each next one has more of the scarcest resource. A single machine has no next.

    A burst adds to the load of all resources alike, so the arithmetic knows the order and no simulation is needed.
    """
    path = [fleet]
    while fleet.control.node is not None and len(path) <= _MAX_GROWTHS:
        fleet = grown(fleet, fleet.resources(job)[0])
        path.append(fleet)
    return path


def first_in_time(p95_s: Callable[[int], float], length: int, goal_s: float, guess: int) -> int | None:
    """The first of `length` sizes whose 95th percentile is at most `goal_s`; None where the last one's is more.

    The percentile falls with the size, so few sizes are asked for: `guess` first, then where a straight line through
    what is known meets the goal.
    """
    search = _Search(p95_s, length, goal_s)
    search.ask(min(guess, length - 1))
    while not search.is_over:
        search.ask(search.next())
    return search.early if search.early < length else None


class _Search:
    """A search between the last size that is known to be late and the first that is known to be in time."""

    def __init__(self, p95_s: Callable[[int], float], length: int, goal_s: float) -> None:
        self._p95_s, self._length, self._goal_s = p95_s, length, goal_s
        self._known: dict[int, float] = {}
        self.late, self.early = -1, length

    @property
    def is_over(self) -> bool:
        """Whether nothing lies between."""
        return self.early - self.late == 1

    def ask(self, size: int) -> None:
        """Have the percentile of this size."""
        self._known[size] = self._p95_s(size)
        if self._known[size] <= self._goal_s:
            self.early = size
        else:
            self.late = size

    def next(self) -> int:
        """The size to ask for next."""
        lowest, highest = self.late + 1, self.early - 1
        if self.early == self._length:
            highest = min(highest, self.late + _STRIDE)
        elif self.late == -1:
            lowest = max(lowest, self.early - _STRIDE)
        if len(self._known) > 1 + _LINES:
            return highest if self.early == self._length else (self.late + self.early) // 2
        return min(max(self._crossing(), lowest), highest)

    def _crossing(self) -> int:
        """Where the line through the two known sizes beside the goal meets it; without two, the next one over."""
        beside = sorted(self._known, key=lambda size: abs(self._known[size] - self._goal_s))[:2]
        near = beside[0]
        fall_s = (self._known[min(beside)] - self._known[max(beside)]) / (max(beside) - min(beside) or 1)
        if fall_s <= 0:
            return near - 1 if self.early == near else near + _STRIDE
        return near + ceil((self._known[near] - self._goal_s) / fall_s)
