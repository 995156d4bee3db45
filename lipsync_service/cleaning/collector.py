"""Removes files of the storage whose time is over, never one that a job uses or is about to use."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lipsync_service.cleaning.choice import Kept, Rules, chosen
from lipsync_service.cleaning.holders import Holders
from lipsync_service.keeping import FOLDERS, Keeping
from lipsync_service.storage.shelf import Shelf
from lipsync_service.storage.use import CONDEMNED, CONDEMNED_FOR_S, USES, condemned, last_used, mark_of

_log = logging.getLogger(__name__)
_AT_ONCE = 200  # looked at one by one while users wait for the end
_STALE = timedelta(days=1)  # a list of condemned files that its collector did not remove
UNFINISHED = "unfinished uploads"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was removed of one kind, or would be in a dry run, and what is left."""

    kind: str
    removed: int = 0
    removed_bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0
    in_use: int = 0  # of the kept ones: their time is over, and a job may be using them


class Collector:
    """Cleans one storage. `read_holders` asks which runs have not ended at a moment, each time anew."""

    def __init__(
        self, shelf: Shelf, keeping: Keeping, read_holders: Callable[[datetime], Holders], now: Callable[[], datetime]
    ) -> None:
        self._shelf = shelf
        self._keeping = keeping
        self._read_holders = read_holders
        self._now = now

    def collect(self, is_dry: bool) -> list[Cleaned]:
        """Remove what may go; in a dry run only say so.

        Raises:
            StorageError, TransientError: as the shelf; what was removed before stays removed.
            ServiceDownError: as `read_holders`.
        """
        rules = self._rules()
        files = list(self._kept())
        going, in_use = chosen(files, rules)
        gone = {each.object.name for each in (going if is_dry else self._removed(going))}
        if not is_dry:
            self._forget_marks({each.object.name for each in files} - gone)
        kinds = {folder: Cleaned(folder) for folder in FOLDERS}
        for each in files:
            kinds[each.folder] = counted(kinds[each.folder], each.object.size_bytes, each.object.name in gone)
        for each in in_use:
            kinds[each.folder] = replace(kinds[each.folder], in_use=kinds[each.folder].in_use + 1)
        return [*kinds.values(), self._unfinished(is_dry)]

    def _rules(self) -> Rules:
        now = self._now()  # before the question: whatever is used after it is younger
        return Rules(self._keeping, self._read_holders(now), now)

    def _kept(self) -> Iterator[Kept]:
        """The files of the known folders, wherever these lie in the storage; the rest is not the service's."""
        marks = {mark.name: mark for mark in self._shelf.objects(USES)}
        for found in self._shelf.objects():
            parts = found.name.split("/")[:-1]
            folder = next((part for part in parts if part in FOLDERS), None)
            if folder is not None and parts[0] not in (USES, CONDEMNED):
                yield Kept(found, last_used(found, marks.get(mark_of(found.name))), folder)

    def _removed(self, going: Sequence[Kept]) -> Iterator[Kept]:
        for start in range(0, len(going), _AT_ONCE):
            yield from self._removed_now(going[start : start + _AT_ONCE])

    def _removed_now(self, going: Sequence[Kept]) -> list[Kept]:
        """Remove the files that nobody has begun to use since they were chosen (`lipsync_service/storage/use.py`)."""
        with condemned(self._shelf, [each.object.name for each in going]):
            began_s = time.monotonic()
            rules = self._rules()
            still = [each for each in going if self._is_unused(each, rules)]
            if time.monotonic() - began_s > CONDEMNED_FOR_S / 2:  # users may be waiting no longer
                _log.warning("%d files stay until the next time: looking at them took too long", len(going))
                return []
            self._shelf.remove([each.object.name for each in still])
            self._shelf.remove([mark_of(each.object.name) for each in still])
        return still

    def _is_unused(self, before: Kept, rules: Rules) -> bool:
        found = self._shelf.find(before.object.name)
        if found is None:
            return False
        now = replace(before, used_at=last_used(found, self._shelf.find(mark_of(found.name))))
        return not rules.is_in_use(now)  # what was used or put again meanwhile is

    def _forget_marks(self, names: set[str]) -> None:
        """Remove the marks of files that are gone, and lists that a killed collector has left."""
        latest = self._now() - self._keeping.in_use
        marks = (each for each in self._shelf.objects(USES) if each.changed_at < latest)
        stale = [each.name for each in marks if each.name.removeprefix(f"{USES}/") not in names]
        notes = [each.name for each in self._shelf.objects(CONDEMNED) if each.changed_at < self._now() - _STALE]
        self._shelf.remove([*stale, *notes])

    def _unfinished(self, is_dry: bool) -> Cleaned:
        """Uploads that have been under way for longer than any job."""
        latest = self._now() - self._keeping.in_use
        uploads = Cleaned(UNFINISHED)
        for upload in self._shelf.unfinished():
            is_over = upload.begun_at < latest
            if is_over and not is_dry:
                self._shelf.abort(upload)
            uploads = counted(uploads, upload.size_bytes, is_over)
        return uploads


def counted(before: Cleaned, size_bytes: int, is_gone: bool) -> Cleaned:
    """The figures with one thing more."""
    if is_gone:
        return replace(before, removed=before.removed + 1, removed_bytes=before.removed_bytes + size_bytes)
    return replace(before, kept=before.kept + 1, kept_bytes=before.kept_bytes + size_bytes)
