"""Cutting a sequence of frame indexes into runs that ascend or descend one by one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive frames, each shown one or more times in a row."""

    first: int  # index of the first frame
    step: int  # +1 or -1 from one frame to the next
    repeats: tuple[int, ...]  # how often each frame is shown, at least 1

    @property
    def last(self) -> int:
        """Index of the last frame."""
        return self.first + self.step * (len(self.repeats) - 1)


def split_runs(order: Sequence[int]) -> Iterator[Run]:
    """The runs of `order`, each as long as possible; joined, they give `order` again.

    Raises:
        ValueError: an index is negative.
    """
    first, step, repeats = 0, 0, list[int]()
    last = 0
    for entry in order:
        index = int(entry)
        if index < 0:
            raise ValueError(f"frame index {index} is negative")
        move = index - last
        if repeats and move == 0:
            repeats[-1] += 1
        elif repeats and (move == step or (step == 0 and abs(move) == 1)):
            step = move
            repeats.append(1)
        else:
            if repeats:
                yield Run(first, step or 1, tuple(repeats))
            first, step, repeats = index, 0, [1]
        last = index
    if repeats:
        yield Run(first, step or 1, tuple(repeats))
