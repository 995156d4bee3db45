"""`lipsync bench`: measurements of a service, written as reports."""

import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TYPE_CHECKING

import click

from lipsync_cli.environment import SERVICE_FILE, service_option
from lipsync_cli.extra import service_extra, service_settings
from lipsync_cli.failures import write_file, write_stdout
from lipsync_cli.signals import remaining
from lipsync_core.errors import OptionError, OutputError
from lipsync_core.option_specs import MODELS

if TYPE_CHECKING:
    from lipsync_cli.bench.figures import Figures
    from lipsync_cli.bench.inputs import InputPair, Say
    from lipsync_cli.bench.target import Target

_COMMAND = "lipsync bench scalability"
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_LEDGER_FILE = "ledger.env"  # `make up` writes it beside service.env


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The options that say what is measured."""

    is_quick: bool
    video: Path | None
    audio: Path | None
    model: str
    has_workers: bool
    first_port: int | None


@click.group()
def bench() -> None:
    """Measure a service, and write a report."""


@bench.command()
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("scalability"),
    metavar="DIR",
    help="Folder for report.md, report.html and figures.json.",
)
@click.option("--quick", "is_quick", is_flag=True, help="Short clips, few requests: below 5 minutes on two cores.")
@click.option("--video", type=_FILE, show_default="the demo's", help="The face.")
@click.option("--audio", type=_FILE, show_default="the demo's", help="The speech.")
@click.option("--model", type=click.Choice(MODELS), default="viseme", help="The model of every job.")
@click.option(
    "--workers/--no-workers",
    "has_workers",
    default=True,
    help="Measure 1, 2, 4 and 8 workers too, on a service that the command starts; that needs a clone.",
)
@click.option(
    "--first-port",
    type=click.IntRange(1024, 55_000),
    show_default="free ones",
    help="The first of six neighbouring ports for that service.",
)
@click.option("--from", "file", type=_FILE, help="Measure nothing; write the reports of this figures.json anew.")
@service_option
def scalability(folder: Path, file: Path | None, service_file: Path | None, **chosen: object) -> None:
    """Measure how a service scales, beside `lipsync run` and beside the system that it replaces.

    Requests whose inputs all differ are sent 1, 2, 4, 8 and 16 at once. CPU and memory of the service's parts are
    measured where `make up` has started it on this machine; elsewhere the report says what could not be seen.

    \b
    lipsync bench scalability --quick -o report
    lipsync bench scalability --from report/figures.json -o report
    """
    with service_extra(_COMMAND):
        from lipsync_cli.bench.figures import from_file
    known = None if file is None else from_file(file)  # before a folder is made for nothing
    _make_folder(folder)
    if known is None:
        known = _measured(_Chosen(**chosen), service_file)  # type: ignore[arg-type]  # click checks them
    _write_reports(known, folder)
    write_stdout("\n".join(str(folder / name) for name in ("report.html", "report.md", "figures.json")))


def _measured(chosen: _Chosen, service_file: Path | None) -> "Figures":
    from lipsync_cli.bench.form import QUICK, WHOLE
    from lipsync_cli.bench.measuring import Measurement, Order
    from lipsync_cli.bench.own_stack import own_stack, repository

    target, say, clone = _target(service_file), _Clock(), repository()
    target.check()
    has_own = chosen.has_workers and clone is not None
    with TemporaryDirectory(prefix="lipsync-bench-", ignore_cleanup_errors=True) as name:
        order = Order(
            name="quick" if chosen.is_quick else "whole",
            form=(QUICK if chosen.is_quick else WHOLE).with_workers(has_own),
            source=_source(chosen, Path(name), clone, say),
            model=chosen.model,
            command=shlex.join(["lipsync", *sys.argv[1:]]),
            folder=Path(name),
        )
        own = own_stack(clone, chosen.first_port) if has_own and clone is not None else None
        with remaining("no report was written; jobs that were submitted go on"):
            return Measurement(order, target, say).figures(own)


class _Clock:
    """Writes each step to standard error, behind the minutes and seconds since the start."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    def __call__(self, step: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._began_s), 60)
        click.echo(f"{minutes:3}:{seconds:02}  {step}", err=True)


def _target(service_file: Path | None) -> "Target":
    from lipsync_cli.bench.parts import LocalParts
    from lipsync_cli.bench.target import Target
    from lipsync_service.gpu_meter import open_gpu

    if service_file is None and SERVICE_FILE.is_file():
        service_file = SERVICE_FILE
    settings = service_settings(_COMMAND, service_file)
    beside = service_file.absolute().parent if service_file else None
    parts = LocalParts(beside) if beside else None
    ledger_file = beside / _LEDGER_FILE if beside else None
    known = service_settings(_COMMAND, ledger_file if ledger_file and ledger_file.is_file() else None)
    has_ledger = "database_url" in known.model_fields_set
    return Target(
        settings,
        parts if parts is not None and parts.is_here else None,
        known.database_url.get_secret_value() if has_ledger else None,
        open_gpu(settings.visible_gpus),
    )


def _source(chosen: _Chosen, folder: Path, clone: Path | None, say: "Say") -> "InputPair":
    """The given files, or the demo's.

    Raises:
        OptionError: one is missing, and the demo is not here.
    """
    from lipsync_cli.bench.inputs import InputPair

    if chosen.video is not None and chosen.audio is not None:
        return InputPair(chosen.video, chosen.audio)
    if clone is None:
        raise OptionError("the demo's clip is not part of this installation", "give --video and --audio")
    return InputPair(chosen.video or _demo_face(clone, folder, say), chosen.audio or clone / "demo" / "speech.wav")


def _demo_face(clone: Path, folder: Path, say: "Say") -> Path:
    """The demo's face: that of `make demo`, or made anew.

    Raises:
        OptionError: the extra `demo` is not installed.
    """
    made = clone / "demo" / "face.mp4"
    if made.is_file():
        return made
    say("making the demo's clip")
    path = folder / "demo-face.mp4"
    command = [sys.executable, str(clone / "demo" / "make_face_clip.py"), str(path)]
    if subprocess.run(command, capture_output=True).returncode:  # noqa: S603 - the repository's own script
        raise OptionError("the demo's clip cannot be made without the extra 'demo'", "give --video and --audio")
    return path


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise OutputError(f"{folder} cannot be made: {exc.strerror}", "choose another folder with -o") from exc
    try:
        with TemporaryFile(dir=folder):  # before an hour of measuring
            pass
    except OSError as exc:
        raise OutputError(f"{folder} cannot be written: {exc.strerror}", "choose another folder with -o") from exc


def _write_reports(figures: "Figures", folder: Path) -> None:
    from lipsync_cli.bench.figures import to_json
    from lipsync_cli.render.scalability_page import render_html
    from lipsync_cli.render.scalability_text import render_markdown

    texts = {
        "figures.json": to_json(figures),
        "report.md": render_markdown(figures),
        "report.html": render_html(figures),
    }
    for name, text in texts.items():
        write_file(folder / name, f"{text}\n", "choose another with -o")
