"""Model repositories for Triton's Python backend, made of what the product writes for its ONNX Runtime backend."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lipsync_core.serving.identity import ServedIdentity
from tests.model_server.backend.timed import HELD

_BACKEND = Path(__file__).parent / "backend"
#: As `lipsync models export-repository` writes it, but for the identity's values.
_CONFIG = """name: "wav2lip"
backend: "onnxruntime"
max_batch_size: 64
input [
  { name: "crops" data_type: TYPE_UINT8 dims: [ 96, 96, 3 ] },
  { name: "mel" data_type: TYPE_FP32 dims: [ 80, 16 ] }
]
output [ { name: "patches" data_type: TYPE_UINT8 dims: [ 53, 96, 3 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
dynamic_batching {
  max_queue_delay_microseconds: 5000
  default_queue_policy {
    max_queue_size: 16
    timeout_action: REJECT
    default_timeout_microseconds: 60000000
    allow_timeout_override: true
  }
}
"""
IDENTITY = ServedIdentity("wav2lip", "1", "test", "0123456789abcdef" * 4)


def write_stand_in(repository: Path) -> Path:
    """Write `wav2lip` with a GPU's timing into the folder `repository`; the model's folder."""
    model = repository / "wav2lip"
    (model / "1").mkdir(parents=True)
    said = (f'parameters {{ key: "{key}" value {{ string_value: "{text}" }} }}\n' for key, text in IDENTITY.parameters.items())
    (model / "config.pbtxt").write_text(_CONFIG + "".join(said), encoding="utf-8")
    serve_by_python(model, "timed")
    return model


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
