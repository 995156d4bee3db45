"""Calls of a Triton server, over gRPC: each is tried again while that may help, its errors translated once.

The server's statuses, as seen from Triton 2.x: a dead server and a full queue are both UNAVAILABLE, and only the
message tells them apart (`PriorityQueue` in Triton's core); while a server starts or loads a model anew, a request may
find NOT_FOUND; a server that is killed gives UNAVAILABLE, INTERNAL or CANCELLED for what was under way.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from lipsync_core.errors import ModelError
from lipsync_core.server_address import host_and_port
from lipsync_core.serving.extra import IMPORT_FAULTS, not_installed
from lipsync_core.serving.patience import Patience, Waiting
from lipsync_core.serving_counts import CountBook, Fault

try:
    from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
    from tritonclient.utils import InferenceServerException
except IMPORT_FAULTS as exc:
    raise not_installed(exc) from exc

_logger = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

#: Statuses of gRPC after which the same request may succeed. INVALID_ARGUMENT and the others would fail again.
_PASSING = frozenset(("UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "NOT_FOUND", "CANCELLED"))
#: In the messages of a bounded queue: it is full, or the request has waited in it for too long.
_QUEUE_WORDS = ("exceeds maximum queue size", "request timeout expired")
_CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC by itself waits up to 2 min before it connects again to a server that was away.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A server that vanished without closing the connection (its host is down) is noticed by its silence.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)

__all__ = ["Connection", "InferInput", "InferRequestedOutput"]


class Connection:
    """One channel to one server. Threads may share it; a process that forks must not have one."""

    def __init__(self, address: str, patience: Patience) -> None:
        """Connect lazily to `address`, grpc://HOST:PORT.

        Raises:
            OptionError: the address has another form.
        """
        self.address = address
        self.patience = patience
        self.book = CountBook()
        self._client: Any = InferenceServerClient(host_and_port(address), channel_args=list(_CHANNEL))

    def close(self) -> None:
        """Close the channel; requests that are under way fail."""
        self._client.close()

    def ask(self, label: str, question: Callable[[Any, float], _Answer]) -> _Answer:
        """The answer to `question`, which takes the client and a deadline in seconds; tried again while that may help.

        Raises:
            ModelServerDownError, ModelServerBusyError: the patience has ended.
            ModelError: the server refuses the request about `label`.
        """
        waiting = Waiting(self.patience, self.address)
        faults: Counter[Fault] = Counter()
        while True:
            began_s = time.monotonic()
            try:
                answer = question(self._client, self.patience.deadline_s)
            except InferenceServerException as exc:
                fault, cause = _fault(exc), _cause(exc)
                if fault is None:
                    raise ModelError(f"{label} refuses the request: {cause}") from exc
                faults[fault] += 1
                _logger.debug("%s: %s (%s); trying again", label, cause, fault)
                try:
                    waiting.pause(fault, cause)
                finally:
                    self.book.failed(fault, time.monotonic() - began_s)
            else:
                if faults:
                    told = label, faults["down"], faults["full"]
                    _logger.warning("%s answered after %d failures and %d rejections by its queue", *told)
                return answer

    def require_ready(self, client: Any, deadline_s: float) -> None:
        """A question: is the server ready? It is not while it loads its models."""
        if not client.is_server_ready(client_timeout=deadline_s):
            raise InferenceServerException("it is not ready", status="StatusCode.UNAVAILABLE")


def _fault(exc: InferenceServerException) -> Fault | None:
    """Whether the server is full or down; None if the request itself is at fault."""
    status = (exc.status() or "").removeprefix("StatusCode.")
    message = (exc.message() or "").lower()
    if status == "RESOURCE_EXHAUSTED" or (status in _PASSING and any(words in message for words in _QUEUE_WORDS)):
        return "full"
    return "down" if status in _PASSING else None


def _cause(exc: InferenceServerException) -> str:
    """The status and the message on one line."""
    status = (exc.status() or "").removeprefix("StatusCode.")
    words = " ".join((exc.message() or type(exc).__name__).split())
    return f"{status}: {words}" if status else words
