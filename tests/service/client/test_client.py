"""The package for callers: what it offers, what it imports, and the example of the documentation."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx", reason="the extra service is not installed")
pytest.importorskip("pydantic_settings", reason="the extra service is not installed")

from lipsync_core.errors import FaceError
from lipsync_service import client
from tests.json_server import JsonServer

ROOT = Path(__file__).parents[3]
DEPLOYMENT = "00000000-0000-0000-0000-00000000000d"
JOB = "00000000-0000-0000-0000-000000000001"
SECRET = "?X-Amz-Signature=secret"


class PrefectStandIn(JsonServer):
    """Answers what a client asks for one job, which runs at its first sight and has ended at the next."""

    def __init__(self, ends: list[tuple[str, str]]) -> None:
        super().__init__()
        self.states = [("RUNNING", ""), *ends]  # each with its message; the last one stays
        self.orders: list[dict[str, Any]] = []

    def reply(self, path: str, body: dict[str, Any], authorization: str | None) -> tuple[int, object]:
        return 200, self.answer(path, body)

    def answer(self, path: str, body: dict[str, Any]) -> object:
        if path == "/api/deployments/name/lipsync/lipsync":
            return {"id": DEPLOYMENT}
        if path == f"/api/deployments/{DEPLOYMENT}/create_flow_run":
            self.orders.append(body)
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return [self._run(*state)] if path.endswith("/filter") else self._run(*state)

    def _run(self, type_: str, message: str) -> dict[str, Any]:
        now = "2026-03-01T00:00:00+00:00"
        return {
            "id": JOB,
            "name": self.orders[0]["name"],
            "state": {"type": type_, "name": type_.title(), "message": message, "timestamp": now},
            "parameters": self.orders[0]["parameters"],
            "run_count": 1,
            "work_queue_name": "interactive",
            "work_pool_name": "lipsync-cpu",
            "created": now,
            "start_time": now,
            "end_time": now,
            "total_run_time": 1.0,
        }


@pytest.fixture
def prefect(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrefectStandIn]:
    """The stand-in, named by the environment; its job ends in the states of the parameter."""
    with PrefectStandIn(request.param) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("LIPSYNC_API_URL", server.api_url)
        yield server
        server.shutdown()
        thread.join()


def documented_example() -> str:
    """The block of Python that docs/service.md shows to callers."""
    text = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    [example] = [each for each in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "open_client" in each]
    return str(example)


@pytest.mark.parametrize("prefect", [[("COMPLETED", "")]], indirect=True)
def test_the_example_of_the_documentation_runs(prefect: PrefectStandIn) -> None:
    names: dict[str, Any] = {}
    exec(compile(documented_example(), "docs/service.md", "exec"), names)
    assert (str(names["job"].id), names["job"].state) == (JOB, "completed")
    assert prefect.orders[0]["parameters"]["request"]["video"] == "s3://in/face.mp4"


@pytest.mark.parametrize("prefect", [[("FAILED", f"NO_FACE: no face in s3://in/face.mp4{SECRET}")]], indirect=True)
@pytest.mark.usefixtures("prefect")
def test_the_example_fails_when_the_job_does_with_the_jobs_own_error() -> None:
    with pytest.raises(FaceError) as caught:
        exec(compile(documented_example(), "docs/service.md", "exec"), {})
    assert str(caught.value) == "no face in s3://in/face.mp4"


def test_the_package_offers_what_it_says() -> None:
    assert all(hasattr(client, name) for name in client.__all__)
    assert {"LipSyncRequest", "open_client"} <= set(client.__all__)


def test_callers_import_no_prefect_and_no_storage() -> None:
    code = "import sys, lipsync_service.client; print({'prefect', 'boto3', 'sqlalchemy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
