"""Prefect's engine as forked runs use it: fenced, and without seven parts that cost or end runs and serve none.

All are names in modules of Prefect 3.8.8, and none has a setting. `tests/service/worker/test_engine.py` fails where
another version of Prefect has no such names.
"""

import os
import runpy
import ssl
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache, partial
from types import ModuleType, SimpleNamespace
from typing import Any, Final, cast
from uuid import UUID

from prefect import flow_engine, results, task_engine
from prefect.artifacts import LinkArtifact, MarkdownArtifact, ProgressArtifact, TableArtifact
from prefect.client import orchestration
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate, FlowRunUpdate, LogCreate
from prefect.client.schemas.objects import Artifact, ConcurrencyLeaseHolder, FlowRun, State, TaskRun
from prefect.context import FlowRunContext, TaskRunContext
from prefect.events import worker as events_worker
from prefect.events.related import related_resources_from_run_context, tags_as_related_resources
from prefect.events.schemas.events import Event, RelatedResource
from pydantic import BaseModel
from rich.console import Console

from lipsync_service.names import BULK_FLOW, GC_FLOW, GPU_FLOW, JOB_FLOW, SEGMENT_FLOW
from lipsync_service.worker.last_word import LastWord, Propose

#: The flows by name, as the modules that the launcher has imported. Without it each run asks the server for its
#: deployment, to learn the same.
ENTRYPOINTS: Final = {
    JOB_FLOW: "flows.lipsync.lipsync",
    GPU_FLOW: "flows.lipsync_gpu.lipsync_gpu",
    SEGMENT_FLOW: "flows.lipsync_segment.lipsync_segment",
    BULK_FLOW: "flows.lipsync_bulk.lipsync_bulk",
    GC_FLOW: "flows.lipsync_gc.lipsync_gc",
}
_EVERY_RUNS_MODELS: Final[tuple[type[BaseModel], ...]] = (
    FlowRun,
    FlowRunUpdate,
    ConcurrencyLeaseHolder,
    Event,
    LogCreate,
    Artifact,
    ArtifactCreate,
    ArtifactUpdate,
    LinkArtifact,
    MarkdownArtifact,
    ProgressArtifact,
    TableArtifact,
)
_ENTRYPOINT, _FLOW_NAME = "PREFECT__FLOW_ENTRYPOINT", "PREFECT__FLOW_NAME"


def trim_engine() -> None:
    """Have the engine of this process and its forks go without the parts below. Call it once.

    The exit where a log line cannot be printed: a run's output is a pipe to its worker, and a run outlives its worker
    where that is killed.

    A subscription for "suspend": each run opened a websocket to the server before it began, looked at it five times a
    second, and nobody suspends a job, which would lose its half-rendered movie.

    The wait for the thread of the heartbeats at the end of a run, which sleeps by whole seconds. It ends with the
    process.

    The certificates: each of a run's clients read and parsed all that the machine trusts (25 ms), also for a server
    without TLS. Now the launcher reads them, and its runs share them.

    The questions for what each event of a run names beside it: its flow, deployment, queue and pool, each over a
    connection of its own. The run knows their ids, and all names but the deployment's. Events of tasks name the run.

    The event that a task is Pending: milliseconds later another one says that it is Running, and each costs the server
    four readings of it and two rows.

    The question for the server's default storage of results: no run persists any.

    One part is added: before a run's end is reported, `LastWord` asks whether the run is still this process's.

    Beside that it builds the validators of the models that every run uses, which Prefect builds at their first use.
    """
    for (module, name), part in _parts().items():
        if not hasattr(module, name):  # nothing may be set that nothing reads
            raise RuntimeError(f"{module.__name__} has no {name}: look for it in this version of Prefect")
        setattr(module, name, part)
    for model in _EVERY_RUNS_MODELS:
        model.model_rebuild()
    SyncPrefectClient("http://127.0.0.1/api")  # asks nobody, and reads the certificates


def run_engine() -> None:
    """Run the flow run that the environment names in this process, as `python -m prefect.engine` does."""
    entrypoint = ENTRYPOINTS.get(os.environ.get(_FLOW_NAME, ""))
    if entrypoint is not None:
        os.environ.setdefault(_ENTRYPOINT, entrypoint)
    sys.argv[:] = ["prefect.engine"]  # it would take the launcher's own argument for a run's id
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


def _parts() -> dict[tuple[ModuleType | type, str], Any]:
    heartbeats: Any = vars(flow_engine)["_send_heartbeats"]
    emit: Any = vars(task_engine).get("emit_task_run_state_change_event")
    shared = {"create_default_context": cache(ssl.create_default_context)}
    return {
        (flow_engine, "observe_flow_run_suspension"): _not_observed,
        (flow_engine, "propose_state_sync"): LastWord(cast("Propose", vars(flow_engine).get("propose_state_sync"))),
        (flow_engine, "_send_heartbeats"): partial(heartbeats, join_on_exit=False),
        (orchestration, "ssl"): SimpleNamespace(**{**vars(ssl), **shared}),
        (Console, "on_broken_pipe"): lambda _console: None,
        (task_engine, "emit_task_run_state_change_event"): partial(_emitted_from_running_on, emit),
        (events_worker, "related_resources_from_run_context"): related_resources,
        (results, "_read_server_default_result_storage_block_id"): lambda: None,
    }


@contextmanager
def _not_observed(_run_id: UUID, _request: Any, _polling_interval: float = 0) -> Iterator[None]:
    yield


def _emitted_from_running_on(
    emit: Callable[..., Event | None],
    task_run: TaskRun,
    initial_state: State[Any] | None,
    validated_state: State[Any],
    follows: Event | None = None,
) -> Event | None:
    """Tell of a new state of a task by `emit`, but of its first one not."""
    if initial_state is None and validated_state.is_pending():
        return None
    return emit(task_run, initial_state, validated_state, follows)


async def related_resources(client: Any, exclude: Collection[str] | None = None) -> list[RelatedResource]:
    """What an event of this run names beside it, without a question to the server.

    An event of the run names what Prefect's own function does, which asks the server for each, but for the name of the
    deployment, which the run does not know. An event of a task names its run and the tags alone: three of four events
    are of tasks, and the server stores, sends and matches a row for each name.
    """
    flow_context, task_context = FlowRunContext.get(), TaskRunContext.get()
    excluded = set(exclude or ())
    if flow_context is None or flow_context.flow_run is None or flow_context.flow is None:
        return await related_resources_from_run_context(client, excluded)
    resources, tags = [], set[str]()
    for kind, key, name, own_tags in _named(flow_context.flow_run, flow_context.flow.name, task_context):
        if key is not None and f"prefect.{kind}.{key}" not in excluded:
            resources.append(_resource(kind, key, name))
            tags.update(own_tags)
    return resources + [tag for tag in tags_as_related_resources(tags) if tag.id not in excluded]


def _named(
    run: FlowRun, flow_name: str, task_context: TaskRunContext | None
) -> Iterator[tuple[str, UUID | None, str | None, list[str]]]:
    """Kind, id, name and tags of what an event names, in the order of Prefect's own function."""
    yield "flow-run", run.id, run.name, run.tags
    if task_context is not None:
        task = task_context.task_run
        yield "task-run", task.id, task.name, task.tags
        return
    yield "flow", run.flow_id, flow_name, []
    yield "deployment", run.deployment_id, None, []
    yield "work-queue", run.work_queue_id, run.work_queue_name, []
    yield "work-pool", run.work_pool_id, run.work_pool_name, []


def _resource(kind: str, key: UUID, name: str | None) -> RelatedResource:
    labels = {"prefect.resource.id": f"prefect.{kind}.{key}", "prefect.resource.role": kind}
    return RelatedResource(labels | ({"prefect.resource.name": name} if name else {}))
