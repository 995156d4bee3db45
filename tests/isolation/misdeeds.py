"""What a reader that a file has taken over would try. Each function runs in a reader, which finds it by its name."""

import ctypes
import fcntl
import logging
import mmap
import os
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from lipsync_core.apart import read_apart, streamed_apart
from lipsync_core.errors import NoVideoError
from lipsync_core.isolation.wire import Kind, Message, packed, send
from lipsync_core.limits import limits
from lipsync_core.media.opening_room import opening_room

_TEMPORARY = Path(tempfile.gettempdir())


def outcome(name: str) -> str:
    """The name of the error with which doing `name` ends, or "done"."""
    try:
        _DEEDS[name]()
    except OSError as exc:
        return type(exc).__name__
    return "done"


@read_apart
def tried(path: Path, name: str, _secret: str) -> str:
    """Do `name`; `path` is the file that the reader may read."""
    assert path.read_bytes()
    return outcome(name)


@read_apart
def read_text(path: Path, other: str) -> str:
    """What a file holds that the reader was not given."""
    try:
        return Path(other).read_text()
    except OSError as exc:
        return type(exc).__name__


@read_apart
def fill_memory(path: Path, mib: int) -> int:
    """Take memory, and write to it."""
    del path
    return len(b"x" * (mib << 20))


@read_apart
def spin(path: Path) -> int:
    """Never end."""
    del path
    while True:
        pass


@read_apart
def open_for_long(path: Path, opening_s: float, reading_s: float) -> str:
    """Use so much processor time while the file is opened, and afterwards."""
    del path
    with opening_room(limits()):
        _use_processor(opening_s)
    _use_processor(reading_s)
    return "done"


def _use_processor(seconds: float) -> None:
    end_s = time.process_time() + seconds
    while time.process_time() < end_s:
        pass


@read_apart
def sleep(path: Path, seconds: float) -> float:
    """Do nothing for long."""
    del path
    time.sleep(seconds)
    return seconds


@read_apart
def crash(path: Path, number: int) -> int:
    """End by a signal, as a fault in a library does."""
    del path
    if number == signal.SIGSEGV:
        ctypes.string_at(0)
    os.abort()


@read_apart
def fail(path: Path) -> int:
    """Raise one of the product's errors."""
    raise NoVideoError(f"{path} holds no video", "give a video")


@read_apart
def stumble(path: Path) -> int:
    """Raise what nobody foresaw."""
    return {}[str(path)]


@read_apart
def lie(path: Path) -> int:
    """Return what the annotation does not promise."""
    return f"no number of {path}"  # type: ignore[return-value]


@read_apart
def forge(path: Path) -> int:
    """Say more than one line, and what moves the cursor of a terminal."""
    logging.getLogger("lipsync_core.media").warning("one\ntwo")
    del path
    raise NoVideoError("no video\nlipsync: error FORGED: by a file \x1b[2J", "give one")


@read_apart
def end_at_once(path: Path) -> int:
    """Say that all items were sent, where one value is asked for, in the place of an answer."""
    connection = socket.socket(fileno=_connection_of(path))
    send(connection, Message(Kind.END, 0, packed(0)))
    os._exit(0)


def _connection_of(_: Path) -> int:
    """The descriptor of the reader's connection: the one socket that it has."""
    return next(each for each in range(3, 64) if _is_socket(each))


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False


@read_apart
def log(path: Path) -> int:
    """Write two lines to the log."""
    logging.getLogger("lipsync_core.media").warning("looked at %s", path.name)
    logging.getLogger("prefect").warning("a line of somebody else")
    return 0


@read_apart
def process_of(path: Path) -> int:
    """The reader's process."""
    del path
    return os.getpid()


@streamed_apart
def count(path: Path, most: int, clock: object = None) -> Iterator[int]:
    """Numbers, the first of which is the reader's process."""
    del path, clock
    yield os.getpid()
    yield from range(most)


@streamed_apart
def stop_after(path: Path, items: int) -> Iterator[int]:
    """Numbers, and then an error."""
    yield from range(items)
    raise NoVideoError(f"{path} ends early")


@streamed_apart
def crash_after(path: Path, items: int, size_bytes: int) -> Iterator[bytes]:
    """Yield so much, and end by a signal."""
    del path
    for _ in range(items):
        yield b"x" * size_bytes
    os.abort()


@streamed_apart
def flood(path: Path) -> Iterator[int]:
    """Send items without end, and read nothing."""
    connection = socket.socket(fileno=_connection_of(path))
    while True:
        send(connection, Message(Kind.ITEM, 0, packed(1)))
    yield 1


_held: list[mmap.mmap] = []


@read_apart
def hold(path: Path, mib: int) -> int:
    """Keep so much memory after the answer; returns the process."""
    del path
    _held.append(mmap.mmap(-1, mib << 20))  # a copy of a large process may have as much free in its heap
    return os.getpid()


@streamed_apart
def work(path: Path, cpu_s: float) -> Iterator[int]:
    """Use so much of a processor, then yield."""
    del path
    until_s = time.process_time() + cpu_s
    while time.process_time() < until_s:
        pass
    yield 1


def _connect() -> None:
    socket.create_connection(("127.0.0.1", 9), timeout=1).close()


def _use_unix_socket() -> None:
    socket.socket(socket.AF_UNIX).close()


def _run_program() -> None:
    subprocess.run(["true"], check=True)


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _write_new_file() -> None:
    (_TEMPORARY / "written-by-a-reader").write_text("here")


def _write_old_file() -> None:
    with Path(__file__).open("a"):
        pass


def _remove_file() -> None:
    Path(__file__).unlink()


def _list_folder() -> None:
    list(_TEMPORARY.iterdir())


def _signal_parent() -> None:
    os.kill(os.getppid(), signal.SIGCONT)


def _signal_init() -> None:
    os.kill(1, 0)


def _have_the_kernel_signal(command: int) -> None:
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(reading, command, os.getppid())
    finally:
        os.close(reading)
        os.close(writing)


def _have_ioctl_signal() -> None:
    reading, writing = os.pipe()
    try:
        fcntl.ioctl(reading, 0x8901, struct.pack("i", os.getppid()))  # FIOSETOWN
    finally:
        os.close(reading)
        os.close(writing)


def _outlive_the_desk() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(1, 0, 0, 0, 0):  # PR_SET_PDEATHSIG
        raise OSError(ctypes.get_errno(), "prctl")


def _slow_parent() -> None:
    os.setpriority(os.PRIO_PROCESS, os.getppid(), os.getpriority(os.PRIO_PROCESS, os.getppid()))


def _move_parent() -> None:
    os.sched_setaffinity(os.getppid(), os.sched_getaffinity(os.getppid()))


def _schedule_parent() -> None:
    os.sched_setscheduler(os.getppid(), os.SCHED_OTHER, os.sched_param(0))


def _trace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, os.getppid(), None, None):  # PTRACE_ATTACH
        raise OSError(ctypes.get_errno(), "ptrace")


def _raise_limits() -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (hard + 1, hard + 1))
    except ValueError as exc:
        raise PermissionError(str(exc)) from exc


def _change_owner() -> None:
    Path(__file__).chmod(0o777)


_DEEDS = {
    "connect": _connect,
    "unix socket": _use_unix_socket,
    "program": _run_program,
    "fork": _fork,
    "new file": _write_new_file,
    "old file": _write_old_file,
    "remove": _remove_file,
    "folder": _list_folder,
    "signal parent": _signal_parent,
    "signal init": _signal_init,
    "signal by owner": partial(_have_the_kernel_signal, fcntl.F_SETOWN),
    "signal by number": partial(_have_the_kernel_signal, fcntl.F_SETSIG),
    "signal by ioctl": _have_ioctl_signal,
    "outlive": _outlive_the_desk,
    "group": os.setsid,
    "slow parent": _slow_parent,
    "move parent": _move_parent,
    "schedule parent": _schedule_parent,
    "trace": _trace,
    "limits": _raise_limits,
    "mode": _change_owner,
}
DEEDS = tuple(_DEEDS)
