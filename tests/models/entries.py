"""Small models on the test's own server, and stores whose registry holds only them."""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lipsync_core.install import ModelInstaller
from lipsync_core.models.download import Downloader
from lipsync_core.models.registry import ModelEntry, ModelMember, UrlSource, ZipSource
from lipsync_core.models.store import ModelStore
from tests.web import Answer, FileServer

CONTENT = bytes(range(256)) * 2000


def member(content: bytes, path: str = "weights.onnx") -> ModelMember:
    return ModelMember("weights", PurePosixPath(path), hashlib.sha256(content).hexdigest(), len(content))


def url_entry(server: FileServer, content: bytes = CONTENT, path: str = "weights.onnx") -> ModelEntry:
    """A model at `/PATH` of the server, free for any use."""
    server.answers[f"/{path}"] = Answer(content)
    source = UrlSource(server.url(f"/{path}"))
    return ModelEntry("tiny", "tests", "MIT", "https://example.org/mit", True, source, (member(content, path),))


def restricted(entry: ModelEntry) -> ModelEntry:
    return replace(entry, licence="Research only", licence_url="https://example.org/research", commercial_use=False)


def write_zip(path: Path, files: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path.read_bytes()


def zip_entry(server: FileServer, zipped: bytes, content: bytes = CONTENT) -> ModelEntry:
    server.answers["/pack.zip"] = Answer(zipped)
    source = ZipSource(server.url("/pack.zip"), hashlib.sha256(zipped).hexdigest(), len(zipped))
    return replace(url_entry(server, content), source=source)


def store_of(folder: Path, entry: ModelEntry) -> ModelStore:
    return ModelStore(folder, [entry])


def installer(store: ModelStore) -> ModelInstaller:
    """Tries once more, without a pause."""
    return ModelInstaller(store, Downloader(pauses_s=(0.0,), timeout_s=30.0))


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
