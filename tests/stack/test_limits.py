"""A job fails instead of waiting for ever: for a part that no worker takes, or for a stage that takes too long."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from infra.local.client_env import FILE_NAME
from lipsync_cli.main import main
from lipsync_service.errors import GpuRunError, JobTimedOutError
from lipsync_service.names import CPU_POOL, GPU_POOL
from tasks.child_run import finished_run
from tasks.stages import translated_timeouts

if TYPE_CHECKING:
    from tests.stack.conftest import Service


@pytest.fixture
def idle_run(service: "Service") -> UUID:
    """A run that no worker takes: it is due tomorrow."""
    found = service.api.get("/deployments/name/lipsync-gpu/lipsync-gpu").raise_for_status().json()
    request = {"video": "s3://lipsync/a.mp4", "audio": "s3://lipsync/a.wav", "output": "s3://lipsync/o.mp4"}
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    body = {
        "parameters": {"request": request},
        "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": tomorrow}},
    }
    address = f"/deployments/{found['id']}/create_flow_run"
    return UUID(service.api.post(address, json=body).raise_for_status().json()["id"])


def test_a_job_does_not_wait_for_ever_for_a_worker_of_the_gpu_pool(service: "Service", idle_run: UUID) -> None:
    with (
        temporary_settings({PREFECT_API_URL: service.layout.api_url}),
        pytest.raises(GpuRunError, match="no worker of the GPU pool"),
    ):
        finished_run(idle_run, may_wait_s=0.5)


def test_the_end_of_the_part_on_the_gpu_pool_is_told_however_it_ends(service: "Service", idle_run: UUID) -> None:
    cancelled = {"state": {"type": "CANCELLED", "name": "Cancelled"}}
    service.api.post(f"/flow_runs/{idle_run}/set_state", json=cancelled).raise_for_status()
    with temporary_settings({PREFECT_API_URL: service.layout.api_url}):
        run = finished_run(idle_run, may_wait_s=60)
    assert run is not None
    assert run.state is not None
    assert run.state.is_cancelled()


def test_doctor_shows_the_limits_of_the_workers_that_run(
    service: "Service", capsys: pytest.CaptureFixture[str]
) -> None:
    main(["doctor", "--json", "--service", str(service.layout.root / FILE_NAME)])
    checks = {each["name"]: each["detail"] for each in json.loads(capsys.readouterr().out)["checks"]}
    for pool in (CPU_POOL, GPU_POOL):
        assert checks[f"limits of {pool}"].endswith(": the defaults, but max_duration_s 300")


def test_a_stage_that_takes_too_long_fails_with_a_code() -> None:
    with pytest.raises(JobTimedOutError) as caught, translated_timeouts():
        raise TimeoutError("Scope timed out after 5.0 second(s).")
    assert caught.value.code == "JOB_TIMED_OUT"
