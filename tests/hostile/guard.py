"""Runs the command in a child process of its own, with limits that only a fault of the product reaches.

`python -m tests.hostile.guard` imports the product once and forks a child for each line on its standard input: a JSON
object of `Order`'s fields. It answers with one of `Outcome`'s.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.shared_files import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

CPU_S, WALL_S = 60, 120
MORE_BYTES = 900 << 20  # of addresses, beside those of the imported product


@dataclass(frozen=True, slots=True)
class Order:
    """What a child is to do: the command with these arguments, or a function of a module on them."""

    arguments: Sequence[str]
    folder: str
    call: str = ""  # "module:function"
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended."""

    status: int  # its exit status; minus a signal's number
    out: str
    err: str
    peak_bytes: int  # of memory, beside that of the imported product


class Guard:
    """The process that forks the children; a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.guard"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe(self._process.stdin).close()
        self._process.wait(timeout=30)
        self._pipe(self._process.stdout).close()

    def run(self, arguments: Sequence[str], folder: Path, call: str = "", **variables: str) -> Outcome:
        order = Order(list(arguments), str(folder), call, variables)
        pipe = self._pipe(self._process.stdin)
        pipe.write(json.dumps(asdict(order)) + "\n")
        pipe.flush()
        return Outcome(**json.loads(self._pipe(self._process.stdout).readline()))

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


@contextmanager
def output_files() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        yield out, err


def forked(order: Order) -> Outcome:
    """Fork a child for `order`, wait until it ends, and kill it where it does not."""
    before = memory_bytes("VmRSS")
    with output_files() as (out, err):
        child = os.fork()
        if child == 0:
            serve(order, out.fileno(), err.fileno())
        status, peak_bytes = ended(child)
        out.seek(0), err.seek(0)
        texts = [each.read(1 << 20).decode(errors="replace") for each in (out, err)]
        return Outcome(os.waitstatus_to_exitcode(status), texts[0], texts[1], peak_bytes - before)


def ended(child: int) -> tuple[int, int]:
    """The status of a child that has ended, and its peak of memory."""
    deadline = time.monotonic() + WALL_S
    while True:
        pid, status, used = os.wait4(child, os.WNOHANG)
        if pid:
            return status, used.ru_maxrss * 1024
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)


def serve(order: Order, out: int, err: int) -> None:
    """Do the order in this child and end it."""
    status = 99
    try:
        os.dup2(out, 1), os.dup2(err, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        addresses = memory_bytes("VmSize") + MORE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (addresses, addresses))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
        os.environ.update(order.variables)
        os.chdir(order.folder)
        status = done(order)
        sys.stdout.flush(), sys.stderr.flush()
    except BaseException:
        traceback.print_exc(file=sys.stderr)
        sys.stderr.flush()
    finally:
        os._exit(status)


def done(order: Order) -> int:
    if order.call:
        module, _, name = order.call.partition(":")
        return int(getattr(sys.modules[module], name)(*order.arguments))
    from lipsync_cli.main import main

    sys.argv = ["lipsync", *order.arguments]
    return main()


def memory_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


def main() -> None:
    import lipsync_cli.ledger
    import lipsync_cli.main
    import lipsync_cli.progress
    import lipsync_cli.render  # noqa: F401 - the children have it
    import lipsync_core.catalogue
    import lipsync_core.isolation.room
    import lipsync_core.pipeline  # noqa: F401 - the children have it
    import tests.hostile.faulty
    import tests.hostile.fuzzing  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        answers.write(json.dumps(asdict(forked(Order(**json.loads(line))))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
