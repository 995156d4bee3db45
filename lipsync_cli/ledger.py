"""Records a job of `lipsync run --ledger` in the ledger that `lipsync report` reads."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lipsync_cli.extra import service_extra, service_settings
from lipsync_core.report import JobReport

if TYPE_CHECKING:
    from lipsync_service.ledger.local import LocalLedger

_COMMAND = "lipsync run --ledger"
#: The file that `make up` writes, below the folder that the command is called in.
_SERVICE_FILE = Path(".lipsync") / "ledger.env"
#: In place of an address: the ledger of the settings, by default the user's own.
OWN = "auto"


def open_ledger(url: str) -> "LocalLedger":
    """The ledger at `url`, or the user's own; nothing is written yet.

    Raises:
        OptionError: the address cannot be used, or the extra `service` is not installed.
    """
    settings = service_settings(_COMMAND)
    with service_extra(_COMMAND):
        from lipsync_service.ledger.local import LocalLedger
    own_url = settings.database_url.get_secret_value()
    if url in (OWN, own_url):
        return LocalLedger(own_url, settings.spool_dir)
    return LocalLedger.beside(url, settings.spool_dir)


def known_ledger(command: str, database: str | None, service_file: Path | None = None) -> str:
    """The address of the ledger to use: `database`, or that of the environment, of `make up` here, or the user's own.

    `make up` writes it beside `service_file`, by default below the present folder.

    Raises:
        OptionError: a setting cannot be used, or the extra `service` is not installed.
    """
    if database is not None:
        return database
    beside = _SERVICE_FILE if service_file is None else service_file.with_name(_SERVICE_FILE.name)
    file = beside if beside.is_file() else None
    return service_settings(command, file).database_url.get_secret_value()


def recorded(ledger: "LocalLedger", video: Path, audio: Path, work: Callable[[], JobReport]) -> JobReport:
    """Do the work and record its result or failure; a ledger that is down changes neither."""
    from lipsync_service.ledger.local import record_failure, record_report

    try:
        report = work()
    except BaseException as failure:  # a signal as well
        record_failure(failure, video, audio, ledger)
        raise
    record_report(report, video, audio, ledger)
    return report
