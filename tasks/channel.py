"""Hands frames from the thread that blends to the thread that encodes, a few at a time."""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

_T = TypeVar("_T")


class ChannelClosedError(Exception):
    """Nobody receives any more: the sender may stop."""


class Channel(Generic[_T]):
    """A bounded queue between one sender and one receiver, each in its own thread, that never leaves either waiting.

    Whoever fails or stops says so, and the other one learns of it at its next step.
    """

    def __init__(self, capacity: int) -> None:
        self._things: deque[_T] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._is_finished = False
        self._is_closed = False
        self._error: BaseException | None = None

    def send(self, thing: _T) -> None:
        """Wait for room, then queue `thing`.

        Raises:
            ChannelClosedError: the receiver has gone.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._things) < self._capacity)
            if self._is_closed:
                raise ChannelClosedError
            self._things.append(thing)
            self._changed.notify_all()

    def finish(self, error: BaseException | None = None) -> None:
        """Say that nothing more comes; with `error`, that it broke off, which the receiver will raise."""
        with self._changed:
            self._is_finished, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Say that nobody receives any more; what is queued is dropped."""
        with self._changed:
            self._is_closed = True
            self._things.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[_T]:
        """What was sent, in order.

        Raises:
            BaseException: what the sender finished with, after all that was sent before.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._things or self._is_finished or self._is_closed)
                if not self._things:
                    if self._error is not None:
                        raise self._error
                    return
                thing = self._things.popleft()
                self._changed.notify_all()
            yield thing
