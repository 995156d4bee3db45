"""The artifacts of a run in Prefect's UI: its progress, its tables, its contact sheets, a link to its result.

An artifact that Prefect's server does not take is left out, and the job goes on.
"""

import base64
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from lipsync_core.execution import ProviderChoice
from lipsync_core.preflight.codes import PreflightWarning
from lipsync_core.report import Progress
from lipsync_service.names import (
    MODEL_PART,
    PARTS_ARTIFACT,
    PREFLIGHT_ARTIFACT,
    PROGRESS_ARTIFACT,
    RESULT_ARTIFACT,
    TIMINGS_ARTIFACT,
)
from lipsync_service.result_facts import ResultFacts
from tasks.checking import CheckedInputs
from tasks.job import ChosenParts
from tasks.preview import MAX_SHEET_BYTES, Preview
from tasks.stage_log import StageLog, StageRun

_log = logging.getLogger(__name__)
_FIRST_AFTER_S = 10.0  # nobody needs a bar for less, and each costs the server as much as a state
_UPDATE_EVERY_S = 3.0
_UPDATE_SHARE = 0.1  # of the time gone by, where that is longer, so that a long job costs the server little more


class ShownProgress:
    """A progress bar of the present run, made in its tenth second. It may be called for every frame."""

    def __init__(self) -> None:
        self._artifact: UUID | None = None
        self._started_at = self._shown_at = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Move the bar: every three seconds, later at each tenth of the time gone by, and at the end."""
        now = time.monotonic()
        if not progress.total or not self._is_due(now, progress.done == progress.total):
            return
        self._shown_at = now
        percent = 100.0 * progress.done / progress.total
        with _if_possible():
            if self._artifact is not None:
                update_progress_artifact(self._artifact, progress=percent)
            else:
                made = create_progress_artifact(progress=percent, key=PROGRESS_ARTIFACT, description="Frames written")
                self._artifact = cast(UUID, made)

    def _is_due(self, now: float, is_end: bool) -> bool:
        if self._artifact is None:
            return now - self._shown_at >= _FIRST_AFTER_S  # from the start, or from an attempt that failed
        pause_s = max(_UPDATE_EVERY_S, _UPDATE_SHARE * (now - self._started_at))
        return is_end or now - self._shown_at >= pause_s


def show_timings(log: StageLog) -> None:
    """Show the present run's stages as a table, with the finer rows of each indented below it."""
    rows: list[dict[str, object]] = []
    for run in log.runs:
        cpu_s = run.cpu_s if run.parts else None  # only the finer rows are measured
        rows.append(_row(run.stage, run.wall_s, cpu_s, run.items) | {"note": _note(run)})
        rows.extend(_row(f"– {part.stage}", part.wall_s, part.cpu_s, part.items) | {"note": ""} for part in run.parts)
    show_table(rows, TIMINGS_ARTIFACT, "Where the time of this run went")


def log_choice(part: object, chosen: object, reason: object) -> None:
    """Write into the present run's log what was chosen for a part of the job, and why."""
    get_run_logger().info("%s %s%s", part, chosen, f": {reason}" if reason else "")


def show_parts(parts: ChosenParts, choice: ProviderChoice) -> None:
    """Show and log the model, the tracker and the provider that the present run has chosen, and the reasons."""
    rows: list[dict[str, object]] = [
        {"part": MODEL_PART, "chosen": parts.model.label, "reason": parts.model.reason},
        {"part": "tracker", "chosen": parts.tracker, "reason": ""},
        {"part": "networks run on", "chosen": choice.chosen or "nothing", "reason": choice.reason},
    ]
    for row in rows:
        log_choice(row["part"], row["chosen"], row["reason"])
    show_table(rows, PARTS_ARTIFACT, "The parts that this run has chosen")


def show_preflight(checked: CheckedInputs) -> None:
    """Show and log the warnings of the present run's preflight, with its contact sheet; nothing where it has none.

    They are Markdown: the cells of a table artifact are one line each, and the remedies were cut off.
    """
    found = checked.preflight.found
    for each in found:
        level = logging.INFO if each.is_note else logging.WARNING
        get_run_logger().log(level, "preflight %s: %s (%s)", each.code, each.meaning, each.detail)
    if found:
        blocks = [_warning_text(each) for each in found]
        if checked.sheet is not None:
            about = "Frames that were looked at; a green box is the face to sync"
            blocks += [f"{about}:", _picture(checked.sheet.jpeg(MAX_SHEET_BYTES), about)]
        _show_markdown("\n\n".join(blocks), PREFLIGHT_ARTIFACT, "What the preflight found, and what to do")


def _warning_text(warning: PreflightWarning) -> str:
    kind = "note" if warning.is_note else "warning"
    return f"**{warning.code}** ({kind}): {warning.meaning} ({warning.detail}). *What to do:* {warning.remedy}."


def show_result(facts: ResultFacts) -> None:
    """Show what is known of the result, for people and for callers; nothing where nothing is known."""
    rows = facts.rows()
    if rows:
        show_table(rows, RESULT_ARTIFACT, "What is known of the result")


def show_table(rows: list[dict[str, object]], key: str, description: str) -> None:
    """Show rows that have the same columns."""
    with _if_possible():
        create_table_artifact(table=rows, key=key, description=description)


def show_output(url_shown: str, account: str) -> None:
    """Show a link to the result, and what became of its picture and sound: an `account`, or nothing.

    `url_shown` holds no credentials and no signature.
    """
    description = f"The result: {account}" if account else "The result"
    with _if_possible():
        create_link_artifact(link=url_shown, link_text=url_shown, key="output", description=description)


def show_preview(preview: Preview) -> None:
    """Show frames of the result."""
    sheet = preview.sheet()
    if sheet:
        about = "Frames of the result, evenly spread"
        _show_markdown(_picture(sheet, about), "preview", about)


def _picture(jpeg: bytes, about: str) -> str:
    """Markdown with a picture inside, so that nothing has to be signed or served.

    Below an image artifact the UI prints the picture's address, here 80,000 characters long.
    """
    return f"![{about}](data:image/jpeg;base64,{base64.b64encode(jpeg).decode()})"


def _show_markdown(markdown: str, key: str, description: str) -> None:
    with _if_possible():
        create_markdown_artifact(markdown, key=key, description=description)


@contextmanager
def _if_possible() -> Iterator[None]:
    try:
        yield
    except httpx.HTTPError as exc:  # of the server's answers as well
        _log.warning("an artifact is missing: %s", type(exc).__name__)


def _row(stage: str, wall_s: float, cpu_s: float | None, items: int) -> dict[str, object]:
    return {
        "stage": stage,
        "wall s": round(wall_s, 3),
        "CPU s": "" if cpu_s is None else round(cpu_s, 3),
        "items": items or "",
        "ms an item": round(1000 * wall_s / items, 1) if items > 1 else "",
    }


def _note(run: StageRun) -> str:
    notes = ["cached"] if run.was_cached else []
    if run.provider is not None:
        notes.append(f"networks on {run.provider}")
    if run.served is not None:
        notes.append(f"model server: {run.served}")
    if run.gpu_util is not None:
        notes.append(f"GPU {run.gpu_util:.0%} busy")
    if run.gpu_mem_bytes is not None:
        notes.append(f"{run.gpu_mem_bytes / 1e9:.1f} GB of it used")
    if run.note:
        notes.append(run.note)
    return ", ".join(notes)
