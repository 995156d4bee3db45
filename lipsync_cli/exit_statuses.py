"""Every exit status of `lipsync` with its error codes and its meaning: the one table of `--help`, README and tests.

`python -m lipsync_cli.exit_statuses` prints it as the README shows it. The codes come from the error classes.
"""

import sys
from dataclasses import dataclass

import lipsync_service.errors  # noqa: F401 - declares the errors of the service
from lipsync_core.errors import error_classes

SUCCESS = 0
INTERRUPTED = 130  # 128 + SIGINT, as shells count
INTERRUPTED_CODE = "INTERRUPTED"
BROKEN_PIPE = 141  # 128 + SIGPIPE


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """One exit status of the command."""

    status: int
    codes: tuple[str, ...]  # of the errors that lead to it
    meaning: str  # as `--help` says it; empty: `--help` leaves it out
    remark: str = ""  # the README says this too


_MEANINGS = {
    SUCCESS: ("done", ""),
    1: ("a fault of this program; of doctor: something is missing", "`--debug` shows the traceback"),
    2: ("an option cannot be used", ""),
    3: ("an input file cannot be used", ""),
    4: ("too few frames with a usable face", ""),
    5: ("the output cannot be written", ""),
    6: ("a model cannot be used", ""),
    7: ("the service's storage refused an address or a file", ""),
    8: ("a job of the service lost its worker, or took too long", "`lipsync jobs retry` runs it again"),
    9: ("a job of the service was cancelled", ""),
    10: ("some rows of a manifest have no output", ""),
    11: ("memory ran out", "a smaller picture or `--max-size` needs less"),
    12: ("a strict job or check was stopped by a warning of the preflight", ""),
    13: ("a result was not signed, or a file is not as it was signed", "a result that was not signed is whole"),
    14: ("the result's sync score is lower than --min-score, or its pictures have a fault", "no output is written"),
    75: ("a download failed, or a server is down; try again", ""),
    INTERRUPTED: ("stopped by Ctrl-C; nothing is left behind (143: by SIGTERM)", "129: by a closed terminal"),
    BROKEN_PIPE: ("", "the reader of standard output closed it; nothing is said"),
}


def exit_table() -> tuple[ExitStatus, ...]:
    """Every exit status, ascending.

    Raises:
        KeyError: an error class has a status without a meaning.
    """
    codes: dict[int, list[str]] = {SUCCESS: [], INTERRUPTED: [INTERRUPTED_CODE], BROKEN_PIPE: []}
    for kind in error_classes():
        codes.setdefault(kind.exit_status, []).append(kind.code)
    return tuple(ExitStatus(status, tuple(codes[status]), *_MEANINGS[status]) for status in sorted(codes))


def exit_table_text() -> str:
    """The table as `lipsync --help` ends with it."""
    return "\n".join(f"  {each.status:3}  {each.meaning}" for each in exit_table() if each.meaning)


def exit_table_markdown() -> str:
    """The table as the README shows it."""
    rows = ["| exit status | codes | meaning |", "|---|---|---|"]
    for each in exit_table():
        codes = " ".join(f"`{code}`" for code in each.codes)
        meaning = "; ".join(filter(None, (each.meaning, each.remark)))
        rows.append(" ".join(filter(None, (f"| {each.status} |", codes, f"| {meaning} |"))))
    return "\n".join(rows)


if __name__ == "__main__":
    sys.stdout.write(f"{exit_table_markdown()}\n")
