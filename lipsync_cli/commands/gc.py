"""`lipsync gc`: removes what the service no longer needs, or says what would go."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lipsync_cli.environment import SERVICE_FILE, service_option
from lipsync_cli.extra import service_extra, service_settings
from lipsync_cli.failures import write_stdout
from lipsync_cli.ledger import known_ledger

if TYPE_CHECKING:
    from lipsync_service.cleaning.service import Cleaning

_COMMAND = "lipsync gc"
_MB = 1e6
_HEADER = ("", "removed", "MB", "kept", "MB", "in use")


@click.command(epilog="The ages and the quota are settings: What grows, in docs/service.md.")
@click.option("--dry-run", is_flag=True, help="Remove nothing; say what would go, and how much.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object to standard output.")
@click.option("--database", metavar="URL", help="The ledger, as of lipsync report.")
@service_option
def gc(dry_run: bool, as_json: bool, database: str | None, service_file: Path | None) -> None:
    """Remove uploads, face tracks, edits and leftovers that are too old or beyond the quota.

    What a job uses that has not ended stays, whatever its age. Prefect's own server removes old runs, logs and events.
    The service does the same every day, by the deployment lipsync-gc.
    """
    with service_extra(_COMMAND):
        from pydantic import SecretStr

        from lipsync_service.cleaning.service import clean
    if service_file is None and SERVICE_FILE.is_file():
        service_file = SERVICE_FILE
    settings = service_settings(_COMMAND, service_file)
    ledger = SecretStr(known_ledger(_COMMAND, database, service_file))
    cleaning = clean(settings.model_copy(update={"database_url": ledger}), dry_run)
    write_stdout(json.dumps(cleaning.fields(), indent=2) if as_json else _text(cleaning))


def _text(cleaning: "Cleaning") -> str:
    rows = [
        (
            each.kind,
            str(each.removed),
            f"{each.removed_bytes / _MB:.1f}",
            str(each.kept),
            f"{each.kept_bytes / _MB:.1f}",
            str(each.in_use),
        )
        for each in cleaning.kinds
    ]
    header = ("", "would go", *_HEADER[2:]) if cleaning.is_dry else _HEADER
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [_line(row, widths) for row in (header, *rows)]
    verb = "would go" if cleaning.is_dry else "removed"
    return "\n".join([*lines, f"{cleaning.removed} {verb}, {cleaning.removed_bytes / _MB:.1f} MB"])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *figures = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join([name, *(cell.strip().rjust(len(cell)) for cell in figures)]).rstrip()
