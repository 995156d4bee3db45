"""The folders of jobs below TMPDIR, which are named after the process that uses them, so that others can clear them up.

A job removes its own folder. One whose process was killed cannot: its launcher does, or the next launcher of this host.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

PREFIX: Final = "lipsync-job-"


def folder_prefix() -> str:
    """The beginning of the names of this process's folders."""
    return _prefix(os.getpid())


def remove_folders(pid: int) -> None:
    """Remove the folders of a process of this host that has ended."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix(pid)}*"):
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned() -> None:
    """Remove the folders of all processes of this host that have ended."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_namespace_prefix()}*"):
        pid = folder.name.removeprefix(_namespace_prefix()).partition("-")[0]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _prefix(pid: int) -> str:
    return f"{_namespace_prefix()}{pid}-"


def _namespace_prefix() -> str:
    """With the namespace of the process ids: two containers may share the folder, and give the same ids."""
    return f"{PREFIX}{Path('/proc/self/ns/pid').stat().st_ino:x}-"
