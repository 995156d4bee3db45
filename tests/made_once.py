"""Costly files that tests only read: one process of the test run makes each, and the others find it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lipsync_core.models.lock import locked


def made_once(folders: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The file `name` of this test run; the first process that asks has `make` write it, and others wait for it.

    `make` gets a path that ends like `name`.
    """
    folder = folders.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the folder of a worker lies in that of the run
        folder = folder.parent
    path, partial = folder / name, folder / f"partial-{name}"
    with locked(folder / f"{name}.lock", on_wait=lambda: None):
        if not path.exists():
            make(partial)
            partial.replace(path)
    return path
