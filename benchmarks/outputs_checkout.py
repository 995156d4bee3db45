"""A checkout of the product, called through its own programs only, so that any two versions are called alike."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Variables that would lead a checkout's programs to other code, other models or another service.
_DROPPED = ("PYTHONPATH", "PYTHONHOME", "LIPSYNC_", "PREFECT_", "XDG_DATA_HOME", "XDG_CACHE_HOME")
_LIMIT_S = 600.0
_EMBEDDED, _NETWORK = ("mediapipe-face", "speech-encoder"), "wav2lip"
#: Writes the golden vectors' seeded weights as a checkpoint; run by the checkout's Python, which has torch.
_WRITE_WEIGHTS = """
import importlib.util, sys
import torch
spec = importlib.util.spec_from_file_location("seeded_weights", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
tensors = {f"module.{name}": torch.from_numpy(array.copy()) for name, array in module.seeded_state_dict().items()}
torch.save({"state_dict": tensors}, sys.argv[2])
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    status: int
    stdout: str
    stderr: str

    def require_success(self) -> "Ended":
        """Return this result; raises RuntimeError if the command failed."""
        if self.status:
            raise RuntimeError(f"status {self.status}\n{self.stdout[-2000:]}{self.stderr[-2000:]}")
        return self


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout with its own virtual environment, `.venv`, and a folder for the files of the measurement.

    It has two homes, each with the models of face and speech, and Wav2Lip from seeded weights: `home` with the network
    as users import it, `whole_home` with all of it, which the compat mode needs.
    """

    root: Path
    work: Path
    first_port: int
    extra: Mapping[str, str] = field(default_factory=dict)  # variables for all programs of the checkout

    @property
    def home(self) -> Path:
        """The models of most jobs; the service finds them here too, as this user's own."""
        return self.work / "data" / "lipsync"

    @property
    def whole_home(self) -> Path:
        """The models of the compat mode."""
        return self.work / "whole"

    @property
    def state(self) -> Path:
        """The folder in which `make up` keeps the data of the service."""
        return self.root / ".lipsync"

    def lipsync(self, *words: str | Path) -> Ended:
        """Run the checkout's `lipsync`, and name folders in its messages in one way for all checkouts."""
        return self._run([self._program("lipsync"), *words])

    def python(self, *words: str | Path) -> Ended:
        """Run the checkout's Python."""
        return self._run([self._program("python"), *words])

    def make(self, target: str) -> Ended:
        """Run `make target` in the checkout."""
        return self._run(["make", "-C", self.root, target]).require_success()

    def require_own_code(self) -> None:
        """Make sure that the virtual environment runs this checkout's code; raises RuntimeError otherwise."""
        words = ("-c", "import lipsync_core; print(lipsync_core.__file__)")
        file = Path(self.python(*words).require_success().stdout.strip().replace("CHECKOUT", str(self.root)))
        if not file.is_relative_to(self.root):
            raise RuntimeError(f"{self._program('python')} runs the code of {file.parents[1]}")

    def commit(self) -> str:
        """The commit that is checked out, followed by `-dirty` if files have changed since."""
        words = ("git", "-C", self.root, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
        return self._run(list(words)).require_success().stdout.strip()

    def versions(self, packages: Sequence[str]) -> dict[str, str]:
        """The installed version of each package."""
        script = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
        found: dict[str, str] = json.loads(self.python("-c", script, *packages).require_success().stdout)
        return found

    def import_models(self, own_models: Path, seeded_weights: Path) -> None:
        """Make both homes anew: face and speech from `own_models`, Wav2Lip from a checkpoint of seeded weights."""
        checkpoint = self.work / "seeded.pth"
        self.python("-c", _WRITE_WEIGHTS, seeded_weights, checkpoint).require_success()
        for home, options in ((self.home, ()), (self.whole_home, ("--whole",))):
            shutil.rmtree(home, ignore_errors=True)
            for name in _EMBEDDED:
                shutil.copytree(own_models / name, home / "models" / name)
            words = ("--as", _NETWORK, "--accept-licence", "--home", home, *options)
            self.lipsync("models", "import", checkpoint, *words).require_success()

    def _program(self, name: str) -> Path:
        return self.root / ".venv" / "bin" / name

    def _run(self, command: list[str | Path]) -> Ended:
        words = [os.fspath(word) for word in command]
        self.work.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            words, cwd=self.work, env=self._environment(), capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
        return Ended(done.returncode, self._without_folders(done.stdout), self._without_folders(done.stderr))

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
        chosen = {
            "XDG_DATA_HOME": str(self.home.parent),
            "XDG_CACHE_HOME": str(self.work / "cache"),
            "LIPSYNC_FIRST_PORT": str(self.first_port),
            "COLUMNS": "100",  # of the help texts
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
        }
        return {**kept, **chosen, **self.extra}

    def _without_folders(self, text: str) -> str:
        return text.replace(str(self.work), "WORK").replace(str(self.root), "CHECKOUT")
