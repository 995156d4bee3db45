"""Shows the progress of a local job on standard error: a bar on a terminal, a line every 5 s elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from lipsync_core.report import Progress, ProgressCallback

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn

LINE_INTERVAL_S = 5.0
_DRAWN_EVERY_S = 0.1


@contextmanager
def shown_progress(is_quiet: bool) -> Iterator[ProgressCallback | None]:
    """A callback that shows progress until the block ends, or None if the command is quiet."""
    if is_quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar() as callback:
            yield callback
    else:
        yield ProgressLines()


class ProgressLines:
    """Writes a line when a stage begins, and then one every `LINE_INTERVAL_S`."""

    def __init__(self) -> None:
        self._stage = ""
        self._stage_started_s = 0.0
        self._next_line_s = 0.0

    def __call__(self, progress: Progress) -> None:
        """Take `progress`, and write a line if one is due."""
        now_s = time.monotonic()
        if progress.stage != self._stage:
            self._stage, self._stage_started_s, self._next_line_s = progress.stage, now_s, now_s
        if now_s >= self._next_line_s:
            self._next_line_s = now_s + LINE_INTERVAL_S
            click.echo(describe(progress, now_s - self._stage_started_s), err=True)


def describe(progress: Progress, elapsed_s: float) -> str:
    """One line: the stage, its count and total, the rate and the remaining time, as far as they are known."""
    parts = [f"{progress.stage}: {progress.done}" + (f" of {progress.total}" if progress.total else "")]
    if progress.done and elapsed_s > 0:
        rate_hz = progress.done / elapsed_s
        parts.append(f"{rate_hz:.1f}/s")
        if progress.total:
            parts.append(f"{max(0, progress.total - progress.done) / rate_hz:.0f} s left")
    return ", ".join(parts)


@contextmanager
def terminal_bar(*columns: "ProgressColumn", moves_itself: bool = True) -> Iterator["Bar"]:
    """A bar on standard error that disappears when the block ends; standard output is left to the command.

    `moves_itself`: a thread draws it, now and then; otherwise the caller does.
    """
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    with Bar(
        *columns,
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        auto_refresh=moves_itself,
    ) as bar:
        yield bar


@contextmanager
def _bar() -> Iterator[ProgressCallback]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<8}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:>10}"),
        TimeRemainingColumn(compact=True),
    )
    # A process with a second thread cannot be copied, as `--jobs` does.
    with terminal_bar(*columns, moves_itself=False) as bar:
        task_id = bar.add_task("starting", total=None, rate="")
        drawn_s = 0.0

        def show(progress: Progress) -> None:
            task = bar.tasks[0]
            if progress.stage != task.description:
                bar.reset(task_id, description=progress.stage, total=progress.total, rate="")
            rate = f"{task.speed:.1f}/s" if task.speed else ""
            bar.update(task_id, completed=progress.done, total=progress.total, rate=rate)
            nonlocal drawn_s
            if (now_s := time.monotonic()) >= drawn_s + _DRAWN_EVERY_S or progress.done == progress.total:
                drawn_s = now_s
                bar.refresh()

        yield show
