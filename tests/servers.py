"""Tests that start PostgreSQL, S3, Prefect or a browser carry the mark `servers`; `make test-fast` leaves them out."""

import pytest

starts_servers = pytest.mark.servers

_left_out = False


def leave_out() -> None:
    """From now on nothing may be started."""
    global _left_out  # one for all that this process runs
    _left_out = True


def about_to_start(name: str) -> None:
    """To be called by whatever starts the server `name`."""
    if _left_out:
        pytest.fail(f"this test starts {name} and carries no mark 'servers'")
