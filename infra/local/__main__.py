"""`python -m infra.local up`: the whole service on this machine; `down` stops it."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path

import click

from infra.local.client_env import write_client_env
from infra.local.layout import BUCKET, DEFAULT_FIRST_PORT, Layout
from infra.local.stack import Stack
from lipsync_cli.environment import is_debug
from lipsync_cli.exit_statuses import SUCCESS
from lipsync_cli.failures import report_failure
from lipsync_service.names import JOB_DEPLOYMENT

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
    context.obj = Stack(Layout(_SOURCE, root, first_port), lambda part: click.echo(f"  {part}"))


@main.command()
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Workers of each pool. One fills this machine; more show what they cost (lipsync bench scalability).",
)
@click.pass_obj
def up(stack: Stack, workers: int) -> None:
    """Start all parts that do not run yet, and stop workers beyond --workers."""
    click.echo("starting")
    replace(stack, workers=workers).up()
    click.echo(_how_to_use(stack.layout, write_client_env(stack.layout)))


@main.command()
@click.pass_obj
def down(stack: Stack) -> None:
    """Stop what `up` started; the data stays."""
    click.echo("stopping")
    stack.down()


def _how_to_use(layout: Layout, client_env: Path) -> str:
    is_default = client_env == Path.cwd() / ".lipsync" / client_env.name  # the command finds this file by itself
    option = "" if is_default else f" --service {_argument(client_env)}"
    command = _argument(Path(sys.executable).with_name("lipsync"))
    files = f'"video": "s3://{BUCKET}/inputs/face.mp4", "audio": "s3://{BUCKET}/inputs/speech.wav"'
    body = f'{{"parameters": {{"request": {{{files}, "output": "s3://{BUCKET}/outputs/face.mp4"}}}}}}'
    return (
        f"\nThe UI is at {layout.ui_url}; S3 is at {layout.s3_url}, "
        f"its keys are in {_argument(layout.s3_keys)}.\n"
        f"A job from files of this machine:\n\n  {command} submit face.mp4 speech.wav -o out.mp4{option}\n\n"
        f"The same over REST, from files in S3:\n\n"
        f'  id=$(curl -s {layout.api_url}/deployments/name/{JOB_DEPLOYMENT} | sed \'s/^{{"id":"\\([^"]*\\)".*/\\1/\')\n'
        f"  curl -s {layout.api_url}/deployments/$id/create_flow_run -H 'Content-Type: application/json' \\\n"
        f"    -d '{body}'\n"
    )


def _argument(path: Path) -> str:
    """The path as a shell's argument, relative if it lies below the present folder."""
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def run() -> int:
    """Run the command, and return its exit status; a failure is one line, as those of `lipsync` are."""
    try:
        main.main(standalone_mode=False)
    except (Exception, KeyboardInterrupt, click.exceptions.Abort) as failure:
        return report_failure(failure, is_debug())
    return SUCCESS


if __name__ == "__main__":
    sys.exit(run())
