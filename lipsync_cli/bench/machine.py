"""The machine: its hardware, and the CPU seconds of all programs together."""

import os
import platform
from pathlib import Path

import psutil

from lipsync_cli.bench.figures import Hardware


def hardware() -> Hardware:
    """The facts of this machine."""
    return Hardware(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        gpu=_gpu(),
    )


def busy_cpu_s() -> float:
    """CPU seconds of all programs and of the kernel since the machine began."""
    times = psutil.cpu_times()
    return float(sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq")))


def _processor() -> str:
    """The name that Linux gives it; a virtual machine may have none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpu() -> str | None:
    """The name and the memory of the first GPU."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        name, memory = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlDeviceGetMemoryInfo(handle).total
    except pynvml.NVMLError:
        return None
    return f"{name}, {memory / 1e9:.0f} GB"
