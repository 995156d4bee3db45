"""The record of accepted licences in a models folder."""

import json
import logging
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from lipsync_core.errors import LicenceError
from lipsync_core.models.registry import ModelEntry

_SCHEMA = "lipsync.licence/1"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The record that a licence was accepted; it does not name the person."""

    model: str
    licence: str
    date: date
    sha256: tuple[str, ...]  # of the weights for which it was accepted


class LicenceBook:
    """Acceptances below one folder, a file for each model."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def acceptance(self, entry: ModelEntry) -> Acceptance | None:
        """The acceptance of the model's licence; None if there is none, or if the licence has changed since."""
        path = self._path(entry)
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            day, sums = date.fromisoformat(fields["date"]), tuple(fields["sha256"])
            found = Acceptance(entry.name, fields["licence"], day, sums)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as exc:
            _logger.warning("%s cannot be read and counts as not accepted: %s", path, exc)
            return None
        return found if found.licence == entry.licence else None

    def is_usable(self, entry: ModelEntry) -> bool:
        """Whether the licence needs no acceptance, or has been accepted."""
        return entry.commercial_use or self.acceptance(entry) is not None

    def require(self, entry: ModelEntry, command: str) -> None:
        """Make sure that the model may be used.

        Raises:
            LicenceError: its licence has to be accepted first; `command` with --accept-licence does so.
        """
        if not self.is_usable(entry):
            raise LicenceError(
                f"{entry.name} comes under the licence {entry.licence!r}, which forbids commercial use: "
                f"{entry.licence_url}",
                f"to accept it, run: {command} --accept-licence",
            )

    def accept(self, entry: ModelEntry, sha256: tuple[str, ...]) -> None:
        """Record, once, that the licence was accepted for the weights with these sha256 sums.

        Only one caller at a time may do so for the same model.

        Raises:
            OSError: the folder cannot be written.
        """
        if self.is_usable(entry):
            return
        accepted = Acceptance(entry.name, entry.licence, datetime.now(UTC).date(), sha256)
        fields = {"schema": _SCHEMA, **asdict(accepted), "date": accepted.date.isoformat()}
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(entry)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
        new.replace(path)

    def _path(self, entry: ModelEntry) -> Path:
        return self._folder / f"{entry.name}.json"
