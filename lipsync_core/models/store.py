"""The folder where models are installed; nothing in it is trusted before its sha256 has been checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lipsync_core.errors import ModelCorruptError, ModelError, ModelMissingError
from lipsync_core.models.acquire import archive_path
from lipsync_core.models.content import check_content
from lipsync_core.models.licence import LicenceBook
from lipsync_core.models.partial import PartialFile
from lipsync_core.models.registry import (
    NETWORK,
    ModelEntry,
    ModelMember,
    ZipSource,
    choose_entry,
    registered_models,
)
from lipsync_core.models.stamp import check_seal

#: "downloaded": the checkpoint is here and sound, but not yet imported.
ModelStatus = Literal["installed", "downloaded", "missing", "corrupt"]


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model whose files have just been checked."""

    name: str
    licence: str
    files: Mapping[str, Path]  # by member name
    source_sha256: str | None  # of the file that the network was imported from; None where nothing is imported

    def path(self, member: str) -> Path:
        """Where one of its files lies; `NETWORK` is the one that an import makes.

        Raises:
            ModelError: the model has no such file.
        """
        if member not in self.files:
            raise ModelError(f"model {self.name} has no file {member!r}, only {', '.join(self.files)}")
        return self.files[member]


class ModelStore:
    """Models installed below one folder, each in a folder of its own; `lipsync_core.install` puts them there.

    Several processes may share the folder: a file appears whole, by rename, or not at all.
    """

    def __init__(self, root: Path, entries: Sequence[ModelEntry] | None = None) -> None:
        """`entries` are the models to choose from: by default the registered ones."""
        self.root = root
        self.entries = tuple(registered_models() if entries is None else entries)
        self.licences = LicenceBook(root / "accepted-licences")

    def open_usable(self, name: str) -> InstalledModel:
        """The model's files, each checked by reading it once, for a job that uses them.

        Raises:
            ModelError: no such model.
            ModelMissingError: a file is not installed.
            ModelCorruptError: a file does not have the registered sha256, or is not what was imported.
            LicenceError: the model's licence forbids commercial use and has not been accepted.
        """
        installed = self.verify(name)
        entry = self.entry(name)
        self.licences.require(entry, pull_command(entry))
        return installed

    def verify(self, name: str) -> InstalledModel:
        """The model's files, each checked by reading it once. Raises what `open_usable` raises, but no LicenceError."""
        entry = self.entry(name)
        if entry.imported_by is None:
            files = {member.name: self._checked(entry, member) for member in entry.members}
            return InstalledModel(name, entry.licence, files, None)
        network = self.network_path(entry)
        return InstalledModel(name, entry.licence, {NETWORK: network}, _source_sha256(network, entry))

    def status(self, name: str) -> ModelStatus:
        """The state of the model's files, by their sha256 sums; its licence does not matter.

        Raises:
            ModelError: no such model.
        """
        try:
            self.verify(name)
        except ModelMissingError:
            return "downloaded" if self.is_downloaded(self.entry(name)) else "missing"
        except ModelCorruptError:
            return "corrupt"
        return "installed"

    def entry(self, name: str) -> ModelEntry:
        """The model of that name.

        Raises:
            ModelError: there is none.
        """
        return choose_entry(self.entries, name)

    def is_downloaded(self, entry: ModelEntry) -> bool:
        """Whether the checkpoint of a model that has to be imported is here and sound."""
        if entry.imported_by is None:
            return False
        try:
            self._checked(entry, entry.members[0])
        except ModelError:
            return False
        return True

    def partial_bytes(self, name: str) -> int:
        """How much of a download that did not end is kept for the next one."""
        return self.partial_file(self.entry(name)).size_bytes

    def partial_file(self, entry: ModelEntry) -> PartialFile:
        """Where a download that did not end is kept."""
        folder = self.folder(entry)
        if isinstance(entry.source, ZipSource):
            return PartialFile(archive_path(entry.source, folder))
        return PartialFile(folder / entry.members[0].file_name)

    def network_path(self, entry: ModelEntry) -> Path:
        """Where the network lies that an import makes."""
        return self.folder(entry) / f"{entry.name}.onnx"

    def folder(self, entry: ModelEntry) -> Path:
        """Where all files of the model lie."""
        return self.root / entry.name

    def _checked(self, entry: ModelEntry, member: ModelMember) -> Path:
        path = self.folder(entry) / member.file_name
        check_content(path, member.sha256, member.size_bytes, f"run: {pull_command(entry)}")
        return path


def pull_command(entry: ModelEntry) -> str:
    """The command that installs the model."""
    return f"lipsync models pull {entry.name}"


def _source_sha256(network: Path, entry: ModelEntry) -> str:
    """The sha256 of the file that `network` was imported from, which may be one of the user's own."""
    try:
        return check_seal(network)
    except ModelMissingError as exc:
        raise ModelMissingError(exc.message, f"run: {pull_command(entry)}") from exc
    except ModelCorruptError as exc:
        raise ModelCorruptError(exc.message, f"run: {pull_command(entry)}") from exc
