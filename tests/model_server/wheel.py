"""The `tritonserver` of the wheel nvidia-pytriton, in `.venv-triton`; `make triton` puts it there.

The wheel needs an older numpy than the product, so it has a virtual environment of its own. The server in it knows the
Python backend only: a model is a folder with a `model.py`, which a process of its own ("stub") runs for the server.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.shared_files import ROOT

_VENV = ROOT / ".venv-triton"
_REMEDY = "make triton installs it"
#: Run by the interpreter of that environment, because it need not be the one that runs the tests.
_ASK = (
    "import json, sys, sysconfig;"
    " version, packages = '%d.%d' % sys.version_info[:2], sysconfig.get_path('purelib');"
    " print(json.dumps([version, packages, sysconfig.get_config_var('LIBDIR')]))"
)


@dataclass(frozen=True, slots=True)
class Wheel:
    """The places of the server's parts."""

    packages: Path  # site-packages of the environment
    version: str  # of the interpreter, such as "3.11"
    libraries: Path  # of the interpreter

    @property
    def program(self) -> Path:
        """The server."""
        return self._parts / "bin" / "tritonserver"

    @property
    def stub(self) -> Path:
        """The program that runs a `model.py`."""
        return self._parts / "python_backend_stubs" / self.version / "triton_python_backend_stub"

    @property
    def _parts(self) -> Path:
        return self.packages / "pytriton" / "tritonserver"

    def environment(self) -> dict[str, str]:
        """The environment of the server and its stubs."""
        libraries = (self.libraries, self.packages / "nvidia_pytriton.libs")
        return {
            **os.environ,
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),  # the stub is linked to libpython
            "PATH": os.pathsep.join([str(_VENV / "bin"), *os.get_exec_path()]),  # where the stub looks for its Python
        }

    def backends(self, folder: Path) -> Path:
        """Make the folder of backends in `folder`: the Python backend with the stub for this interpreter."""
        backend = folder / "python"
        shutil.copytree(self._parts / "backends" / "python", backend, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(self.stub, backend)
        return folder

    def missing_libraries(self) -> list[str]:
        """The lines of `ldd` about libraries that server or stub lack on this machine."""
        command = ["ldd", str(self.program), str(self.stub)]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=30)
        return [line.strip() for line in (done.stdout + done.stderr).splitlines() if "not found" in line]


@cache
def found_wheel() -> Wheel | str:
    """The wheel, ready to start; or the reason why it cannot be used."""
    python = _VENV / "bin" / "python"
    if not python.exists():
        return f"Triton's server is not installed: {_REMEDY}"
    done = subprocess.run([str(python), "-c", _ASK], capture_output=True, text=True, timeout=30)
    if done.returncode:
        return f"{_VENV.name} is broken: {_REMEDY}"
    version, packages, libraries = json.loads(done.stdout)
    wheel = Wheel(Path(packages), version, Path(libraries))
    if not wheel.program.exists():
        return f"Triton's server is not in {_VENV.name}: {_REMEDY}"
    if not wheel.stub.exists():
        return f"Triton's server has no stub for Python {wheel.version}"
    missing = wheel.missing_libraries()
    return f"Triton's server does not start here: {missing[0]}" if missing else wheel


def _reason() -> str:
    found = found_wheel()
    return found if isinstance(found, str) else ""


needs_triton = pytest.mark.skipif(bool(_reason()), reason=_reason() or "Triton's server is installed")
