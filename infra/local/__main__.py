"""`python -m infra.local up`: the whole service on this machine; `down` stops it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.local.layout import DEFAULT_FIRST_PORT, Layout
from lipsync_cli.environment import is_debug
from lipsync_cli.exit_statuses import SUCCESS
from lipsync_cli.extra import service_extra
from lipsync_cli.failures import report_failure

if TYPE_CHECKING:
    from infra.local.stack import Stack

_SOURCE = Path(__file__).resolve().parents[2]


@click.group()
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
    default=_SOURCE / ".lipsync",
    help="Folder of all data, logs and process ids.",
)
@click.option(
    "--first-port",
    type=click.IntRange(1024, 55_000),
    default=DEFAULT_FIRST_PORT,
    envvar="LIPSYNC_FIRST_PORT",
    show_default=True,
    help="The first of six neighbouring ports: Prefect, S3, S3's three parts, the watcher's figures.",
)
@click.pass_context
def main(context: click.Context, root: Path, first_port: int) -> None:
    """The service on one machine, without containers."""
    context.obj = Layout(_SOURCE, root, first_port)


@main.command()
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Workers of each pool. One fills this machine; more show what they cost (lipsync bench scalability).",
)
@click.pass_obj
def up(layout: Layout, workers: int) -> None:
    """Start all parts that do not run yet, and stop workers beyond --workers."""
    stack = _stack(layout, workers)
    from infra.local.client_env import write_caller_files
    from infra.local.instructions import how_to_use
    from lipsync_service.settings import load_settings

    settings = load_settings()
    click.echo("starting")
    stack.up()
    click.echo(how_to_use(layout, write_caller_files(layout, settings), settings))


@main.command()
@click.pass_obj
def down(layout: Layout) -> None:
    """Stop what `up` started; the data stays."""
    stack = _stack(layout)
    click.echo("stopping")
    stack.down()


def _stack(layout: Layout, workers: int = 1) -> "Stack":
    """The stack, loaded here so that help needs none of it. Raises OptionError where it is not installed."""
    with service_extra("python -m infra.local", "install it with: make up"):
        from infra.local.stack import Stack
    return Stack(layout, lambda part: click.echo(f"  {part}"), workers)


def run() -> int:
    """Run the command, and return its exit status; a failure is one line, as those of `lipsync` are."""
    try:
        main.main(standalone_mode=False)
    except (Exception, KeyboardInterrupt, click.exceptions.Abort) as failure:
        return report_failure(failure, is_debug())
    return SUCCESS


if __name__ == "__main__":
    sys.exit(run())
