"""The answers of one reader, as its asker receives them."""

import logging
import signal
import socket
from collections.abc import Iterator

from lipsync_core import readers_usage as usage
from lipsync_core.errors import LipSyncError, TransientError, UnreadableMediaError
from lipsync_core.isolation.confinement import ReaderLimits
from lipsync_core.isolation.wire import (
    BrokenWireError,
    EndedWireError,
    Failure,
    Kind,
    LogLine,
    Message,
    error_of,
    one_line,
    receive,
    send,
    unpacked,
)
from lipsync_core.limit_errors import CpuLimitError, TimeLimitError
from lipsync_core.limits import limits

_OUR_LOGGERS = "lipsync_core"
_MOST_LINES = 10_000  # a damaged film may have one a picture
_NS = 1e9
_GET_ANOTHER = "give another file, or encode this one anew"

_log = logging.getLogger(__name__)


class Answers:
    """What comes through `connection` about the file `shown`."""

    def __init__(self, connection: socket.socket, shown: str, room: ReaderLimits) -> None:
        self.connection = connection
        self._shown = shown
        self._room = room
        self._cpu_ns = 0
        self._lines = 0
        self.is_whole = False  # the last request was answered to its end

    def close(self) -> None:
        """Let the reader end."""
        self.connection.close()

    def ask(self, request: Message) -> None:
        """Send a request, and wait until the reader has taken it.

        Raises:
            TransientError, UnreadableMediaError: reader or desk ended before that; this has not to do with the file.
            LipSyncError: as `value`.
        """
        try:
            send(self.connection, request)
            next(self._of(Kind.READY))
        except BrokenWireError as exc:
            raise self.broken() from exc
        except OSError as exc:
            raise self._killed() from exc

    def value(self) -> bytes:
        """The one value.

        Raises:
            LipSyncError: the function's own error, or that of a reader that has ended.
        """
        for message in self._of(Kind.VALUE):
            return message.payload
        raise self.broken()

    def items(self) -> Iterator[bytes]:
        """Each item; raises as `value`."""
        return (message.payload for message in self._of(Kind.ITEM))

    def take(self, number: int) -> None:
        """Let the reader send one more item. The number says which room the last one has left, if that matters."""
        try:
            self.connection.sendall(bytes((number,)))
        except BlockingIOError as exc:  # no reader leaves so much unread
            raise self.broken() from exc
        except OSError:
            _log.debug("%s: the reader has sent its last item and ended", self._shown)

    def _of(self, wanted: Kind) -> Iterator[Message]:
        self.is_whole = False
        while True:
            message = self._next()
            if message.kind is wanted:
                self.is_whole = wanted is Kind.VALUE
                yield message
            elif message.kind is Kind.END:
                self.is_whole = True
                usage.add_memory(unpacked(message.payload, int))
                return
            elif message.kind is Kind.FAILURE:
                raise self._error(unpacked(message.payload, Failure))
            elif message.kind is Kind.EXIT:
                raise self._ended(unpacked(message.payload, int))
            elif message.kind is Kind.LOG:
                self._lines += 1
                if self._lines <= _MOST_LINES:
                    _relay(unpacked(message.payload, LogLine))
            else:
                raise self.broken()

    def _next(self) -> Message:
        try:
            message = receive(self.connection)
        except BlockingIOError as exc:
            waited_s = self._room.wait_s
            raise TimeLimitError(f"{self._shown}: nothing was read for {waited_s:g} s", _GET_ANOTHER) from exc
        except BrokenWireError as exc:
            raise self.broken() from exc
        except (EndedWireError, OSError) as exc:  # a reader's own end is told by the desk, so that has ended, too
            raise self._killed() from exc
        used_ns = max(0, message.cpu_ns - self._cpu_ns)
        self._cpu_ns += used_ns
        usage.add_cpu(used_ns / _NS)
        return message

    def _error(self, failure: Failure) -> LipSyncError:
        if not failure.name:
            traced = [one_line(line) for line in failure.message.strip().splitlines()] or [""]
            _log.error("a reader of %s failed: %s", self._shown, "\n".join(traced))
            return LipSyncError(f"{self._shown} cannot be read: {traced[-1]}")
        return error_of(failure)

    def _ended(self, status: int) -> LipSyncError:
        """The error of a reader whose process has ended before its answer."""
        if status == -signal.SIGXCPU:
            cpu_s = self._room.cpu_s
            return CpuLimitError(f"{self._shown} takes more than {cpu_s} s of a processor to be read", _GET_ANOTHER)
        if status == -signal.SIGPROF:
            cpu_s = limits().max_opening_cpu_s
            return CpuLimitError(f"{self._shown} takes more than {cpu_s} s of a processor to be opened", _GET_ANOTHER)
        if status == -signal.SIGKILL:
            return self._killed()
        names = {number.value: number.name for number in signal.Signals}
        how = names.get(-status, f"exit status {status}")
        return UnreadableMediaError(f"{self._shown} ended the process that read it ({how})", _GET_ANOTHER)

    def _killed(self) -> LipSyncError:
        return TransientError(f"the process that read {self._shown} was killed", "try again; is there memory?")

    def broken(self) -> LipSyncError:
        """The error of a reader that says what none says."""
        return UnreadableMediaError(f"{self._shown} made its reader say what no reader says", _GET_ANOTHER)


def _relay(line: LogLine) -> None:
    """Log a reader's line here, if it is from a logger of this package."""
    # Of loggers that there are: a name would stay here for good.
    if line.logger.split(".")[0] == _OUR_LOGGERS and line.logger in logging.Logger.manager.loggerDict:
        logging.getLogger(line.logger).log(line.level, "%s", one_line(line.text))
