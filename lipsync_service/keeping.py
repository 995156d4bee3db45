"""How long the service keeps what grows with every job: a part of its settings.

What a job that has not ended uses stays in any case (`lipsync_service/cleaning`).
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel, ByteSize, Field

from lipsync_service.sizes import Size

_GIB = 1 << 30
_LONGEST_DAYS = 36_500
#: The folders of the storage that are cleaned, with the setting of their age.
FOLDERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "uploads": "keep_uploads_days",
        "tracks": "keep_tracks_days",
        "edits": "keep_edits_days",
        "renders": "keep_renders_days",
        "segments": "keep_renders_days",
        "handovers": "keep_handovers_days",
        "secrets": "keep_handovers_days",
        "results": "keep_results_days",
    }
)
#: The folders whose files can be made or sent again; the quota holds for them together.
SPARE: Final = ("uploads", "tracks", "edits")

#: The folders whose files a running job finds by what they hold, so that nobody else knows which ones are its own.
FOUND: Final = ("tracks", "edits", "handovers")


class Keeping(BaseModel):
    """The ages, in days since the last use, after which something may be removed; None: never."""

    keep_uploads_days: float = Field(
        30.0, gt=0, le=_LONGEST_DAYS, description="How long callers' files are kept after the last job that named them."
    )
    keep_tracks_days: float = Field(
        30.0, gt=0, le=_LONGEST_DAYS, description="How long a face track is kept after its last use."
    )
    keep_edits_days: float = Field(
        7.0, gt=0, le=_LONGEST_DAYS, description="How long the edits of a job are kept after their last use."
    )
    keep_renders_days: float = Field(
        7.0, gt=0, le=_LONGEST_DAYS, description="How long a movie is kept that could not be delivered."
    )
    keep_handovers_days: float = Field(
        2.0, gt=0, le=_LONGEST_DAYS, description="How long messages between runs, and the secrets of jobs, are kept."
    )
    keep_results_days: float | None = Field(
        None, gt=0, le=_LONGEST_DAYS, description="How long results in the service's own storage are kept."
    )
    keep_ledger_days: float | None = Field(
        None, gt=0, le=_LONGEST_DAYS, description="How long the ledger keeps ended jobs with their keys."
    )
    keep_bytes: Size = Field(
        ByteSize(200 * _GIB), gt=0, description="What uploads, tracks and edits may take together."
    )
    keep_in_use_hours: float = Field(
        26.0,
        gt=0,
        le=24 * _LONGEST_DAYS,
        description="For so long after its use a file may be a job's. Longer than a job takes, which is a day at most.",
    )

    def kept_for(self, folder: str) -> timedelta | None:
        """The age that ends the time of a folder of `FOLDERS`; None: nothing there ever gets too old."""
        days: float | None = getattr(self, FOLDERS[folder])
        return None if days is None else timedelta(days=days)

    @property
    def in_use(self) -> timedelta:
        """What was used within this time may be in use."""
        return timedelta(hours=self.keep_in_use_hours)

    def described(self) -> Iterator[tuple[str, str]]:
        """Each kind with the time and the size that it is kept for, in words."""
        for folder in FOLDERS:
            age = self.kept_for(folder)
            yield folder, "for ever" if age is None else f"{age / timedelta(days=1):g} days"
        yield "ledger", "for ever" if self.keep_ledger_days is None else f"{self.keep_ledger_days:g} days"
        yield "+".join(SPARE), f"{self.keep_bytes.human_readable()} together"
