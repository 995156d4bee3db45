"""Processes as Linux shows them: whether one is there, and the desk and readers of another."""

from __future__ import annotations

from pathlib import Path


def is_there(process: int) -> bool:
    """Whether it runs, or is stopped: not ended, though its parent may not have waited for it."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def readers_of(process: int) -> list[int]:
    """The desk of its reading room, and that desk's readers, in this order."""
    parents = dict(_parents())
    desks = [each for each, (name, parent) in parents.items() if (name, parent) == ("lipsync-desk", process)]
    return [*desks, *(each for each, (_, parent) in parents.items() if parent in desks)]


def _parents() -> list[tuple[int, tuple[str, int]]]:
    """Each process with its name and its parent's number."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            before, _, after = (folder / "stat").read_text().rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.append((int(folder.name), (before.partition("(")[2], int(after.split()[1]))))
    return found
