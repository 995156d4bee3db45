"""The `lipsync` command: its subcommands, and the frame that turns every failure into an exit status."""

import importlib.metadata
import sys
import warnings
from dataclasses import dataclass

import click

from lipsync_cli.commands.batch import batch
from lipsync_cli.commands.bench import bench
from lipsync_cli.commands.check import check
from lipsync_cli.commands.doctor import doctor
from lipsync_cli.commands.gc import gc
from lipsync_cli.commands.jobs import jobs
from lipsync_cli.commands.models import models
from lipsync_cli.commands.plan import plan
from lipsync_cli.commands.probe import probe
from lipsync_cli.commands.report import report
from lipsync_cli.commands.run import run
from lipsync_cli.commands.score import score
from lipsync_cli.commands.submit import submit
from lipsync_cli.commands.verify import verify
from lipsync_cli.environment import is_debug
from lipsync_cli.exit_statuses import SUCCESS, exit_table_text
from lipsync_cli.failures import report_failure, write_stdout
from lipsync_cli.signals import interruptible


@dataclass(slots=True)
class Invocation:
    """The choices of one run of the command that hold for every subcommand."""

    is_debug: bool


def _remember_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Invocation).is_debug = True


debug_option = click.option(
    "--debug",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_remember_debug,
    help="Show the traceback of an error.  [env: LIPSYNC_DEBUG=1]",
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True},
    invoke_without_command=True,
    epilog=f"\b\nExit status:\n{exit_table_text()}",
)
@click.version_option(importlib.metadata.version("lipsync"), message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Make the person in a video speak a given audio track.

    \b
    lipsync run face.mp4 speech.wav -o out.mp4
    """
    if ctx.invoked_subcommand is None:
        write_stdout(ctx.get_help())


for command in (run, check, submit, batch, jobs, probe, score, verify, models, report, plan, bench, gc, doctor):
    cli.add_command(command)


def _give_debug(command: click.Command) -> None:
    """Let --debug stand anywhere on the line: before the subcommand or behind it."""
    debug_option(command)
    if isinstance(command, click.Group):
        for child in command.commands.values():
            _give_debug(child)


_give_debug(cli)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status; no exception leaves it."""
    invocation = Invocation(is_debug=is_debug())
    try:
        with interruptible():
            if arguments is None:  # a process of our own
                arguments = sys.argv[1:]
                _hide_warnings(invocation)
            _invoke(arguments, invocation)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except BaseException as exc:  # the outermost frame: SystemExit of a library or a signal included
        return report_failure(exc, invocation.is_debug)
    return SUCCESS


def _hide_warnings(invocation: Invocation) -> None:
    """Python's warnings address developers; standard error is for users."""
    if not invocation.is_debug and not sys.warnoptions:
        warnings.simplefilter("ignore")


def _invoke(arguments: list[str], invocation: Invocation) -> None:
    for stream in (sys.stdout, sys.stderr):  # file names need not be UTF-8, and terminals need not be either
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # Not `cli.main()`: that one would turn a signal into click.Abort and an empty line.
    with cli.make_context("lipsync", arguments, obj=invocation) as ctx:
        cli.invoke(ctx)
    sys.stdout.flush()
