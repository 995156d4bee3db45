"""A worker in its container: `python -m lipsync_service.worker.container POOL`.

Copies the image's models into the volume of models where they are missing there, then starts the launcher and Prefect's
worker. When it is told to stop, it lets the running flow runs finish (`lipsync_service.worker.drain`).
"""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lipsync_core.errors import LipSyncError
from lipsync_core.workspace import Workspace
from lipsync_service.settings import Settings, load_settings
from lipsync_service.worker.capacity import worker_limit
from lipsync_service.worker.drain import supervise
from lipsync_service.worker.launch import ADDRESS
from lipsync_service.worker.starting import launcher_command, launcher_environment, worker_command

#: The folder of the models that were built into the image.
IMAGE_MODELS = Path("/opt/models/models")
_LAUNCHER_LIMIT_S = 60.0
_POLL_S = 0.1


def seed_models(source: Path, target: Path) -> list[str]:
    """Copy each model of `source` that `target` lacks; returns the names of these models.

    A mounted volume hides the image's own folder. A model appears whole or not at all, so several workers may share
    the volume.
    """
    target.mkdir(parents=True, exist_ok=True)
    added = []
    for model in sorted(source.iterdir()):
        if (target / model.name).exists():
            continue
        with tempfile.TemporaryDirectory(prefix=".seed-", dir=target) as folder:
            copy = Path(folder) / model.name
            shutil.copytree(model, copy) if model.is_dir() else shutil.copy2(model, copy)
            try:
                copy.rename(target / model.name)
            except OSError:  # another worker was faster
                continue
        added.append(model.name)
    return added


def remove_leftovers(folder: Path) -> None:
    """Remove the work folders of jobs that were killed; no other container may use `folder`."""
    for leftover in folder.glob("lipsync-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def start_launcher(path: Path) -> bool:
    """Start the launcher, listening at `path`; returns whether it listens in time.

    Without a launcher each flow run starts its own process, which takes longer.
    """
    environment = launcher_environment(os.environ)
    process = subprocess.Popen(launcher_command(path), env=environment)  # noqa: S603 - this package's own module
    deadline = time.monotonic() + _LAUNCHER_LIMIT_S
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return path.exists()


def provider_works(settings: Settings) -> bool:
    """Whether the provider in LIPSYNC_PROVIDERS runs a trial network; for `auto` and `cpu` no trial is needed.

    A worker that has lost its GPU must not take jobs that other workers would finish. With a model server each of its
    models is tried, and this container needs no GPU.
    """
    if settings.model_server is None and settings.providers in ("auto", "cpu"):
        return True
    command = [sys.executable, "-m", "lipsync_service.worker.provider_check"]
    return subprocess.run(command).returncode == 0  # noqa: S603 - this package's own module


def served_worker_command(pool: str, limit: int) -> list[str]:
    """The command of a worker of `pool` with at most `limit` runs, which answers health checks on port 8080."""
    return [*worker_command(pool), "--with-healthcheck", "--limit", str(limit)]


def main(pool: str) -> int:
    """Run a worker of `pool` until it ends; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if IMAGE_MODELS.is_dir():  # this is a container
        remove_leftovers(Path(tempfile.gettempdir()))
        seed_models(IMAGE_MODELS, Workspace.default().models)
    try:
        settings = load_settings()
    except LipSyncError as exc:
        sys.stderr.write(f"lipsync: error {exc.code}: {exc}\n")
        return exc.exit_status
    if not provider_works(settings):
        return 1
    socket = Path(tempfile.mkdtemp(prefix="lipsync-")) / "launcher.sock"
    if start_launcher(socket):
        os.environ[ADDRESS] = str(socket)  # for the runs of the worker
    return supervise(served_worker_command(pool, worker_limit(settings, pool)), settings.worker_drain_s)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
