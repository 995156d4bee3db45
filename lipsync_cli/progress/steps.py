"""Shows the progress of the service's jobs on standard error: a bar on a terminal, a line every 5 s elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from lipsync_cli.progress.run import LINE_INTERVAL_S
from lipsync_cli.wording import in_mb
from lipsync_core.report import Progress


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a job or of a batch, as the user sees it."""

    text: str
    percent: float | None = None  # 0..100; None: unknown


ShowStep = Callable[[Step], None]


@contextmanager
def shown_steps(is_quiet: bool) -> Iterator[ShowStep]:
    """A callback that shows steps on standard error until the block ends."""
    if is_quiet:
        yield _ignore
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield StepLines()


class StepLines:
    """Writes a line for each new text, and one every `LINE_INTERVAL_S` while only the percentage changes."""

    def __init__(self) -> None:
        self._last = Step("")
        self._next_line_s = 0.0

    def __call__(self, step: Step) -> None:
        """Take `step`, and write a line if one is due."""
        now_s = time.monotonic()
        if step.text == self._last.text and (step == self._last or now_s < self._next_line_s):
            return
        self._last, self._next_line_s = step, now_s + LINE_INTERVAL_S
        click.echo(step.text if step.percent is None else f"{step.text}: {step.percent:.0f} %", err=True)


def transfer_step(path: Path, progress: Progress) -> Step:
    """The step that shows a transfer of `path`, in megabytes."""
    verb = "uploading" if progress.stage == "put" else "downloading"
    if not progress.total:
        return Step(f"{verb} {path.name}")
    return Step(f"{verb} {path.name} ({in_mb(progress.total)} MB)", 100 * progress.done / progress.total)


def _ignore(step: Step) -> None:
    """Show nothing, as the command is quiet."""


@contextmanager
def _bar() -> Iterator[ShowStep]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    percent = TextColumn("{task.fields[percent]:>5}")
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=None), percent, TimeElapsedColumn())
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task_id = bar.add_task("starting", total=None, percent="")

        def show(step: Step) -> None:
            total = None if step.percent is None else 100.0
            text = "" if step.percent is None else f"{step.percent:.0f} %"
            bar.update(task_id, description=step.text, completed=step.percent or 0.0, total=total, percent=text)

        yield show
