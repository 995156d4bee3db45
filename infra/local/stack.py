"""The parts of the local stack, started in the order of their dependencies."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import get_current_settings

from infra.local.client_env import write_ledger_env
from infra.local.deployments import register_deployments
from infra.local.layout import LOOPBACK, Layout
from infra.local.objects import NAME as S3_NAME
from infra.local.objects import S3Keys, start_objects
from infra.local.postgres import DatabaseUrls, start_postgres, stop_postgres
from infra.local.process import Service, ServiceFolder, is_taken, require_free
from infra.local.secret import kept_secret
from lipsync_core.errors import OptionError, OutputError
from lipsync_service.deploy.automation import drop_automation
from lipsync_service.deploy.pools import ensure_pools
from lipsync_service.deploy.retention import RETENTION
from lipsync_service.deploy.server_settings import SERVER_SETTINGS
from lipsync_service.gpu_meter import open_gpu
from lipsync_service.ledger.database import upgrade
from lipsync_service.names import CPU_POOL, GPU_POOL, WORKERS_PATH
from lipsync_service.settings import load_settings
from lipsync_service.worker.capacity import worker_limit
from lipsync_service.worker.launch import ADDRESS, SOURCE
from lipsync_service.worker.starting import launcher_command, launcher_environment, worker_command

_SERVER = "prefect-server"
_LAUNCHER = "launcher"
_WATCHER = "watcher"
_WORKER = "worker-"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack on this machine."""

    layout: Layout
    say: Say
    workers: int = 1  # of each pool

    @property
    def services(self) -> ServiceFolder:
        """The folders of its processes' ids and logs."""
        return ServiceFolder(self.layout.runs, self.layout.logs)

    def up(self) -> None:
        """Start all parts that do not run, and wait until a job can be submitted. Data of earlier runs stays.

        Workers that an earlier call has started beyond the number of this one, or for other pools, are stopped when
        their runs have ended.

        Raises:
            StackError: a part does not start.
            OptionError: a setting cannot be used, another program has a port, or the service runs at other ports.
            OutputError: the folder of its data cannot be made.
        """
        pool = gpu_pool()  # what is wrong is told of before anything starts
        self._check_ports()
        self._make_root()
        self.say("PostgreSQL")
        databases = start_postgres(self.layout)
        upgrade(databases.ledger)
        write_ledger_env(self.layout, databases.ledger)
        self.say("S3")
        keys = start_objects(self.layout, self.services, dict(os.environ))
        self.say("Prefect server")
        environment = {**_environment(self.layout, databases, keys), "LIPSYNC_GPU_POOL": pool or ""}
        self._start_server(environment)
        self.say("deployments")
        self._register(environment)
        self.say("watcher")
        self._start_watcher(environment)
        self.say("workers")
        self._start_launcher(environment)
        wanted = _worker_pools(self.workers, pool is not None)
        for name in self._outdated_workers(wanted):
            self.services.drain(name, load_settings().worker_drain_s, self.say)
            self.services.stop(name)
        services = [self._worker(name, pool, environment) for name, pool in wanted.items()]
        self.services.start_all(services, self.layout.source)

    def down(self) -> None:
        """Stop all parts, in the reverse order. All data stays."""
        for name in (*self._running_workers(), _LAUNCHER, _WATCHER, _SERVER, S3_NAME):
            if self.services.stop(name):
                self.say(name)
        if stop_postgres(self.layout):
            self.say("PostgreSQL")

    def _check_ports(self) -> None:
        if self.services.is_running(_SERVER) and not is_taken(self.layout.first_port):
            message = f"the service of {self.layout.root} runs, and not at port {self.layout.first_port}"
            raise OptionError(message, "name its port with LIPSYNC_FIRST_PORT, or stop it first: make down")
        ports = (
            (_SERVER, self.layout.first_port),
            (S3_NAME, self.layout.s3_port),
            (_WATCHER, self.layout.metrics_port),
        )
        for name, port in ports:
            if not self.services.is_running(name):
                require_free(port, name)

    def _make_root(self) -> None:
        try:
            self.layout.root.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            message = f"{self.layout.root} cannot be made: {exc.strerror}"
            raise OutputError(message, "choose another folder with --root") from exc

    def _start_server(self, environment: dict[str, str]) -> None:
        port = str(self.layout.first_port)
        command = [*_prefect(), "server", "start", "--host", LOOPBACK, "--port", port]
        # glibc gives each thread a heap of its own, up to eight a core, and what is free in one serves no other.
        frugal = {"MALLOC_ARENA_MAX": "2", **environment}
        service = Service(_SERVER, command, frugal, self._is_healthy, port=self.layout.first_port)
        self.services.start(service, self.layout.root)

    def _is_healthy(self) -> bool:
        return _answers(f"{self.layout.api_url}/health")

    def _register(self, environment: dict[str, str]) -> None:
        with server_client(self.layout.api_url) as client:
            ensure_pools(client)
            drop_automation(client)
            log = self.services.log_path("deployments")
            register_deployments(client, self.layout.source, environment, log)

    def _start_launcher(self, environment: dict[str, str]) -> None:
        path = self.layout.launcher
        if not self.services.is_running(_LAUNCHER):
            path.unlink(missing_ok=True)
        service = Service(_LAUNCHER, launcher_command(path), launcher_environment(environment), path.exists)
        self.services.start(service, self.layout.source)

    def _start_watcher(self, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "lipsync_service.watch"]
        port, url = self.layout.metrics_port, self.layout.metrics_url
        service = Service(_WATCHER, command, environment, lambda: _answers(url), port=port)
        self.services.start(service, self.layout.source)

    def _running_workers(self) -> list[str]:
        return [name for name in self.services.recorded() if name.startswith(_WORKER)]

    def _outdated_workers(self, wanted: Mapping[str, str]) -> list[str]:
        """The running workers that are not wanted; all, where the jobs of those that stay would use other pools."""
        running = self._running_workers()
        has_gpu_pool = any(name.startswith(f"{_WORKER}{GPU_POOL}") for name in running)
        stay = wanted if has_gpu_pool == (GPU_POOL in wanted.values()) else ()
        # The CPU pool's first: its jobs may still need the GPU pool's.
        return sorted((name for name in running if name not in stay), key=lambda name: GPU_POOL in name)

    def _worker(self, name: str, pool: str, environment: dict[str, str]) -> Service:
        def is_online() -> bool:
            with server_client(self.layout.api_url) as client:
                workers = client.request("POST", WORKERS_PATH, path_params={"work_pool_name": pool}, json={}).json()
            return any(worker["name"] == name and worker["status"] == "ONLINE" for worker in workers)

        command = [*worker_command(pool), "--name", name, "--limit", str(_limit(pool))]
        return Service(name, command, environment, is_online)


def server_client(api_url: str) -> SyncPrefectClient:
    """A client of the stack's server, with the password of PREFECT_API_AUTH_STRING where it asks for one."""
    auth = get_current_settings().api.auth_string
    return SyncPrefectClient(api_url, auth_string=auth.get_secret_value() if auth else None)


def gpu_pool() -> str | None:
    """The pool that tracks and infers; None where the jobs do so in their own runs, on the CPU pool.

    A run of its own for that costs a job a second start, and its waiting parent memory. It pays where it holds a GPU:
    so by default a machine that has one, with no model server that holds it, has the pool. LIPSYNC_GPU_POOL overrides
    it; empty, there is none.

    Raises:
        OptionError: it names another pool than that of the deployment, or a setting cannot be used.
    """
    settings = load_settings()
    if settings.gpu_pool not in (None, GPU_POOL):
        raise OptionError(f"LIPSYNC_GPU_POOL is {settings.gpu_pool}", f"here it is {GPU_POOL}, or empty for none")
    if "gpu_pool" in settings.model_fields_set:
        return settings.gpu_pool
    return GPU_POOL if settings.model_server is None and open_gpu(settings.visible_gpus) else None


def _worker_pools(count: int, has_gpu_pool: bool) -> dict[str, str]:
    """The names of `count` workers for each pool, with the pool; the first of each has no number."""
    numbers = ("", *(f"-{number}" for number in range(2, count + 1)))
    pools = (CPU_POOL, GPU_POOL) if has_gpu_pool else (CPU_POOL,)
    return {f"{_WORKER}{pool}{number}": pool for number in numbers for pool in pools}


def _limit(pool: str) -> int:
    return worker_limit(load_settings().model_copy(update={"gpu_pool": gpu_pool()}), pool)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310 - the loopback
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _prefect() -> list[str]:
    return [sys.executable, "-m", "prefect"]


def _environment(layout: Layout, databases: DatabaseUrls, keys: S3Keys) -> dict[str, str]:
    """The environment of every Prefect process of the stack.

    Keys are passed here and not on command lines, which all users of the machine can read.
    """
    binaries = str(Path(sys.executable).parent)
    return {
        **SERVER_SETTINGS,
        **RETENTION,
        **os.environ,
        "PATH": os.pathsep.join([binaries, *os.get_exec_path()]),
        "PREFECT_HOME": str(layout.root / "prefect"),
        "PREFECT_API_URL": layout.api_url,
        "PREFECT_API_DATABASE_CONNECTION_URL": databases.prefect,
        "DO_NOT_TRACK": "1",
        SOURCE: str(layout.source),
        ADDRESS: str(layout.launcher),
        "LIPSYNC_STORAGE_URL": layout.storage_url,
        "LIPSYNC_S3_ENDPOINT": layout.s3_url,
        "LIPSYNC_S3_ACCESS_KEY": keys.access_key,
        "LIPSYNC_S3_SECRET_KEY": keys.secret_key,
        "LIPSYNC_DATABASE_URL": databases.ledger,
        "LIPSYNC_SPOOL_DIR": str(layout.root / "spool"),
        "LIPSYNC_CACHE_DIR": str(layout.root / "cache"),
        "LIPSYNC_API_URL": layout.api_url,
        "LIPSYNC_CALLBACK_SECRET": kept_secret(layout.callback_secret),
        "LIPSYNC_METRICS_HOST": LOOPBACK,
        "LIPSYNC_METRICS_PORT": str(layout.metrics_port),
    }
