"""The job's flow refuses a request before any work."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.service.conftest import NOT_INSTALLED

pytest.importorskip("prefect", reason=NOT_INSTALLED)

import flows.lipsync as flow
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.errors import UrlRefusedError
from tasks.sealed_request import HeldRequest
from tests.service.conftest import settings

__all__ = ["settings"]  # a fixture
ASKED = {"video": "s3://in/v.mp4", "audio": "s3://in/a.wav", "output": "s3://out/o.mp4"}


class Reached(Exception):  # noqa: N818 - no error: the sign that work would begin
    """The job has come as far as its storage."""


def run(callback_url: str, chosen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def reach(url: str) -> None:
        raise Reached(url)

    monkeypatch.setattr(flow, "require_rendering", lambda *_: None)
    monkeypatch.setattr(flow, "load_gpu_pool_parts", lambda _: None)
    request = LipSyncRequest(**ASKED, callback_url=callback_url)
    job: Any = SimpleNamespace(options=None, models=None, execution=None, files=SimpleNamespace(check_target=reach))
    flow._run(job, HeldRequest(request, request), chosen, SimpleNamespace(set_parts=None))  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[fd00:ec2::254]", "2130706433", "8.8.8.8:6379"])
def test_a_callback_to_an_address_that_is_never_called_ends_the_job_before_any_work(
    host: str, settings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over REST nobody has checked it; only the watcher's log told of it, after all the work."""
    with pytest.raises(UrlRefusedError):
        run(f"http://{host}/hook", settings(), monkeypatch)


@pytest.mark.parametrize("host", ["8.8.8.8", "10.1.2.3:8080", "inside.corp", "localhost"])
def test_a_callback_that_may_be_called_or_has_a_name_is_left_to_the_watcher(
    host: str, settings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Reached):
        run(f"http://{host}/hook", settings(http_allowed_hosts=("10.1.2.3:8080",)), monkeypatch)
