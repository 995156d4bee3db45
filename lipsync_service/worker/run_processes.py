"""The processes of runs on this host: a forked run has its run's id as its name, so `ps` and its worker know it.

Prefect's worker knows only the command that stands in for the forked run (`lipsync_service/worker/launch.py`).
"""

import os
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

_PROC: Final = Path("/proc")
_NAME_CHARS: Final = 15  # of a process's name on Linux: 60 bits of the id
_STOPPED: Final = frozenset("TtZX")  # proc(5)
_GONE = (FileNotFoundError, ProcessLookupError)


def name_process(run_id: UUID) -> None:
    """Name this process after the run."""
    (_PROC / "self" / "comm").write_text(_name(run_id))


def process_of(run_id: UUID) -> int | None:
    """The process of the run on this host; None where it has none, or another user's."""
    return _pids([run_id]).get(run_id)


def end_process(run_id: UUID) -> bool:
    """Kill the run's process; returns whether there was one."""
    pid = process_of(run_id)
    with suppress(ProcessLookupError):
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def processes_below(pid: int) -> Iterator[int]:
    """The children of a process, and theirs."""
    with suppress(*_GONE):
        for thread in (_PROC / str(pid) / "task").iterdir():
            for child in map(int, (thread / "children").read_text(encoding="ascii").split()):
                yield child
                yield from processes_below(child)


class WorkSeen:
    """Tells from the outside which runs are at work: no part of the run itself has to get a processor for it."""

    def __init__(self) -> None:
        self._ticks: dict[UUID, int] = {}  # the CPU time of each at the last look

    def at_work(self, run_ids: Collection[UUID]) -> set[UUID]:
        """The runs that have used a processor since the last look, or wait for one; not those that were stopped."""
        looks = {run_id: _look(pid) for run_id, pid in _pids(run_ids).items()}
        found = {run_id: look for run_id, look in looks.items() if look is not None}
        before, self._ticks = self._ticks, {run_id: look.ticks for run_id, look in found.items()}
        return {
            run_id
            for run_id, look in found.items()
            if not look.is_stopped and (look.is_runnable or look.ticks > before.get(run_id, 0))
        }


@dataclass(frozen=True, slots=True)
class _Look:
    """A process at one moment."""

    ticks: int  # of CPU time, of all its threads and of the readers below it
    is_runnable: bool  # one of its threads runs, or waits for a processor
    is_stopped: bool  # by a signal, or dead


def _look(pid: int) -> _Look | None:
    """The process at this moment; None where it has ended."""
    try:
        state, ticks = _stat(_PROC / str(pid) / "stat")
        for each in processes_below(pid):  # it waits while they read its inputs
            with suppress(*_GONE):
                ticks += _stat(_PROC / str(each) / "stat")[1]
        states = [_stat(path / "stat")[0] for path in (_PROC / str(pid) / "task").iterdir()]
    except _GONE:
        return None
    return _Look(ticks, "R" in states, state in _STOPPED)


def _stat(path: Path) -> tuple[str, int]:
    """State, and ticks in user and kernel mode, those of children that have ended too: proc(5), fields 3, 14 to 17."""
    fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return fields[0], sum(map(int, fields[11:15]))


def _pids(run_ids: Collection[UUID]) -> dict[UUID, int]:
    names = {_name(run_id): run_id for run_id in run_ids}
    return {names[name]: pid for pid, name in _named() if name in names}


def _named() -> Iterator[tuple[int, str]]:
    """This user's processes, with their names."""
    for path in _PROC.glob("[0-9]*"):
        with suppress(*_GONE):
            if path.stat().st_uid == os.getuid():
                yield int(path.name), (path / "comm").read_text(encoding="utf-8", errors="replace").rstrip("\n")


def _name(run_id: UUID) -> str:
    return run_id.hex[:_NAME_CHARS]
