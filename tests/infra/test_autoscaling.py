"""KEDA's ScaledObjects: valid, their queries over the watcher's real page, and the replicas that they ask for."""

import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra service")
pytest.importorskip("prometheus_client", reason="the extra service is missing")
pytest.importorskip("promql_parser", reason="promql-parser comes with the extra dev")

from prometheus_client import CollectorRegistry, generate_latest  # noqa: E402

from lipsync_service.names import BULK, CPU_POOL, GPU_POOL, INTERACTIVE, MOST_JOBS  # noqa: E402
from lipsync_service.settings import Settings  # noqa: E402
from lipsync_service.watch.metrics import ServiceCollector  # noqa: E402
from lipsync_service.watch.service_api import open_watched_api  # noqa: E402
from tests.infra.promql import Sample, evaluated, samples_of  # noqa: E402
from tests.web import serving  # noqa: E402

ROOT = Path(__file__).parents[2]
K8S = ROOT / "infra/k8s"
WORKERS = {CPU_POOL: K8S / "base/worker-cpu.yaml", GPU_POOL: K8S / "overlays/gpu/worker-gpu.yaml"}
SCALERS = {
    CPU_POOL: K8S / "components/autoscale-cpu/scaler-cpu.yaml",
    GPU_POOL: K8S / "components/autoscale-gpu/scaler-gpu.yaml",
}
Node = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A flow run in the queues of the fake Prefect."""

    pool: str
    state: str
    due_s_ago: float = 1.0
    queue: str = INTERACTIVE


class Queues(ThreadingHTTPServer):
    """The part of Prefect's API that the watcher's figures ask: it keeps runs, and filters them as Prefect does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: list[Run] = []
        self.now = datetime.now(UTC)

    def found(self, wanted: Node) -> list[Run]:
        runs = wanted["flow_runs"]
        before = runs.get("expected_start_time", {}).get("before_")
        return [
            run
            for run in self.runs
            if run.pool in wanted["work_pools"]["name"]["any_"]
            and run.queue in wanted["work_pool_queues"]["name"]["any_"]
            and run.state in runs["state"]["type"]["any_"]
            and (before is None or self.due(run) <= datetime.fromisoformat(before))
        ]

    def due(self, run: Run) -> datetime:
        return self.now - timedelta(seconds=run.due_s_ago)


class _Handler(BaseHTTPRequestHandler):
    server: Queues

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer: Any = [{"name": INTERACTIVE}, {"name": BULK}]
        if "work_pools" not in self.path:
            found = sorted(self.server.found(body), key=self.server.due)
            rows = [{"expected_start_time": self.server.due(run).isoformat()} for run in found]
            answer = len(found) if self.path.endswith("/count") else rows[: body["limit"]]
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that http.server calls
        """Write no log."""


Page = Callable[[list[Run]], list[Sample]]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """The samples of the watcher's own page while the queues hold these runs; as Prometheus keeps them."""
    server = Queues()
    settings = Settings(api_url=f"http://127.0.0.1:{server.server_address[1]}/api")
    with serving(server), open_watched_api(settings, 5.0) as api:
        registry = CollectorRegistry()
        registry.register(ServiceCollector(f"sqlite:///{tmp_path / 'absent.sqlite'}", api, lambda: None))

        def read(runs: list[Run]) -> list[Sample]:
            server.runs, server.now = runs, datetime.now(UTC)
            return samples_of(generate_latest(registry).decode(), instance="10.0.0.1:4205")

        yield read


def scaler(pool: str) -> Node:
    return yaml.safe_load(SCALERS[pool].read_text())  # type: ignore[no-any-return]


def replicas(scaled: Node, samples: list[Sample]) -> int | None:
    """The replicas that KEDA and the autoscaler it makes want in the end; None where a figure is missing, an error.

    KEDA: any trigger above its activation threshold (0) makes the object active, or it goes to its minimum. The
    autoscaler, for AverageValue: ceil(value / threshold), and the most of all triggers (keda.sh, "Scaling Deployments";
    kubernetes.io, "Horizontal Pod Autoscaling"). The limits of their speed are left out.
    """
    spec = scaled["spec"]
    values = [evaluated(trigger["metadata"]["query"], samples) for trigger in spec["triggers"]]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    if not any(value > 0 for value in known):
        return int(spec["minReplicaCount"])
    thresholds = [float(trigger["metadata"]["threshold"]) for trigger in spec["triggers"]]
    wanted = max(math.ceil(value / threshold) for value, threshold in zip(known, thresholds, strict=True))
    return min(max(wanted, spec["minReplicaCount"], 1), spec["maxReplicaCount"])


def cpu(count: int, state: str = "RUNNING", **facts: Any) -> list[Run]:
    return [Run(CPU_POOL, state, **facts)] * count


def gpu(count: int, state: str = "SCHEDULED", **facts: Any) -> list[Run]:
    return [Run(GPU_POOL, state, **facts)] * count


@pytest.mark.parametrize(
    ("runs", "wanted"),
    [
        ([], 0),
        (cpu(1), 1),  # a job fetches its inputs: it will need the pool in a moment
        (cpu(1, "SCHEDULED"), 1),
        (cpu(1) + gpu(1), 1),  # a job waits for its part on this pool
        (gpu(1, "PENDING"), 1),  # a worker has claimed it and not begun
        (gpu(1, "RUNNING"), 1),
        (gpu(1, "CANCELLING"), 1),
        (cpu(200), 1),  # jobs that need no second GPU yet
        (gpu(7), 1),
        (gpu(6) + gpu(2, "RUNNING"), 2),
        (gpu(15), 3),
        (gpu(1000), 4),
        (gpu(1, due_s_ago=250), 1),  # a node is starting
        (gpu(1, due_s_ago=310), 2),
        (gpu(1, due_s_ago=9000, queue=BULK), 1),  # the night's work may wait
        (gpu(1, due_s_ago=-3600), 0),  # not due before an hour
        (gpu(3, "COMPLETED") + cpu(3, "CRASHED"), 0),
    ],
)
def test_the_gpu_pool_has_the_workers_that_its_jobs_need(page: Page, runs: list[Run], wanted: int) -> None:
    assert replicas(scaler(GPU_POOL), page(runs)) == wanted


@pytest.mark.parametrize(
    ("runs", "wanted"),
    [
        ([], 1),
        (cpu(6), 1),
        (cpu(4) + cpu(3, "SCHEDULED"), 2),
        (cpu(13, "PENDING"), 3),
        (cpu(500, "SCHEDULED"), 8),
        (cpu(1, "SCHEDULED", due_s_ago=200), 2),
        (cpu(1, "SCHEDULED", due_s_ago=9000, queue=BULK), 1),
        (gpu(50), 1),
    ],
)
def test_the_cpu_pool_has_the_workers_that_its_jobs_need(page: Page, runs: list[Run], wanted: int) -> None:
    assert replicas(scaler(CPU_POOL), page(runs)) == wanted


def test_two_watchers_do_not_count_a_run_twice(page: Page) -> None:
    one = page(gpu(7))
    other = [Sample(each.name, each.value, {**each.labels, "instance": "10.0.0.2:4205"}) for each in one]
    assert replicas(scaler(GPU_POOL), one + other) == replicas(scaler(GPU_POOL), one) == 1


@pytest.mark.parametrize("pool", SCALERS)
def test_scaling_fails_when_figures_are_missing_or_renamed_and_keeps_workers(page: Page, pool: str) -> None:
    samples = page(gpu(7))
    scaled = scaler(pool)
    assert replicas(scaled, []) is None  # Prefect is down: the watcher gives no figures of the queues
    for name in {each.name for each in samples if each.name.startswith("lipsync_queue_")}:
        renamed = [Sample(each.name.replace(name, "renamed"), each.value, each.labels) for each in samples]
        assert replicas(scaled, renamed) is None
    assert all(trigger["metadata"]["ignoreNullValues"] == "false" for trigger in scaled["spec"]["triggers"])
    assert scaled["spec"]["fallback"]["replicas"] >= 1
    # KEDA's fallback takes triggers of this type only.
    assert {trigger["metricType"] for trigger in scaled["spec"]["triggers"]} == {"AverageValue"}


def promises() -> dict[str, list[float]]:
    """The rows of the arithmetic in the document: slots, seconds of a run, of the wait, of a start, both thresholds."""
    rows = re.findall(r"^\| `(lipsync-\w+)` \|(.+)\|$", (ROOT / "docs/autoscaling.md").read_text(), re.MULTILINE)
    return {pool: [float(number) for number in re.findall(r"\| ([\d.]+)", f"|{cells}")] for pool, cells in rows}


@pytest.mark.parametrize("pool", SCALERS)
def test_the_thresholds_follow_from_the_figures_in_the_document(pool: str) -> None:
    slots, run_s, wait_s, start_s, depth, age_s = promises()[pool]
    [container] = yaml.safe_load_all(WORKERS[pool].read_text()).__next__()["spec"]["template"]["spec"]["containers"]
    assert [each["value"] for each in container["env"] if each["name"] == "WORKER_LIMIT"] == [f"{slots:.0f}"]
    assert depth == math.floor(slots * (1 + wait_s / run_s))
    assert age_s == 60 * math.ceil((start_s + wait_s) / 60)
    thresholds = {each["name"]: float(each["metadata"]["threshold"]) for each in scaler(pool)["spec"]["triggers"]}
    assert (thresholds["depth"], thresholds["age"]) == (depth, age_s)


def test_no_more_runs_are_wanted_than_the_pool_allows() -> None:
    assert scaler(CPU_POOL)["spec"]["maxReplicaCount"] * promises()[CPU_POOL][0] <= MOST_JOBS


@pytest.mark.parametrize("pool", SCALERS)
def test_workers_that_are_scaled_down_may_end_their_runs(pool: str) -> None:
    scaled, worker = scaler(pool), next(iter(yaml.safe_load_all(WORKERS[pool].read_text())))
    assert (worker["kind"], worker["metadata"]["name"]) == ("Deployment", scaled["spec"]["scaleTargetRef"]["name"])
    assert worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 1800
    behaviour = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert behaviour["stabilizationWindowSeconds"] >= promises()[pool][3]  # longer than a start: no coming and going
    assert [policy["value"] for policy in behaviour["policies"]] == [1]


def is_taken(manifest: Node) -> bool:
    """Whether KEDA's schema of a ScaledObject, strictly, takes the manifest: nothing is refused, nothing is unknown."""
    models = pytest.importorskip("cloudcoil.models.keda.v1alpha1", reason="cloudcoil-models-keda is not installed")
    try:
        read = models.ScaledObject.model_validate(manifest)
    except ValueError:
        return False
    return bool(read.model_dump(mode="json", by_alias=True, exclude_unset=True) == manifest)


@pytest.mark.parametrize("pool", SCALERS)
def test_scaled_objects_are_what_keda_takes(pool: str) -> None:
    assert is_taken(scaler(pool))


@pytest.mark.parametrize(
    "broken",
    [
        {"cooldownPeriods": 600},
        {"cooldownPeriod": "10m"},
        {"triggers": [{"type": "prometheus", "metadata": {"threshold": 7}}]},
        {"advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindow": 3}}}}},
    ],
)
def test_scaled_objects_fails_when_keda_would_not_take_one(broken: Node) -> None:
    good = scaler(GPU_POOL)
    assert not is_taken({**good, "spec": {**good["spec"], **broken}})


@pytest.mark.parametrize(("overlay", "pools"), [("autoscale-cpu", [CPU_POOL]), ("autoscale-gpu", [CPU_POOL, GPU_POOL])])
def test_the_overlays_leave_the_number_of_workers_to_keda(overlay: str, pools: list[str]) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(["kubectl", "kustomize", K8S / "overlays" / overlay], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in built if each["kind"] == "ScaledObject"}
    assert scaled == {scaler(pool)["metadata"]["name"] for pool in pools}
    workers = [each for each in built if each["kind"] == "Deployment" and each["metadata"]["name"] in scaled]
    assert len(workers) == len(pools)
    assert not any("replicas" in each["spec"] for each in workers)
    assert {each["metadata"]["namespace"] for each in built if each["kind"] == "ScaledObject"} == {"lipsync"}
