"""Reports failures to the user: one line on standard error and an exit status."""

import errno
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

import click

from lipsync_cli.exit_statuses import BROKEN_PIPE, INTERRUPTED, INTERRUPTED_CODE
from lipsync_cli.signals import Interrupted
from lipsync_cli.wording import in_one_line
from lipsync_core.errors import DiskFullError, LipSyncError, OptionError, OutputError, shortened
from lipsync_core.shortage import shortage_behind
from lipsync_core.shown_text import printable


def report_failure(failure: BaseException, is_debug: bool) -> int:
    """Write the failure to standard error and return its exit status."""
    if isinstance(failure, BrokenPipeError):  # the reader of our output has closed it
        _discard_stdout()
        return BROKEN_PIPE
    if is_debug:
        traceback.print_exception(failure, file=sys.stderr)
    failure = shortage_behind(failure) or failure
    code, text, status = _describe(failure, is_debug)
    click.echo(printable(in_one_line(f"lipsync: error {code}: {text}")), err=True)
    return status


def write_stdout(text: str) -> None:
    """Write `text` and a newline to standard output, and flush it.

    Raises:
        BrokenPipeError: the reader has closed its end.
        OutputError: standard output is closed or its disk is full.
    """
    try:
        click.echo(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as exc:
        _discard_stdout()
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise OutputError(f"standard output cannot be written: {reason}", "redirect it elsewhere") from exc


def write_file(path: Path, text: str, remedy: str) -> None:
    """Write `text` to the file `path`, whole or not at all. Raises OutputError, with `remedy`, where it cannot be."""
    target = Path(os.path.realpath(path))  # resolve() raises an error of its own where links lead in a circle
    part = target.with_name(f"{target.name}.partial")
    try:
        with suppress(FileNotFoundError):
            path.stat()  # fails where links lead in a circle
        if path.exists() and not path.is_file():  # a pipe, or /dev/null
            path.write_text(text, encoding="utf-8")
            return
        part.write_text(text, encoding="utf-8")
        part.replace(target)
    except OSError as exc:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {exc.strerror}", remedy) from exc


def _describe(failure: BaseException, is_debug: bool) -> tuple[str, str, int]:
    """The code, the fault with its remedy, and the exit status."""
    match failure:
        case LipSyncError():
            return failure.code, str(failure), failure.exit_status
        case click.UsageError():
            command = failure.ctx.command_path if failure.ctx else "lipsync"
            # Click's message for a missing command is the whole page of help.
            is_bare = isinstance(failure, click.exceptions.NoArgsIsHelpError)
            fault = "a command is missing" if is_bare else shortened(failure.format_message()).rstrip(".")
            return OptionError.code, f"{fault}; see: {command} --help", OptionError.exit_status
        case Interrupted():
            return INTERRUPTED_CODE, f"{failure}; {failure.remains}", failure.exit_status
        case KeyboardInterrupt():
            return INTERRUPTED_CODE, "stopped; nothing was written", INTERRUPTED
        case OSError() if failure.errno == errno.ENOSPC:
            return DiskFullError.code, f"{failure}; free some space", DiskFullError.exit_status
    advice = "see the traceback above" if is_debug else "run again with --debug for the traceback"
    return LipSyncError.code, f"{type(failure).__name__}: {shortened(str(failure))}; {advice}", LipSyncError.exit_status


def _discard_stdout() -> None:
    """Point standard output at the null device, else the interpreter fails once more when it flushes at exit."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.close(sink)
