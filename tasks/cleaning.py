"""The task of a cleaning run: what `lipsync gc` does, on a worker."""

from prefect import get_run_logger, task

from lipsync_service.cleaning.service import Cleaning, clean
from lipsync_service.names import CLEANED_ARTIFACT
from lipsync_service.settings import Settings
from tasks.artifacts import show_table
from tasks.bulk import of_this_run
from tasks.stages import NOT_PERSISTED, RETRIED, TRANSFER_LIMIT_S

_MB = 1e6


@task(name="clean", task_run_name="clean", timeout_seconds=TRANSFER_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def clean_service(settings: Settings, is_dry: bool) -> Cleaning:
    """Remove what may go; a retry goes on where the last try stopped."""
    return clean(of_this_run(settings), is_dry)


def show_cleaning(cleaning: Cleaning) -> None:
    """Show the figures as an artifact, and log each kind of which something went."""
    verb = "would remove" if cleaning.is_dry else "removed"
    for each in cleaning.kinds:
        if each.removed:
            get_run_logger().info("%s %d of %s, %.1f MB", verb, each.removed, each.kind, each.removed_bytes / _MB)
    rows: list[dict[str, object]] = [
        {
            "kind": each.kind,
            verb: each.removed,
            "MB": round(each.removed_bytes / _MB, 1),
            "kept": each.kept,
            "kept MB": round(each.kept_bytes / _MB, 1),
            "in use": each.in_use,
        }
        for each in cleaning.kinds
    ]
    show_table(rows, CLEANED_ARTIFACT, "What was cleaned, and what is left")
