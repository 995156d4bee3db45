"""Measures the memory of the processes that work on a job of the service, and the networks' runtimes in them.

The launcher forks one process for each flow run, so its children are the runs: first the job itself on the CPU pool,
then its part on the GPU pool. The figures come from Linux (proc(5)).
"""

import json
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_PERIOD_S: Final = 0.1
_KIB: Final = 1024
_POOLS: Final = ("cpu pool", "gpu pool", "gpu pool again")
#: Parts of the names of mapped files that tell which runtime, or which network, a process has open.
_RUNTIMES: Final = {"onnxruntime": "onnxruntime", "ai_edge_litert": "litert", "libtorch": "torch"}
_NETWORKS: Final = (".tflite", ".onnx")


@dataclass(slots=True)
class ProcessMemory:
    """The peak memory of one process. Pages shared with the launcher count, in `proportional_bytes` by a part."""

    started: int  # clock ticks since boot
    peak_bytes: int = 0  # resident (VmHWM)
    proportional_bytes: int = 0  # shared pages divided by the number of their processes (Pss)
    own_bytes: int = 0  # pages of this process alone
    mapped: tuple[str, ...] = ()  # runtimes and networks

    def look(self, process: Path) -> None:
        """Take in the present figures; raises OSError if the process has ended."""
        self.peak_bytes = max(self.peak_bytes, _kib(process / "status", "VmHWM"))
        self.proportional_bytes = max(self.proportional_bytes, _kib(process / "smaps_rollup", "Pss"))
        own = _kib(process / "smaps_rollup", "Private_Dirty") + _kib(process / "smaps_rollup", "Private_Clean")
        self.own_bytes = max(self.own_bytes, own)
        self.mapped = tuple(sorted({*self.mapped, *_mapped(process / "maps")}))


class EngineWatch:
    """Looks at all children of a launcher while its block runs."""

    def __init__(self, runs: Path) -> None:
        """`runs` is the folder of the service's process ids."""
        self._launcher = int(json.loads((runs / "launcher.json").read_text())["pid"])
        self._found: dict[int, ProcessMemory] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        while self._children():  # of the job before
            self._stopped.wait(_PERIOD_S)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def by_pool(self) -> dict[str, ProcessMemory]:
        """The processes that were seen, by the pool on which they ran."""
        return dict(zip(_POOLS, sorted(self._found.values(), key=lambda each: each.started), strict=False))

    def _watch(self) -> None:
        while not self._stopped.wait(_PERIOD_S):
            for pid in self._children():
                process = Path(f"/proc/{pid}")
                try:
                    memory = self._found.setdefault(pid, ProcessMemory(_started(process)))
                    memory.look(process)
                except (OSError, ValueError):  # it has just ended
                    continue

    def _children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self._launcher}/task/{self._launcher}/children").read_text().split()]


def _started(process: Path) -> int:
    return int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[19])


def _kib(file: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    return int(found.group(1)) * _KIB if found else 0


def _mapped(maps: Path) -> set[str]:
    paths = {line.split(maxsplit=5)[-1] for line in maps.read_text().splitlines() if "/" in line}
    runtimes = {name for part, name in _RUNTIMES.items() if any(part in path for path in paths)}
    return runtimes | {Path(path).name for path in paths if path.endswith(_NETWORKS)}
