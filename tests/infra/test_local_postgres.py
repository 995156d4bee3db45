"""The stack's PostgreSQL starts again after every kind of end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra.local.layout import Layout
from tests.servers import about_to_start, starts_servers

pytestmark = starts_servers

ROOT = Path(__file__).parents[2]
ORDER = """
import sys
from pathlib import Path
from infra.local.layout import Layout
from infra.local.postgres import start_postgres, stop_postgres
layout = Layout(Path("."), Path(sys.argv[1]))
print(start_postgres(layout).ledger if sys.argv[2] == "start" else stop_postgres(layout))
"""


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    layout = Layout(tmp_path, tmp_path / "stack")
    yield layout
    ordered(layout, "stop")


def ordered(layout: Layout, word: str) -> str:
    """Start or stop PostgreSQL as `make up` and `make down` do, in a process of its own."""
    about_to_start("PostgreSQL")
    command = [sys.executable, "-c", ORDER, str(layout.root), word]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120).stdout.strip()


def noted(layout: Layout) -> int:
    """The process id in PostgreSQL's own note."""
    return int((layout.postgres / "postmaster.pid").read_text().split()[0])


def test_it_starts_at_once_after_it_was_killed_and_has_everything(layout: Layout) -> None:
    url = ordered(layout, "start")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        os.kill(noted(layout), signal.SIGKILL)
        assert ordered(layout, "start") == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]


def test_another_program_with_its_process_id_is_not_taken_for_it(layout: Layout) -> None:
    ordered(layout, "start")
    note = layout.postgres / "postmaster.pid"
    stranger = "\n".join([str(os.getpid()), *note.read_text().splitlines()[1:]]) + "\n"
    assert ordered(layout, "stop") == "True"
    note.write_text(stranger)
    assert ordered(layout, "stop") == "False"
    note.write_text(stranger)
    with psycopg.connect(ordered(layout, "start")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert noted(layout) != os.getpid()


def test_its_cache_is_small_from_the_first_start_on(layout: Layout) -> None:
    for _ in range(2):
        with psycopg.connect(ordered(layout, "start")) as connection:
            assert connection.execute("SHOW shared_buffers").fetchall() == [("64MB",)]
        ordered(layout, "stop")
