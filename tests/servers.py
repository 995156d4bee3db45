"""Tests that start PostgreSQL, S3, Prefect, Triton or a browser carry the mark `servers`; test-fast leaves them out."""

import pytest

starts_servers = pytest.mark.servers

_left_out = False


def leave_out() -> None:
    """Forbid the start of servers from now on."""
    global _left_out  # one flag for all tests of this process
    _left_out = True


def about_to_start(name: str) -> None:
    """Fail if servers must not be started; a fixture calls this before it starts the server `name`."""
    if _left_out:
        pytest.fail(f"this test starts {name} and carries no mark 'servers'")
