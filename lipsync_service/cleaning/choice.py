"""Chooses the files whose time is over: those that are too old, then the longest unused ones beyond the quota."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from lipsync_service.cleaning.holders import Holders
from lipsync_service.keeping import FOUND, SPARE, Keeping
from lipsync_service.storage.shelf import KeptObject
from lipsync_service.storage.use import FRESH


@dataclass(frozen=True, slots=True)
class Kept:
    """One file of the storage, with the time of its last use."""

    object: KeptObject
    used_at: datetime
    folder: str  # of `lipsync_service.keeping.FOLDERS`


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be removed at the moment `now`."""

    keeping: Keeping
    holders: Holders
    now: datetime

    def are_over(self, kept: Kept) -> bool:
        """The file's time is over by its age, whether it is in use or not."""
        age = self.keeping.kept_for(kept.folder)
        return age is not None and kept.used_at < self.now - age

    def is_in_use(self, kept: Kept) -> bool:
        """A job may be using the file, or be about to.

        A run names its inputs, and its own id is in the name of its movie. A face track, edits and the handover of a
        child it finds; so all of these that were used since the first of the runs at work began may be in use.
        """
        since = self.holders.since
        if kept.folder in FOUND and since is not None and kept.used_at >= since - FRESH:
            return True
        return kept.used_at >= self.now - self.keeping.in_use or self.holders.hold(kept.object.name)


def chosen(files: Iterable[Kept], rules: Rules) -> tuple[list[Kept], list[Kept]]:
    """The files to remove, and those whose time is over as well but that are in use."""
    old: list[Kept] = []
    spare: list[Kept] = []
    spare_bytes = 0
    for each in files:
        is_over = rules.are_over(each)
        if is_over:
            old.append(each)
        if each.folder in SPARE:
            spare_bytes += each.object.size_bytes
            if not is_over:
                spare.append(each)
    old += _beyond(rules, spare, spare_bytes - _free_bytes(old, rules))
    going = [each for each in old if not rules.is_in_use(each)]
    return going, [each for each in old if rules.is_in_use(each)]


def _beyond(rules: Rules, spare: Sequence[Kept], left_bytes: int) -> list[Kept]:
    """The longest unused of the files, until the rest fits the quota; those in use do not count as going."""
    beyond: list[Kept] = []
    for each in sorted(spare, key=lambda each: each.used_at):
        if left_bytes <= rules.keeping.keep_bytes:
            break
        if not rules.is_in_use(each):
            beyond.append(each)
            left_bytes -= each.object.size_bytes
    return beyond


def _free_bytes(old: Sequence[Kept], rules: Rules) -> int:
    return sum(each.object.size_bytes for each in old if each.folder in SPARE and not rules.is_in_use(each))
