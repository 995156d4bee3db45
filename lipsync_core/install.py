"""Installs models into a store: fetches their files, asks for their licences, imports checkpoints."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lipsync_core.errors import ModelError
from lipsync_core.models.acquire import acquire_members
from lipsync_core.models.download import Downloader
from lipsync_core.models.lock import locked
from lipsync_core.models.registry import ModelEntry, PathSource
from lipsync_core.models.store import ModelStore, pull_command
from lipsync_core.report import Progress, ProgressCallback


class ModelInstaller:
    """Writes into one store. Several processes may install the same model: one works, the others wait."""

    def __init__(self, store: ModelStore, downloader: Downloader | None = None) -> None:
        self._store = store
        self._downloader = downloader or Downloader()

    def pull(self, name: str, accept_licence: bool = False, progress: ProgressCallback = lambda _: None) -> None:
        """Install the model, or replace what is corrupt; without the network where nothing needs it.

        A checkpoint is imported and then removed. Progress counts the bytes of a download.

        Raises:
            LicenceError: the licence has to be accepted first.
            TransientError: the download failed, time and again; what came is kept for the next time.
            ModelCorruptError: the downloaded file does not have the registered sha256.
            ModelError: no such model, or the download is refused, or the folder cannot be written, or the import
                lacks torch: the checkpoint is kept.
            DiskFullError: there is no room for the download.
        """
        store, entry = self._store, self._store.entry(name)
        if not accept_licence:
            store.licences.require(entry, pull_command(entry))
        if store.licences.is_usable(entry) and store.status(name) == "installed":
            return
        with self._installing(entry, progress) as folder:
            if accept_licence:
                store.licences.accept(entry, entry.sums)
            if store.status(name) in ("missing", "corrupt"):
                acquire_members(entry, entry.source, folder, self._downloader, progress)
            if store.is_downloaded(entry):
                progress(Progress("import", 0, None))
                checkpoint = folder / entry.members[0].file_name
                self._import_network(entry, checkpoint)
                checkpoint.unlink()

    def import_file(
        self,
        name: str,
        path: Path,
        accept_licence: bool = False,
        progress: ProgressCallback = lambda _: None,
        is_whole: bool = False,
    ) -> None:
        """Install the model from a file that the user has: a checkpoint or ONNX file, or what the source would bring.

        With `is_whole`, a Wav2Lip keeps the part of its network that only the compat mode needs.

        Raises:
            LicenceError: the licence has to be accepted first.
            ModelMissingError: there is no such file.
            ModelCorruptError: the file is an HTML page, truncated, damaged or hostile, or not the registered one.
            ModelError: no such model, the file is another model, the folder cannot be written, or torch is missing.
        """
        store, entry = self._store, self._store.entry(name)
        if not accept_licence:
            store.licences.require(entry, f"lipsync models import {path} --as {name}")
        with self._installing(entry, progress) as folder:
            progress(Progress("import", 0, None))
            if entry.imported_by:
                store.licences.accept(entry, (self._import_network(entry, path, is_whole),))
                (folder / entry.members[0].file_name).unlink(missing_ok=True)
            else:
                acquire_members(entry, PathSource(path), folder, self._downloader, progress)
                store.licences.accept(entry, entry.sums)
            store.partial_file(entry).discard()

    @contextmanager
    def _installing(self, entry: ModelEntry, progress: ProgressCallback) -> Iterator[Path]:
        """The model's folder, made if needed and locked for the block."""
        folder = self._store.folder(entry)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(self._store.root / f"{entry.name}.lock", lambda: progress(Progress("wait", 0, None))):
                yield folder
        except OSError as exc:
            raise ModelError(f"{folder} cannot be written: {exc.strerror}", "choose another model folder") from exc

    def _import_network(self, entry: ModelEntry, source: Path, is_whole: bool = False) -> str:
        """Import the network of the model from `source`; returns the sha256 of `source`."""
        # ONNX Runtime, which this brings, may be absent: a model that needs no import installs without it.
        from lipsync_core.export.importing import import_network

        return import_network(entry, source, self._store.network_path(entry), is_whole)
