"""The folder where models are installed; nothing in it is trusted before its sha256 has been checked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from lipsync_core.errors import ModelCorruptError, ModelError, ModelMissingError
from lipsync_core.models.acquire import acquire_members, archive_path
from lipsync_core.models.content import check_content
from lipsync_core.models.download import Downloader
from lipsync_core.models.licence import LicenceBook
from lipsync_core.models.lock import locked
from lipsync_core.models.partial import PartialFile
from lipsync_core.models.registry import (
    NETWORK,
    ModelEntry,
    ModelMember,
    PathSource,
    ZipSource,
    choose_entry,
    registered_models,
)
from lipsync_core.models.stamp import check_seal
from lipsync_core.report import Progress, ProgressCallback

#: "downloaded": the checkpoint is here and sound, but not yet imported.
ModelStatus = Literal["installed", "downloaded", "missing", "corrupt"]


class ModelStore:
    """Models installed below one folder, each in a folder of its own.

    Several processes may share the folder: a file appears whole, by rename, or not at all.
    """

    def __init__(
        self, root: Path, entries: Sequence[ModelEntry] | None = None, downloader: Downloader | None = None
    ) -> None:
        """`entries` are the known models: by default the registered ones."""
        self._root = root
        self.entries = tuple(registered_models() if entries is None else entries)
        self.licences = LicenceBook(root / "accepted-licences")
        self._downloader = downloader or Downloader()

    def path(self, name: str, member: str) -> Path:
        """The path of an installed model's file, after a check; member `NETWORK` is the network that an import makes.

        Raises:
            ModelError: no such model or member.
            ModelMissingError: the file is not installed.
            ModelCorruptError: the file does not have the registered sha256, or was changed after its import.
        """
        entry = self.entry(name)
        if entry.imported_by and member == NETWORK:
            self.imported_from(name)
            return self._network(entry)
        return self._checked(entry, entry.member(member))

    def verify(self, name: str) -> None:
        """Check every file of the model that jobs use; raises as `path`."""
        entry = self.entry(name)
        if entry.imported_by:
            self.imported_from(name)
        else:
            for member in entry.members:
                self._checked(entry, member)

    def imported_from(self, name: str) -> str:
        """The sha256 of the file from which the model was imported, which may be a file of the user.

        Raises as `path`.
        """
        entry = self.entry(name)
        try:
            return check_seal(self._network(entry))
        except ModelMissingError as exc:
            raise ModelMissingError(exc.message, _remedy(entry)) from exc
        except ModelCorruptError as exc:
            raise ModelCorruptError(exc.message, _remedy(entry)) from exc

    def require_usable(self, name: str) -> None:
        """Make sure that the model is installed, sound, and may be used.

        Raises as `path`, and:
            LicenceError: its licence forbids commercial use and has not been accepted.
        """
        self.verify(name)
        entry = self.entry(name)
        self.licences.require(entry, _pull_command(entry))

    def status(self, name: str) -> ModelStatus:
        """The state of the model's files, by their sha256 sums; its licence does not matter.

        Raises:
            ModelError: no such model.
        """
        try:
            self.verify(name)
        except ModelMissingError:
            return "downloaded" if self._is_downloaded(self.entry(name)) else "missing"
        except ModelCorruptError:
            return "corrupt"
        return "installed"

    def partial_bytes(self, name: str) -> int:
        """The bytes of an unfinished download that are kept for the next `pull`."""
        return self._partial(self.entry(name)).size_bytes

    def pull(self, name: str, accept_licence: bool = False, progress: ProgressCallback = lambda _: None) -> None:
        """Install the model, or replace its corrupt files; use the internet only if a file has to be fetched.

        A checkpoint is imported and then removed. Progress counts the bytes of a download.

        Raises:
            LicenceError: the licence has to be accepted first.
            TransientError: the download failed repeatedly; the received part is kept for the next call.
            ModelCorruptError: the downloaded file does not have the registered sha256.
            ModelError: no such model, or the download is refused, or the folder cannot be written, or the import
                lacks torch: the checkpoint is kept.
            DiskFullError: there is no room for the download.
        """
        entry = self.entry(name)
        if not accept_licence:
            self.licences.require(entry, _pull_command(entry))
        if self.licences.is_usable(entry) and self.status(name) == "installed":
            return
        with self._installing(entry, progress) as folder:
            if accept_licence:
                self.licences.accept(entry, entry.sums)
            if self.status(name) in ("missing", "corrupt"):
                acquire_members(entry, entry.source, folder, self._downloader, progress)
            if self._is_downloaded(entry):
                progress(Progress("import", 0, None))
                checkpoint = folder / entry.members[0].file_name
                import_network(entry, checkpoint, self._network(entry))
                checkpoint.unlink()

    def import_file(
        self,
        name: str,
        path: Path,
        accept_licence: bool = False,
        progress: ProgressCallback = lambda _: None,
        is_whole: bool = False,
    ) -> None:
        """Install the model from the user's file: a checkpoint or ONNX file, or the file that the source would bring.

        With `is_whole`, a Wav2Lip keeps the part of its network that only the compat mode needs.

        Raises:
            LicenceError: the licence has to be accepted first.
            ModelMissingError: there is no such file.
            ModelCorruptError: the file is an HTML page, truncated, damaged or hostile, or not the registered one.
            ModelError: no such model, the file is another model, the folder cannot be written, or torch is missing.
        """
        entry = self.entry(name)
        if not accept_licence:
            self.licences.require(entry, f"lipsync models import {path} --as {name}")
        with self._installing(entry, progress) as folder:
            progress(Progress("import", 0, None))
            if entry.imported_by:
                self.licences.accept(entry, (import_network(entry, path, self._network(entry), is_whole),))
                (folder / entry.members[0].file_name).unlink(missing_ok=True)
            else:
                acquire_members(entry, PathSource(path), folder, self._downloader, progress)
                self.licences.accept(entry, entry.sums)
            self._partial(entry).discard()

    def entry(self, name: str) -> ModelEntry:
        """The model of that name.

        Raises:
            ModelError: there is none.
        """
        return choose_entry(self.entries, name)

    @contextmanager
    def _installing(self, entry: ModelEntry, progress: ProgressCallback) -> Iterator[Path]:
        """Make the model's folder, and lock it for the block."""
        folder = self._folder(entry)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(self._root / f"{entry.name}.lock", lambda: progress(Progress("wait", 0, None))):
                yield folder
        except OSError as exc:
            raise ModelError(f"{folder} cannot be written: {exc.strerror}", "choose another model folder") from exc

    def _is_downloaded(self, entry: ModelEntry) -> bool:
        try:
            self._checked(entry, entry.members[0])
        except ModelError:
            return False
        return entry.imported_by is not None

    def _checked(self, entry: ModelEntry, member: ModelMember) -> Path:
        path = self._folder(entry) / member.file_name
        check_content(path, member.sha256, member.size_bytes, _remedy(entry))
        return path

    def _partial(self, entry: ModelEntry) -> PartialFile:
        folder = self._folder(entry)
        if isinstance(entry.source, ZipSource):
            return PartialFile(archive_path(entry.source, folder))
        return PartialFile(folder / entry.members[0].file_name)

    def _network(self, entry: ModelEntry) -> Path:
        return self._folder(entry) / f"{entry.name}.onnx"

    def _folder(self, entry: ModelEntry) -> Path:
        return self._root / entry.name


def import_network(entry: ModelEntry, source: Path, target: Path, is_whole: bool = False) -> str:
    """Make the network at `target` from the file `source`, and return the sha256 of `source`.

    `is_whole` makes a Wav2Lip keep the rows of its picture outside every blend mask; other models have no such choice.

    Raises:
        ModelMissingError, ModelCorruptError, ModelError: see `importing`.
    """
    from lipsync_core.models import importing  # imports ONNX Runtime, which a list of models does not need

    if entry.imported_by == "gfpgan":
        return importing.import_gfpgan(source, target).source_sha256
    imported = importing.import_wav2lip(source, target, 0) if is_whole else importing.import_wav2lip(source, target)
    return imported.source_sha256


def _pull_command(entry: ModelEntry) -> str:
    return f"lipsync models pull {entry.name}"


def _remedy(entry: ModelEntry) -> str:
    return f"run: {_pull_command(entry)}"
