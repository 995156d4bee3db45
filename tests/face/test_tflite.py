import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lipsync_core.errors import ModelError
from lipsync_core.face.tflite import TfliteModel
from lipsync_core.models.store import ModelStore


def test_a_model_says_its_input_size_and_gives_its_largest_output_first(model_store: ModelStore) -> None:
    model = TfliteModel(model_store.verify("mediapipe-face").path("face_landmark"))
    outputs = model.run(np.zeros((model.size_px, model.size_px, 3), np.float32))
    assert model.size_px == 192
    assert [output.size for output in outputs] == [468 * 3, 1]


def test_loading_fails_when_the_file_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "not a model.tflite"
    path.write_text("hello")
    with pytest.raises(ModelError, match=r"not a model\.tflite cannot be run"):
        TfliteModel(path)


def test_loading_a_model_writes_nothing_to_the_terminal_but_what_others_wrote(model_store: ModelStore) -> None:
    script = (
        "import os, sys; from pathlib import Path; from lipsync_core.face.tflite import TfliteModel;"
        "TfliteModel(Path(sys.argv[1])); os.write(2, b'mine\\n')"
    )
    path = model_store.verify("mediapipe-face").path("full_range")
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "mine\n")
