"""How a test starts a process whose ONNX Runtime is the stand-in, and reads what it did there."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CUDA, TENSORRT, CPU = "CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"


@dataclass(frozen=True, slots=True)
class Event:
    """A session that was opened, or a run of one."""

    event: str  # "open" or "run"
    model: str | None  # the file's path; None where the network is no file, as that of the trial
    provider: str  # the first that was asked for
    pid: int


def stand_in_environment(log: Path, providers: str = CUDA, fallback: str = "") -> dict[str, str]:
    """The environment of this process, with the stand-in before the installed ONNX Runtime."""
    paths = [str(ROOT / "tests" / "stand_ins"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    stand_in = {"STAND_IN_PROVIDERS": providers, "STAND_IN_FALLBACK": fallback, "STAND_IN_LOG": str(log)}
    return {**os.environ, **stand_in, "PYTHONPATH": os.pathsep.join(paths)}


def logged_events(log: Path) -> list[Event]:
    """What all processes that write to `log` did, in order."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [Event(**json.loads(line)) for line in lines]


def opened_models(log: Path) -> list[tuple[str, str]]:
    """File name and provider of every session that was opened on a file."""
    opened = [event for event in logged_events(log) if event.event == "open" and event.model]
    return [(Path(event.model or "").name, event.provider) for event in opened]
