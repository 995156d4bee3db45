"""Model repositories for Triton's Python backend, made of what the product writes for its ONNX Runtime backend."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.model_server.backend.timed import HELD

_BACKEND = Path(__file__).parent / "backend"
NETWORKS = ("timed", "onnx_file")


def serve_by_python(model: Path, network: str) -> None:
    """Have the exported `model` (a folder with its config.pbtxt) run by `network`, a module of `backend/`.

    All else stays as the product wrote it: names, shapes, batching, queue and identity.
    """
    version = model / "1"
    shutil.copy(_BACKEND / "model.py", version)
    shutil.copy(_BACKEND / f"{network}.py", version / "network.py")
    config = model / "config.pbtxt"
    config.write_text(_for_python(config.read_text(encoding="utf-8")), encoding="utf-8")


def change(model: Path, setting: str, value: str) -> None:
    """Set a `setting` of the configuration, such as the queue's size; it must be there."""
    config = model / "config.pbtxt"
    text, count = re.subn(rf"\b{setting}: *\S+", f"{setting}: {value}", config.read_text(encoding="utf-8"))
    if not count:
        raise ValueError(f"{config} sets no {setting}")
    config.write_text(text, encoding="utf-8")


@contextmanager
def held(model: Path) -> Iterator[None]:
    """Let no run of the timed stand-in end within the block."""
    file = model / "1" / HELD
    file.touch()
    try:
        yield
    finally:
        file.unlink()


def _for_python(config: str) -> str:
    text, count = re.subn(r'(backend|platform): *"onnxruntime\w*"', 'backend: "python"', config)
    if count != 1:
        raise ValueError(f"{count} backends in:\n{config}")
    return text
