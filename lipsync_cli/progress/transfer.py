"""Shows the progress of a model's installation on standard error: a bar on a terminal, a line every 5 s elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from lipsync_cli.progress.run import LINE_INTERVAL_S, terminal_bar
from lipsync_cli.wording import in_mb
from lipsync_core.report import Progress, ProgressCallback

_STAGES = {
    "wait": "waiting for another installation of it",
    "download": "downloading",
    "import": "importing",
}


@contextmanager
def shown_transfer(name: str) -> Iterator[ProgressCallback]:
    """A callback that shows the installation of the model `name` until the block ends."""
    if sys.stderr.isatty():
        with _bar(name) as callback:
            yield callback
    else:
        yield TransferLines(name)


class TransferLines:
    """Writes a line when a stage begins, and then one every `LINE_INTERVAL_S`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stage = ""
        self._started_s = self._next_line_s = 0.0
        self._started_bytes = 0

    def __call__(self, progress: Progress) -> None:
        """Take `progress`, and write a line if one is due."""
        now_s = time.monotonic()
        if progress.stage != self._stage:
            self._stage, self._started_s, self._next_line_s = progress.stage, now_s, now_s
            self._started_bytes = progress.done
        if now_s >= self._next_line_s:
            self._next_line_s = now_s + LINE_INTERVAL_S
            rate = (progress.done - self._started_bytes) / max(1e-9, now_s - self._started_s)  # bytes/s
            click.echo(f"{self._name}: {describe(progress, rate)}", err=True)


def describe(progress: Progress, bytes_per_s: float) -> str:
    """One line: the stage, its megabytes and their total, the rate and the remaining time, as far as they are known."""
    parts = [_STAGES.get(progress.stage, progress.stage)]
    if progress.total:
        parts.append(f"{in_mb(progress.done)} of {in_mb(progress.total)} MB")
        if bytes_per_s > 0:
            left_s = (progress.total - progress.done) / bytes_per_s
            parts.append(f"{in_mb(bytes_per_s)} MB/s, {left_s:.0f} s left")
    return ", ".join(parts)


@contextmanager
def _bar(name: str) -> Iterator[ProgressCallback]:
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with terminal_bar(*columns) as bar:
        task_id = bar.add_task(name, total=None)
        stage = ""

        def show(progress: Progress) -> None:
            nonlocal stage
            if progress.stage != stage:
                stage = progress.stage
                description = f"{name}: {_STAGES.get(stage, stage)}"
                bar.reset(task_id, description=description, total=progress.total, completed=progress.done)
            bar.update(task_id, completed=progress.done, total=progress.total)

        yield show
