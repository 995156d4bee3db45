"""Flows, deployments, pools and queues are called as `lipsync_service.names` says, wherever they are declared."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")
yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra service")

from prefect import Flow, Task  # noqa: E402

from lipsync_service import names  # noqa: E402
from lipsync_service.deploy.pools import ensure_pools  # noqa: E402
from tasks import stages  # noqa: E402

ROOT = Path(__file__).parents[2]
FLOW_MODULES = sorted(path.stem for path in (ROOT / "flows").glob("*.py") if path.stem != "__init__")
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]


def flow_at(entrypoint: str) -> Flow[Any, Any]:
    """The flow that an entrypoint of `prefect.yaml` names: PACKAGE.MODULE.FUNCTION."""
    module, _, function = entrypoint.rpartition(".")
    flow = getattr(importlib.import_module(module), function)
    assert isinstance(flow, Flow)
    return flow


@pytest.mark.parametrize("module", FLOW_MODULES)
def test_each_module_of_flows_declares_one_flow_by_its_name(module: str) -> None:
    declared = importlib.import_module(f"flows.{module}")
    flows = [
        value
        for value in vars(declared).values()
        if isinstance(value, Flow) and value.fn.__module__ == declared.__name__
    ]
    assert [flow.name for flow in flows] == [module.replace("_", "-")]
    assert flows[0].name in (*names.JOB_FLOWS, names.BULK_FLOW, names.GC_FLOW)


def test_the_deployments_are_those_that_callers_and_the_parent_ask_for() -> None:
    registered = {f"{flow_at(each['entrypoint']).name}/{each['name']}" for each in DEPLOYMENTS}
    assert registered == {
        names.JOB_DEPLOYMENT,
        names.GPU_DEPLOYMENT,
        names.SEGMENT_DEPLOYMENT,
        f"{names.BULK_FLOW}/lipsync-bulk",
        names.GC_DEPLOYMENT,
    }


def test_every_deployment_runs_on_a_pool_and_a_queue_that_are_made() -> None:
    pools = {flow_at(each["entrypoint"]).name: each["work_pool"] for each in DEPLOYMENTS}
    assert {name: pool["name"] for name, pool in pools.items()} == {
        names.JOB_FLOW: names.CPU_POOL,
        names.GPU_FLOW: names.GPU_POOL,
        names.SEGMENT_FLOW: names.CPU_POOL,
        names.BULK_FLOW: names.CPU_POOL,
        names.GC_FLOW: names.CPU_POOL,
    }
    assert {pool["work_queue_name"] for pool in pools.values()} <= set(names.QUEUES)


class PoolMaker:
    """Keeps what `ensure_pools` asks Prefect for."""

    def __init__(self) -> None:
        self.pools: set[str] = set()
        self.queues: dict[tuple[str, str], int] = {}

    def create_work_pool(self, work_pool: Any) -> None:
        self.pools.add(work_pool.name)

    def create_work_queue(self, name: str, work_pool_name: str, priority: int) -> None:
        self.queues[work_pool_name, name] = priority


def test_the_pools_and_their_queues_are_made_by_these_names() -> None:
    made = PoolMaker()
    ensure_pools(made)  # type: ignore[arg-type]
    assert made.pools == {names.CPU_POOL, names.GPU_POOL}
    assert made.queues == {(pool, queue): rank for pool in made.pools for queue, rank in names.QUEUES.items()}


def test_the_containers_serve_the_pools_that_are_made() -> None:
    pattern = re.compile(r'lipsync_service\.worker\.container"?, "?([\w-]+)')
    files = [path for path in (ROOT / "infra").rglob("*") if path.suffix in (".yaml", ".Dockerfile")]
    served = {pool for path in files for pool in pattern.findall(path.read_text(encoding="utf-8"))}
    assert served == {names.CPU_POOL, names.GPU_POOL}


def test_the_task_that_callers_read_the_progress_of_exists() -> None:
    assert names.ENCODE_TASK in {task.name for task in vars(stages).values() if isinstance(task, Task)}


def test_the_form_offers_the_queues_and_nothing_else() -> None:
    schema = flow_at("flows.lipsync.lipsync").parameters.model_dump()
    assert tuple(schema["definitions"]["LipSyncRequest"]["properties"]["priority"]["enum"]) == tuple(names.QUEUES)
