"""How failures reach the user: one line on standard error and an exit status from a fixed table."""

import errno
import os
import sys
import traceback

import click

import lipsync_service.errors
from lipsync_cli.signals import Interrupted
from lipsync_cli.wording import in_one_line
from lipsync_core.errors import LipSyncError, OptionError, OutputError

SUCCESS = 0
_ERROR_MODULES = (LipSyncError.__module__, lipsync_service.errors.__name__)
_BROKEN_PIPE = 128 + 13  # as shells count a death by SIGPIPE


def exit_table() -> tuple[tuple[int, tuple[str, ...]], ...]:
    """Every exit status with the error codes of the core and of the service that lead to it, ascending."""
    codes: dict[int, list[str]] = {SUCCESS: [], _interrupted_status(): ["INTERRUPTED"]}
    pending: list[type[LipSyncError]] = [LipSyncError]
    while pending:
        kind = pending.pop(0)
        if kind.__module__ in _ERROR_MODULES:
            codes.setdefault(kind.exit_status, []).append(kind.code)
        pending.extend(kind.__subclasses__())
    return tuple((status, tuple(codes[status])) for status in sorted(codes))


def report_failure(failure: BaseException, is_debug: bool) -> int:
    """Write the failure to standard error and return the exit status that it deserves."""
    if isinstance(failure, BrokenPipeError):  # whoever read our output has seen enough
        _discard_stdout()
        return _BROKEN_PIPE
    if is_debug:
        traceback.print_exception(failure, file=sys.stderr)
    code, text, status = _describe(failure, is_debug)
    line = in_one_line(f"lipsync: error {code}: {text}")
    click.echo("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line), err=True)
    return status


def write_stdout(text: str) -> None:
    """Write `text` and a newline to standard output, and see it through.

    Raises:
        BrokenPipeError: nobody reads any more.
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


def _describe(failure: BaseException, is_debug: bool) -> tuple[str, str, int]:
    """The code, what is wrong and what to do, and the exit status."""
    match failure:
        case LipSyncError():
            return failure.code, str(failure), failure.exit_status
        case click.UsageError():
            command = failure.ctx.command_path if failure.ctx else "lipsync"
            what = failure.format_message().rstrip(".")
            return OptionError.code, f"{what}; see: {command} --help", OptionError.exit_status
        case Interrupted():
            return "INTERRUPTED", f"{failure}; {failure.remains}", failure.exit_status
        case KeyboardInterrupt():
            return "INTERRUPTED", "stopped; nothing was written", _interrupted_status()
        case OSError() if failure.errno == errno.ENOSPC:
            return "DISK_FULL", f"{failure}; free some space", OutputError.exit_status
    advice = "see the traceback above" if is_debug else "run again with --debug for the traceback"
    return LipSyncError.code, f"{type(failure).__name__}: {failure}; {advice}", LipSyncError.exit_status


def _interrupted_status() -> int:
    return 130


def _discard_stdout() -> None:
    """Point standard output at nothing, or the interpreter complains once more when it flushes at exit."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.close(sink)
