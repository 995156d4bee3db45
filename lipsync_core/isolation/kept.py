"""Readers that have answered and wait for another question about the same file: a job asks several of each.

Such a reader has read that file and no other, so what the file may have done to it concerns this file's answers alone.
"""

import select
import threading
from collections import OrderedDict
from collections.abc import Hashable

from lipsync_core.isolation.answers import Answers

_MOST = 2  # a job has a video and a sound


class KeptReaders:
    """The ends of their connections, by what they may do; each is used by one thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: OrderedDict[Hashable, Answers] = OrderedDict()

    def take(self, kind: Hashable) -> Answers | None:
        """A reader of that kind that still waits."""
        with self._lock:
            answers = self._waiting.pop(kind, None)
        if answers is None or _is_silent(answers):
            return answers
        answers.close()
        return None

    def keep(self, kind: Hashable, answers: Answers) -> None:
        """Have a reader wait; of the same kind one does, and of all kinds those that were used last."""
        with self._lock:
            surplus = [self._waiting.pop(kind, None)]
            self._waiting[kind] = answers
            while len(self._waiting) > _MOST:
                surplus.append(self._waiting.popitem(last=False)[1])
        for each in surplus:
            if each is not None:
                each.close()

    def close(self) -> None:
        """End all."""
        with self._lock:
            surplus, self._waiting = list(self._waiting.values()), OrderedDict()
        for each in surplus:
            each.close()


def _is_silent(answers: Answers) -> bool:
    """Whether a reader is there and has said nothing that it was not asked."""
    poll = select.poll()
    poll.register(answers.connection, select.POLLIN)
    return not poll.poll(0)
