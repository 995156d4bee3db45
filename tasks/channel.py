"""A bounded queue of frames from the thread that blends to the thread that encodes."""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

_T = TypeVar("_T")


class ChannelClosedError(Exception):
    """The receiver has stopped, so the sender may stop as well."""


class Channel(Generic[_T]):
    """A bounded queue between one sender and one receiver, each in its own thread.

    A side that fails or stops reports it here, and the other learns of it at its next step: neither waits for ever.
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
        """Report that nothing more comes. With `error`, the sender has failed, and the receiver raises it."""
        with self._changed:
            self._is_finished, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Report that the receiver has stopped; queued frames are dropped."""
        with self._changed:
            self._is_closed = True
            self._things.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[_T]:
        """The sent frames, in order.

        Raises:
            BaseException: the sender's error, after all frames that it sent before.
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
