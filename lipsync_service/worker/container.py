"""A worker in its container: `python -m lipsync_service.worker.container POOL`.

Copies the image's face model into the volume of models if it is missing there, then starts the launcher and Prefect's
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

from lipsync_core.workspace import Workspace
from lipsync_service.settings import Settings
from lipsync_service.worker.drain import supervise
from lipsync_service.worker.starting import launcher_command, launcher_environment, worker_command

#: The folder of the models that were built into the image.
IMAGE_MODELS = Path("/opt/models/models")
_LAUNCHER_LIMIT_S = 60.0
_POLL_S = 0.1
#: One minute less than Compose and Kubernetes wait before they kill the container (30 min).
_DRAIN_S = 1740.0


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


def provider_works() -> bool:
    """Whether the provider in LIPSYNC_PROVIDERS runs a trial network; for `auto` and `cpu` no trial is needed.

    A worker that has lost its GPU must not take jobs that other workers would finish.
    """
    if Settings().providers in ("auto", "cpu"):
        return True
    command = [sys.executable, "-m", "lipsync_service.worker.provider_check"]
    return subprocess.run(command).returncode == 0  # noqa: S603 - this package's own module


def served_worker_command(pool: str) -> list[str]:
    """The command of a worker of `pool` that answers health checks on port 8080."""
    limit = os.environ.get("WORKER_LIMIT")
    return [*worker_command(pool), "--with-healthcheck", *(["--limit", limit] if limit else [])]


def main(pool: str) -> int:
    """Run a worker of `pool` until it ends; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if IMAGE_MODELS.is_dir():  # this is a container
        remove_leftovers(Path(tempfile.gettempdir()))
        seed_models(IMAGE_MODELS, Workspace.default().models)
    if not provider_works():
        return 1
    socket = Path(tempfile.mkdtemp(prefix="lipsync-")) / "launcher.sock"
    if start_launcher(socket):
        os.environ["LIPSYNC_LAUNCHER"] = str(socket)
    return supervise(served_worker_command(pool), float(os.environ.get("WORKER_DRAIN_S", _DRAIN_S)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
