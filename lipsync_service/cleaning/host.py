"""Leftovers of killed processes on one host: folders of jobs, downloads that nobody goes on with, their locks."""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from lipsync_service.cleaning.collector import Cleaned, counted
from lipsync_service.settings import Settings
from lipsync_service.storage.cache import DownloadCache

_log = logging.getLogger(__name__)
#: The folders of jobs below the system's folder for temporary files begin with this.
JOB_FOLDER: Final = "lipsync-job-"
JOB_FOLDERS, DOWNLOADS = "job folders here", "unfinished downloads here"
_EVERY_S = 6 * 3600.0
_STAMP = "cleaned"


def clean_host(settings: Settings, is_dry: bool = False) -> list[Cleaned]:
    """Remove what no process of this host has touched for longer than a job takes; in a dry run only say so."""
    latest_s = time.time() - settings.in_use.total_seconds()
    folders = Cleaned(JOB_FOLDERS)
    for folder in Path(tempfile.gettempdir()).glob(f"{JOB_FOLDER}*"):
        with suppress(FileNotFoundError):  # its job has just ended
            sizes, touched_s = _contents(folder)
            is_over = touched_s < latest_s and not folder.is_symlink() and folder.stat().st_uid == os.getuid()
            if is_over and not is_dry:
                shutil.rmtree(folder, ignore_errors=True)
            folders = counted(folders, sizes, is_over)
    cache = DownloadCache(settings.cache_dir, settings.cache_cap_bytes)
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


def _contents(folder: Path) -> tuple[int, float]:
    """The bytes of a folder, and the time.time() of its latest change."""
    statuses = [folder.lstat(), *_statuses(folder)]
    return sum(each.st_size for each in statuses[1:]), max(each.st_mtime for each in statuses)


def _statuses(folder: Path) -> Iterator[os.stat_result]:
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            yield path.lstat()
