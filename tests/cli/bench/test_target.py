"""What is seen before inputs are made."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("pydantic_settings", reason="a measurement needs the extra 'service'")
from lipsync_cli.bench import target
from lipsync_cli.bench.target import Target
from lipsync_core.errors import OptionError
from lipsync_service.client.job_client import JobQuery
from lipsync_service.settings import Settings


class AnsweringClient:
    """A service without jobs."""

    def jobs(self, query: JobQuery) -> list[object]:
        """None of its jobs."""
        return []


@contextmanager
def answering(_settings: Settings) -> Iterator[AnsweringClient]:
    yield AnsweringClient()


def test_a_service_without_a_storage_for_inputs_is_refused_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(target, "open_client", answering)
    Target(Settings(storage_url="s3://bucket/work"), None, None).check()
    with pytest.raises(OptionError, match=r"^no storage is named .* set LIPSYNC_STORAGE_URL"):
        Target(Settings(), None, None).check()
