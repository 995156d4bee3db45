"""The real `lipsync` command in a process of its own or in this one, and small media for it to read."""

import shutil
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from demo.make_face_clip import make_face_clip
from lipsync_cli.main import main
from lipsync_core.workspace import Workspace

SPEECH = Path(__file__).parents[2] / "demo" / "speech.wav"
LIPSYNC = Path(sys.executable).with_name("lipsync")
RunLipSync = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def lipsync(tmp_path: Path) -> RunLipSync:
    """Runs the command in `tmp_path` and returns its exit status and both outputs."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [LIPSYNC, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)

    return run


@pytest.fixture
def lipsync_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> RunLipSync:
    """The same in this process, without the start of an interpreter; variables of the environment hold for one call."""

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patched:
            patched.chdir(tmp_path)
            for name, value in environment.items():
                patched.setenv(name, value)
            capfd.readouterr()
            status = main(list(map(str, arguments)))
        return subprocess.CompletedProcess(arguments, status, *capfd.readouterr())

    return run


def write_movie(path: Path, frame_count: int = 10, comment: str = "") -> Path:
    """64x48 grey at 25 fps, no sound, no face."""
    with av.open(str(path), "w", format="mp4") as container:
        container.metadata["comment"] = comment
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(frame_count):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def write_wave(path: Path, sample_count: int = 8000) -> Path:
    """16 kHz mono silence."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(2 * sample_count))
    return path


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    return write_movie(tmp_path / "grey.mp4")


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    return write_wave(tmp_path / "silence.wav")


@pytest.fixture(scope="session")
def face_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of the demo's face at 640x360."""
    path = tmp_path_factory.mktemp("clip") / "face.mp4"
    make_face_clip(path, frames=60, size=(640, 360))
    return path


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of its own, with the models that are installed for this user and an empty cache."""
    root = tmp_path_factory.mktemp("home")
    shutil.copytree(Workspace.default().models, Workspace.below(root).models)
    return root
