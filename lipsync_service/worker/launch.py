"""The command of a flow run's process: asks the launcher for a forked run, and stands in for it.

The forked run has everything imported already. Prefect's worker sees this process, which it starts, watches, signals
and ends like any other. The command passes signals on and ends with the forked run's exit status; without a launcher it
becomes Prefect's engine itself. It runs as `python -I -S`, which takes 15 ms, so it imports only the standard library.
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
    """A connection to the launcher at `path`.

    A socket's name may have 107 bytes, so a longer path is named relative to its folder.

    Raises:
        OSError: no launcher listens there.
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


def send_request(connection: socket.socket) -> None:
    """Send the launcher this process's environment, working folder and outputs."""
    request = json.dumps({"environment": dict(os.environ), "folder": str(Path.cwd())}).encode()
    socket.send_fds(connection, [LENGTH.pack(len(request))], [1, 2])
    connection.sendall(request)


def wait_for_forked_run(connection: socket.socket) -> int:
    """Pass signals on until the forked run ends; returns its exit status, negative for a signal."""
    # The interpreter itself writes each signal to the connection. A handler in Python would run too late for a signal
    # that comes just before the blocking call.
    connection.setblocking(False)
    signal.set_wakeup_fd(connection.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    select.select([connection], [], [])
    try:
        answer = connection.recv(STATUS.size)
    except OSError:  # the launcher died before it read a signal
        answer = b""
    if len(answer) < STATUS.size:
        return -signal.SIGKILL  # the launcher has died, and its children with it
    return int(STATUS.unpack(answer)[0])


def main() -> None:
    """Run a flow run to its end; never returns normally."""
    try:
        connection = connect(Path(os.environ[ADDRESS]))
        send_request(connection)
    except (KeyError, OSError):
        if not Path(os.environ.get(SOURCE, ""), "flows").is_dir():
            sys.exit(f"lipsync: error BAD_OPTION: {SOURCE} names no folder with the flows")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.environ.get(SOURCE), os.environ.get("PYTHONPATH"))))
        os.execv(sys.executable, [sys.executable, "-m", "prefect.engine"])  # noqa: S606 - the command of Prefect's worker
    status = wait_for_forked_run(connection)
    if status < 0:  # end by the same signal, so that Prefect sees it
        signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main()
