"""Leftovers of killed processes on one host: folders of jobs, downloads that nobody goes on with, their locks."""

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lipsync_service.cleaning.collector import Cleaned, counted
from lipsync_service.settings import Settings
from lipsync_service.storage.cache import DownloadCache
from lipsync_service.worker.job_folders import PREFIX, folder_prefix

_log = logging.getLogger(__name__)
_NEW_S = 600.0  # since the last change; a folder is locked a moment after it is made
JOB_FOLDERS, DOWNLOADS = "job folders here", "unfinished downloads here"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_EVERY_S = 6 * 3600.0
_STAMP = "cleaned"


@contextmanager
def job_folder() -> Iterator[Path]:
    """A folder of one job, below the system's folder for temporary files, removed at the end of the block.

    It is locked meanwhile: if this process is killed, its folder is known to be nobody's.
    """
    with tempfile.TemporaryDirectory(prefix=folder_prefix()) as name:
        handle = os.open(name, _FOLDER)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            yield Path(name)
        finally:
            os.close(handle)


def clean_host(settings: Settings, is_dry: bool = False) -> list[Cleaned]:
    """Remove what processes of this host have left that are gone; in a dry run only say so."""
    folders = Cleaned(JOB_FOLDERS)
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError, NotADirectoryError):  # its job has just ended
            size_bytes, touched_s = _contents(folder)
            is_left = touched_s < time.time() - _NEW_S and _is_nobodys(folder)
            if is_left and not is_dry:
                shutil.rmtree(folder, ignore_errors=True)
            folders = counted(folders, size_bytes, is_left)
    cache = DownloadCache(settings.cache_dir, settings.cache_cap_bytes)
    latest_s = time.time() - settings.in_use.total_seconds()  # a job that is tried again goes on with its downloads
    downloads = Cleaned(DOWNLOADS)
    for size_bytes in cache.forget_abandoned(latest_s, is_dry):
        downloads = counted(downloads, size_bytes, is_gone=True)
    return [folders, downloads]


def clean_host_seldom(settings: Settings) -> None:
    """As `clean_host`, if nobody has done so on this host for six hours. Raises nothing: a job calls it at its end."""
    stamp = settings.cache_dir / _STAMP
    try:
        if stamp.exists() and time.time() - stamp.stat().st_mtime < _EVERY_S:
            return
        stamp.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        stamp.touch()
        gone = [each for each in clean_host(settings) if each.removed]
    except OSError as exc:
        _log.warning("the leftovers of this host stay: %s", exc)
        return
    for each in gone:
        _log.info("removed %d %s (%d bytes)", each.removed, each.kind, each.removed_bytes)


def _is_nobodys(folder: Path) -> bool:
    """Whether the folder is this user's, and no process holds it."""
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        return False
    handle = os.open(folder, _FOLDER)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _contents(folder: Path) -> tuple[int, float]:
    """The bytes of a folder, and the time.time() of its latest change."""
    statuses = [folder.lstat(), *_statuses(folder)]
    return sum(each.st_size for each in statuses[1:]), max(each.st_mtime for each in statuses)


def _statuses(folder: Path) -> Iterator[os.stat_result]:
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            yield path.lstat()
