"""The use of kept files by jobs and callers, while `lipsync gc` may be about to remove them.

S3 does not tell when an object was read. So a user of an older file leaves a mark, an empty object below `uses/`, and
the last use of a file is the later of its own change and that of its mark. A file that was changed or used within the
last minute needs no new mark.

A file that has been unused for weeks may be taken at the moment of its removal. Neither side waits for the other; each
writes before it reads, and one of them sees the other:

    user                                         collector
    1. writes the mark                           1. writes the list of the condemned, below `condemned/`
    2. reads the lists: is the file condemned?   2. reads the marks: was the file used?
       then it waits until the list is gone         then it leaves the file out
    3. looks whether the file is there           3. removes the others, then the list
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from lipsync_service.storage.shelf import KeptObject, Shelf

USES, CONDEMNED = "uses", "condemned"
#: A collector that has not removed the condemned within this time leaves them, and users wait no longer.
CONDEMNED_FOR_S = 60.0
#: The last use of a file that is in use may seem to be so much older than its true one.
FRESH = timedelta(minutes=1)
_POLL_S = 0.2


def take(shelf: Shelf, name: str) -> bool:
    """Whether the file is there; if so it stays as long as a job may take.

    Raises:
        StorageError, TransientError: as the shelf.
    """
    found = shelf.find(name)
    if found is None or found.changed_at > datetime.now(UTC) - FRESH:
        return found is not None
    mark = shelf.find(mark_of(name))
    if mark is None or mark.changed_at <= datetime.now(UTC) - FRESH:
        shelf.write(mark_of(name), b"")
    until_s = time.monotonic() + CONDEMNED_FOR_S  # longer, and the collector has been killed
    while _is_condemned(shelf, name) and time.monotonic() < until_s:
        time.sleep(_POLL_S)
    return shelf.find(name) is not None


def mark_of(name: str) -> str:
    """The name of the mark of a file's last use."""
    return f"{USES}/{name}"


def last_used(found: KeptObject, mark: KeptObject | None) -> datetime:
    """The time of the file's last use."""
    return found.changed_at if mark is None else max(found.changed_at, mark.changed_at)


@contextmanager
def condemned(shelf: Shelf, names: Sequence[str]) -> Iterator[None]:
    """Tell users within the block that these files may be removed in it. A user that came before has left its mark."""
    note = f"{CONDEMNED}/{uuid4()}.json"
    shelf.write(note, json.dumps(list(names)).encode())
    try:
        yield
    finally:
        shelf.remove([note])


def _is_condemned(shelf: Shelf, name: str) -> bool:
    notes = (shelf.read(note.name) for note in shelf.objects(CONDEMNED))
    return any(names is not None and name in json.loads(names) for names in notes)
