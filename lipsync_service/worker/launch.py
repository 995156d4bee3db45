"""The command of a flow run's process: asks the launcher to fork one that has everything imported, and stands for it.

Prefect's worker starts, watches, signals and ends this process as any other. It passes signals on, ends as its double
ends, and where there is no launcher becomes the engine itself. It runs as `python -I -S`, which takes 15 ms; so it
imports nothing outside the standard library.
"""

import json
import os
import select
import signal
import socket
import struct
import sys
from pathlib import Path

ADDRESS = "LIPSYNC_LAUNCHER"  # the path of the launcher's socket
SOURCE = "LIPSYNC_SOURCE"  # the folder of the packages `flows` and `tasks`, which are deployed and not installed
LENGTH = struct.Struct("!I")
STATUS = struct.Struct("!i")


def connect(path: Path) -> socket.socket:
    """A connection to the launcher at `path`, however long: the system takes 107 bytes, so it is named from its folder.

    Raises:
        OSError: nobody listens there.
    """
    connection = socket.socket(socket.AF_UNIX)
    folder = Path.cwd()
    try:
        os.chdir(path.parent)
        connection.connect(path.name)
    except OSError:
        connection.close()
        raise
    finally:
        os.chdir(folder)
    return connection


def ask(connection: socket.socket) -> None:
    """Say what this process is: its environment, its folder, its outputs."""
    request = json.dumps({"environment": dict(os.environ), "folder": str(Path.cwd())}).encode()
    socket.send_fds(connection, [LENGTH.pack(len(request))], [1, 2])
    connection.sendall(request)


def stand_for_double(connection: socket.socket) -> int:
    """Pass signals on until the double ends; returns its exit status, negative for a signal."""
    # Written as they come, by the interpreter itself: a handler in Python would wait for the end of what blocks, where
    # the signal came just before it.
    connection.setblocking(False)
    signal.set_wakeup_fd(connection.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    select.select([connection], [], [])
    try:
        answer = connection.recv(STATUS.size)
    except OSError:  # a launcher that died with a signal unread
        answer = b""
    if len(answer) < STATUS.size:
        return -signal.SIGKILL  # the launcher is gone, and its children with it
    return int(STATUS.unpack(answer)[0])


def main() -> None:
    """Never returns normally."""
    try:
        connection = connect(Path(os.environ[ADDRESS]))
        ask(connection)
    except (KeyError, OSError):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.environ.get(SOURCE), os.environ.get("PYTHONPATH"))))
        os.execv(sys.executable, [sys.executable, "-m", "prefect.engine"])  # noqa: S606 - the very command it replaces
    status = stand_for_double(connection)
    if status < 0:  # end the same way, so that Prefect sees what happened
        signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main()
