"""How long a caller of a model server tries again: while the server is down, and while its queue is full."""

import random
import time
from dataclasses import dataclass

from lipsync_core.errors import ModelServerBusyError, ModelServerDownError, OptionError, TransientError
from lipsync_core.serving_counts import Fault


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits in seconds, each above 0.

    Raises:
        OptionError: a limit is not above 0.
    """

    deadline_s: float = 30.0  # of one request; a batch of 64 takes less than 1 s on a GPU
    down_s: float = 120.0  # from the first failure on: a server with a TensorRT engine in its cache starts in less
    full_s: float = 600.0  # from the first rejection on
    first_pause_s: float = 0.05
    longest_pause_s: float = 2.0

    def __post_init__(self) -> None:
        limits = (self.deadline_s, self.down_s, self.full_s, self.first_pause_s, self.longest_pause_s)
        if min(limits) <= 0:
            raise OptionError(f"a limit of {min(limits)} s is not above 0")

    @property
    def queue_us(self) -> int:
        """The longest wait of a request in the server's queue, in microseconds: two thirds of its deadline.

        The server then drops it, before the caller gives up and sends it again.
        """
        return int(self.deadline_s / 1.5 * 1e6)


class Waiting:
    """The pauses of one call: each up to twice as long as the one before, at random, so that callers come apart."""

    def __init__(self, patience: Patience, server: str) -> None:
        self._patience = patience
        self._server = server
        self._until: dict[Fault, float] = {}  # by fault, in seconds of time.monotonic
        self._ceiling_s = patience.first_pause_s

    def pause(self, fault: Fault, cause: str) -> None:
        """Sleep before the next try.

        Raises:
            ModelServerDownError: the patience with a server that is down has ended; `cause` stands in the message.
            ModelServerBusyError: the patience with a full queue has ended.
        """
        limit_s = self._patience.full_s if fault == "full" else self._patience.down_s
        now_s = time.monotonic()
        left_s = self._until.setdefault(fault, now_s + limit_s) - now_s
        if left_s <= 0:
            raise self._given_up(fault, limit_s, cause)
        time.sleep(min(left_s, random.uniform(self._ceiling_s / 2, self._ceiling_s)))  # noqa: S311  no secret
        self._ceiling_s = min(2 * self._ceiling_s, self._patience.longest_pause_s)

    def _given_up(self, fault: Fault, limit_s: float, cause: str) -> TransientError:
        if fault == "full":
            message = f"the queue of the model server {self._server} has been full for {limit_s:g} s: {cause}"
            return ModelServerBusyError(message, "let fewer runs share it, or run the job again later")
        message = f"the model server {self._server} has not answered for {limit_s:g} s: {cause}"
        return ModelServerDownError(message, "start it, or unset LIPSYNC_MODEL_SERVER to use this machine's networks")
