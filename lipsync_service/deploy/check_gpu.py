"""Fails the build of a GPU image that would work on the CPU: `python -m lipsync_service.deploy.check_gpu`.

A build has no GPU. So the check is that only the GPU build of ONNX Runtime is installed, and that every library which
its CUDA provider needs is in the image. The driver's own library comes with the machine.
"""

import ctypes
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lipsync_core.packages import is_installed

_DRIVER_LIBRARIES = ("libcuda.so.1",)
# The provider opens these at the first session, so ldd does not list them; the names follow the wheel's own extras.
_OPENED_LATE = ("libcudnn.so.9", "libcufft.so.12")
_PROVIDER = "capi/libonnxruntime_providers_cuda.so"


def problems() -> Iterator[str]:
    """The faults of this image that keep jobs from the GPU, one line each."""
    yield from package_problems({name for name in ("onnxruntime", "onnxruntime-gpu") if is_installed(name)})
    spec = importlib.util.find_spec("onnxruntime")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    provider = next((Path(folder, _PROVIDER) for folder in folders if Path(folder, _PROVIDER).is_file()), None)
    if provider is None:
        yield f"onnxruntime has no {_PROVIDER}: this is not the GPU build, or another build overwrote it"
        return
    # ldd runs no code of the library; it asks the loader for the files that it would load.
    listing = subprocess.run(["/usr/bin/ldd", str(provider)], capture_output=True, check=True, text=True).stdout  # noqa: S603
    yield from library_problems(listing)
    for name in _OPENED_LATE:
        try:
            ctypes.CDLL(name)
        except OSError as exc:
            yield f"{exc}: the base is of another CUDA or cuDNN version"


def package_problems(installed: set[str]) -> Iterator[str]:
    """The faults of the installed packages, of onnxruntime and onnxruntime-gpu."""
    if "onnxruntime-gpu" not in installed:
        yield "onnxruntime-gpu is not installed"
    if "onnxruntime" in installed:
        yield "onnxruntime is installed, and overwrites files of onnxruntime-gpu: find the package that requires it"


def library_problems(listing: str) -> Iterator[str]:
    """The libraries that are missing in ldd's `listing` of the CUDA provider, one line each."""
    for line in listing.splitlines():
        name, _, where = line.strip().partition(" => ")
        if where == "not found" and name not in _DRIVER_LIBRARIES and not name.startswith("libonnxruntime"):
            yield f"{name} is not in the image: the base is of another CUDA or cuDNN version"


if __name__ == "__main__":
    sys.exit("\n".join(f"error: {problem}" for problem in problems()) or None)
