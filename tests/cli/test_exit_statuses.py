import subprocess
import sys

from lipsync_cli.exit_statuses import ExitStatus, exit_table, exit_table_markdown, exit_table_text
from lipsync_core.errors import LipSyncError, OptionError


def test_the_exit_table_holds_every_error() -> None:
    table = {each.status: each.codes for each in exit_table()}
    assert table[0] == ()
    assert table[130] == ("INTERRUPTED",)
    pending = [LipSyncError]
    while pending:
        kind = pending.pop()
        assert kind.code in table[kind.exit_status]
        pending.extend(kind.__subclasses__())


def test_a_status_lists_the_parent_before_its_children() -> None:
    [options] = [each for each in exit_table() if each.status == OptionError.exit_status]
    assert options == ExitStatus(
        2, ("BAD_OPTION", "IDEMPOTENCY_CONFLICT", "JOB_NOT_FOUND", "JOB_STATE_REFUSED"), "an option cannot be used"
    )


def test_help_leaves_out_the_status_that_nobody_reads() -> None:
    assert "141" in exit_table_markdown()
    assert "141" not in exit_table_text()


def test_the_module_prints_the_table_for_the_readme() -> None:
    command = [sys.executable, "-m", "lipsync_cli.exit_statuses"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{exit_table_markdown()}\n"
