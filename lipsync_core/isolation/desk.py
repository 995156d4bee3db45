"""The desk of the reading room: a process that forks a reader for each request, and does nothing else.

It is forked early, while the process that asks has few threads and no secrets of a job. It has one thread itself, so
its own forks are safe. It ends a reader whose asker has gone away, and itself when its own asker ends.
"""

import ctypes
import gc
import logging
import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from lipsync_core.isolation.confinement import module_folders
from lipsync_core.isolation.wire import Kind, Message, encoded, packed

#: Reads one request from a connection, and writes the answer to it; the descriptor is that of memory for pictures.
Read = Callable[[socket.socket, int | None], None]
_LEFT_TO_THE_ASKER = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MOST_DESCRIPTORS = 2
_PR_SET_PDEATHSIG = 1
_DESCRIPTORS, _NAME = Path("/proc/self/fd"), Path("/proc/self/comm")
_DESK_NAME, _READER_NAME = "lipsync-desk", "lipsync-reader"


class Desk:
    """Serves the requests that come through `requests`: each brings a connection, and memory for pictures or none."""

    def __init__(self, requests: socket.socket, read: Read) -> None:
        self._requests = requests
        self._read = read
        self._readers: dict[int, tuple[int, socket.socket]] = {}  # a connection's descriptor -> its reader's process
        self._last_words: dict[int, tuple[socket.socket, bytes]] = {}  # for askers that have not read all before
        self._wakeup = socket.socketpair()
        self._poll = select.poll()

    def serve(self) -> None:
        """Fork readers until the asker is gone; then end those that are left."""
        for number in _LEFT_TO_THE_ASKER:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wakeup[1].setblocking(False)
        signal.set_wakeup_fd(self._wakeup[1].fileno(), warn_on_full_buffer=False)
        self._poll.register(self._requests, select.POLLIN)
        self._poll.register(self._wakeup[0], select.POLLIN)
        while self._turn():
            continue
        for process, _ in self._readers.values():
            os.kill(process, signal.SIGKILL)

    def _turn(self) -> bool:
        """Wait for something to do, and do it; False when no more requests will come."""
        ready = {descriptor for descriptor, _ in self._poll.poll()}
        # First the connections: below, one of their descriptors may be closed and become that of another reader.
        for descriptor in ready & self._last_words.keys():
            self._say_last(*self._last_words.pop(descriptor))
        for descriptor in ready & self._readers.keys():  # its asker has closed the other end
            self._poll.unregister(descriptor)
            os.kill(self._readers[descriptor][0], signal.SIGKILL)
        if self._wakeup[0].fileno() in ready:
            self._wakeup[0].recv(4096)
            self._reap()
        return self._requests.fileno() not in ready or self._take_request()

    def _take_request(self) -> bool:
        """Fork a reader for the next request; False where the asker is gone."""
        request, descriptors, _, _ = socket.recv_fds(self._requests, 1, _MOST_DESCRIPTORS)
        if not request:
            return False
        connection = socket.socket(fileno=descriptors[0])
        memory = descriptors[1] if len(descriptors) > 1 else None
        desk = os.getpid()
        try:
            process = os.fork()
        except OSError:  # no memory, or no room for one more process
            self._say_last(connection, _exited(-signal.SIGKILL))
            process = None
        if process == 0:
            self._become_reader(desk, connection, memory)
        if memory is not None:
            os.close(memory)
        if process is None:
            return True
        self._readers[connection.fileno()] = (process, connection)
        self._poll.register(connection, 0)  # for its end alone: what comes through it is the reader's
        return True

    def _become_reader(self, desk: int, connection: socket.socket, memory: int | None) -> NoReturn:
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != desk:
                os._exit(1)
            _NAME.write_text(_READER_NAME)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for _, other in self._readers.values():
                other.close()
            for waiting, _ in self._last_words.values():
                waiting.close()
            for end in (self._requests, *self._wakeup):
                end.close()
            self._read(connection, memory)
        finally:
            os._exit(0)  # whatever there was to say was said through the connection

    def _reap(self) -> None:
        for descriptor, (process, connection) in list(self._readers.items()):
            ended, status = os.waitpid(process, os.WNOHANG)
            if not ended:
                continue
            del self._readers[descriptor]
            with suppress(KeyError):
                self._poll.unregister(descriptor)
            self._say_last(connection, _exited(os.waitstatus_to_exitcode(status)))

    def _say_last(self, connection: socket.socket, words: bytes) -> None:
        """Tell the asker how its reader has ended, at once or when it has read what came before."""
        with suppress(KeyError):
            self._poll.unregister(connection)
        connection.setblocking(False)
        try:
            words = words[connection.send(words) :]
        except BlockingIOError:
            pass
        except OSError:  # the asker has gone, or has read the answer and left
            words = b""
        if words:
            self._last_words[connection.fileno()] = (connection, words)
            self._poll.register(connection, select.POLLOUT)
        else:
            connection.close()


def _exited(status: int) -> bytes:
    return encoded(Message(Kind.EXIT, 0, packed(status)))


def _leave_logs_to_the_root() -> None:
    """Have each logger pass its lines on to the root, whose handler a reader sets."""
    for name in list(logging.Logger.manager.loggerDict):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def become_desk(requests: socket.socket, read: Read) -> NoReturn:
    """Be the desk in a process that was forked for it. Keep no descriptor of the asker but `requests`."""
    try:
        _NAME.write_text(_DESK_NAME)  # a run's own name is looked for
        kept = requests.fileno()
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(nothing, standard)
        for each in (int(entry.name) for entry in list(_DESCRIPTORS.iterdir())):
            if each > 2 and each != kept:
                with suppress(OSError):  # the one with which they were listed
                    os.close(each)
        # Done once, for all readers, which would each copy some MB of pages.
        module_folders()
        _leave_logs_to_the_root()
        gc.freeze()  # a reader's garbage collector would touch, and thereby copy, every page
        Desk(requests, read).serve()
    finally:
        os._exit(0)
