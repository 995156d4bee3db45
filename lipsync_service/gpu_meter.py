"""Load and memory of the GPU during a stage, read from its driver through NVML where both are installed.

NVML makes no CUDA context. Only the launcher forks, and it runs no stage, so no process forks with a GPU context.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

DRIVER_FILES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))  # of Linux, of Linux on Windows
_EVERY_S = 0.2  # the driver itself looks 1 to 6 times a second
_STOP_LIMIT_S = 1.0  # for a driver that answers no more

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One reading of a GPU. A value is None where the driver gives none, as for a part of a divided GPU (MIG)."""

    utilisation: float | None  # 0..1, the share of the driver's last sampling period in which it worked
    memory_bytes: int | None  # in use by all processes


ReadGpu = Callable[[], GpuSample]


class GpuUse:
    """The sum of a stage's samples."""

    def __init__(self) -> None:
        self._utilisations: list[float] = []
        self._memory_bytes: list[int] = []

    def add(self, sample: GpuSample) -> None:
        """Take one more sample into account."""
        if sample.utilisation is not None:
            self._utilisations.append(sample.utilisation)
        if sample.memory_bytes is not None:
            self._memory_bytes.append(sample.memory_bytes)

    @property
    def mean_utilisation(self) -> float | None:
        """0..1; None where no sample had it."""
        return sum(self._utilisations) / len(self._utilisations) if self._utilisations else None

    @property
    def peak_memory_bytes(self) -> int | None:
        """The largest sample; None where no sample had it."""
        return max(self._memory_bytes, default=None)


@contextmanager
def gpu_watched(read: ReadGpu | None, use: GpuUse, every_s: float = _EVERY_S) -> Iterator[None]:
    """Add samples to `use`, in a thread, while the block runs, and one as it ends; without `read` do nothing."""
    if read is None:
        yield
        return
    stopped = Event()
    sampler = Thread(target=_sample, args=(read, use, stopped, every_s), name="gpu-meter", daemon=True)
    sampler.start()
    try:
        yield
    finally:
        stopped.set()
        sampler.join(_STOP_LIMIT_S)


def open_gpu(visible_gpus: str = "0") -> ReadGpu | None:
    """A reader of this process's GPU; None without a driver, its package (extra `gpu`) or a GPU that CUDA may use.

    `visible_gpus` is the value of CUDA_VISIBLE_DEVICES. It never raises: a missing measurement must not fail a job.
    """
    if not any(path.exists() for path in DRIVER_FILES):
        return None
    try:
        import pynvml
    except ImportError:
        _logger.info("the use of the GPU is not measured without nvidia-ml-py: pip install 'lipsync[gpu]'")
        return None
    try:
        pynvml.nvmlInit()
        handle = _handle(pynvml, visible_gpus)
    except pynvml.NVMLError as error:
        _logger.warning("the use of the GPU is not measured: %s", error)
        return None
    return None if handle is None else lambda: _look(pynvml, handle)


def _sample(read: ReadGpu, use: GpuUse, stopped: Event, every_s: float) -> None:
    while not stopped.wait(every_s):
        use.add(read())
    use.add(read())


def _handle(nvml: Any, visible: str) -> Any:
    """The first GPU of CUDA_VISIBLE_DEVICES, which holds numbers or names such as GPU-… and MIG-…; None for none."""
    first = visible.split(",")[0].strip()
    if first.isdecimal():
        return nvml.nvmlDeviceGetHandleByIndex(int(first))
    return nvml.nvmlDeviceGetHandleByUUID(first) if first.startswith(("GPU-", "MIG-")) else None


def _look(nvml: Any, handle: Any) -> GpuSample:
    return GpuSample(
        _told(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100.0),
        _told(nvml, lambda: int(nvml.nvmlDeviceGetMemoryInfo(handle).used)),
    )


def _told(nvml: Any, ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except nvml.NVMLError:
        return None
