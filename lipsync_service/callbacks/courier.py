"""Courier: sends the deliveries that are due, several at once, and never more than two to one host."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from datetime import datetime

from lipsync_core.errors import LipSyncError, TransientError
from lipsync_service.callbacks.deliveries import Deliveries, Delivery
from lipsync_service.callbacks.sender import NO_ADDRESS, CallbackSender, Letter, Reply
from lipsync_service.errors import UrlRefusedError
from lipsync_service.storage.url import parse_url

_log = logging.getLogger(__name__)
_THREADS = 8
_THREADS_OF_ONE_HOST = 2  # so that a slow receiver delays only its own callbacks

#: The letter of a delivery; None where its job no longer asks for one. Raises LipSyncError where it cannot be read.
WriteLetter = Callable[[Delivery], Letter | None]
Now = Callable[[], datetime]


class Courier:
    """Works in threads of its own. Its memory may be lost without harm: `Deliveries` keeps every delivery."""

    def __init__(self, deliveries: Deliveries, sender: CallbackSender, write: WriteLetter, now: Now) -> None:
        self._deliveries = deliveries
        self._sender = sender
        self._write = write
        self._now = now
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="callback")
        self._under_way: set[Future[None]] = set()
        self._hosts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def dispatch(self) -> int:
        """Begin the deliveries that are due, as many as there are free threads; returns the number of tries begun.

        Raises:
            LedgerUnavailableError: the database is down.
        """
        self._under_way = {future for future in self._under_way if not future.done()}
        begun = 0
        for delivery in self._deliveries.due(self._now(), _THREADS - len(self._under_way)):
            claimed = self._deliveries.claim(delivery, self._now())
            if claimed is not None:
                self._under_way.add(self._pool.submit(self._take, claimed))
                begun += 1
        return begun

    def wait(self) -> None:
        """Return when every try that has begun is over."""
        wait_for(self._under_way)

    def close(self) -> None:
        """Begin no more tries; those that have begun end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _take(self, claimed: Delivery) -> None:
        try:
            self._try(claimed)
        except TransientError as error:  # nothing was sent, or the answer was not recorded: a later try follows
            _log.warning("callback %s of job %s waits: %s", claimed.event_id, claimed.job_id, error.code)
        except Exception:
            _log.exception("callback %s of job %s", claimed.event_id, claimed.job_id)

    def _try(self, claimed: Delivery) -> None:
        letter = self._letter(claimed)
        if isinstance(letter, Reply):
            self._record(claimed, letter)
            return
        with self._turn(letter) as is_ours:
            if is_ours:
                self._record(claimed, self._sender.send(letter, self._now()))
            else:
                self._deliveries.put_back(claimed, self._now())

    def _letter(self, claimed: Delivery) -> Letter | Reply:
        """The letter, or a reply with the reason where there is none."""
        try:
            return self._write(claimed) or Reply(error_code=NO_ADDRESS)
        except TransientError:
            self._deliveries.put_back(claimed, self._now())
            raise
        except LipSyncError as error:
            return Reply(error_code=error.code)

    def _record(self, claimed: Delivery, reply: Reply) -> None:
        self._deliveries.record(claimed, reply, self._now())
        said = reply.status or reply.error_code  # not the address, which may be a secret as a whole
        _log.info("callback %s (%s, try %d): %s", claimed.event_id, claimed.event, claimed.tries, said)

    @contextmanager
    def _turn(self, letter: Letter) -> Iterator[bool]:
        """True where the letter's host has a free turn, which is held while the block runs."""
        host = _host(letter)
        with self._lock:
            is_free = self._hosts[host] < _THREADS_OF_ONE_HOST
            self._hosts[host] += is_free
        try:
            yield is_free
        finally:
            with self._lock:
                self._hosts[host] -= is_free


def _host(letter: Letter) -> str:
    try:
        return parse_url(letter.url).host.lower()
    except UrlRefusedError:
        return ""  # the sender reports the address
