"""Runs processes whose ONNX Runtime is the stand-in, and reads its log of sessions and runs."""

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
    model: str | None  # the file's path; None for a network without a file, such as the trial network
    provider: str  # the first of the session's list
    pid: int


def stand_in_environment(log: Path, providers: str = CUDA, fallback: str = "") -> dict[str, str]:
    """The environment of this process, in which the stand-in precedes the installed ONNX Runtime."""
    paths = [str(ROOT / "tests" / "stand_ins"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    stand_in = {"STAND_IN_PROVIDERS": providers, "STAND_IN_FALLBACK": fallback, "STAND_IN_LOG": str(log)}
    return {**os.environ, **stand_in, "PYTHONPATH": os.pathsep.join(paths)}


def logged_events(log: Path) -> list[Event]:
    """The events of all processes that write to `log`, in order."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [Event(**json.loads(line)) for line in lines]


def opened_models(log: Path) -> list[tuple[str, str]]:
    """File name and provider of every session that was opened on a file."""
    opened = [event for event in logged_events(log) if event.event == "open" and event.model]
    return [(Path(event.model or "").name, event.provider) for event in opened]
