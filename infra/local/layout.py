"""The folders, files and ports of the local stack."""

from dataclasses import dataclass
from pathlib import Path

#: The first of six ports. It is Prefect's default, so Prefect's tools find the server.
DEFAULT_FIRST_PORT = 4200
LOOPBACK = "127.0.0.1"
BUCKET = "lipsync"


@dataclass(frozen=True, slots=True)
class Layout:
    """One stack: all its files lie below `root`, and all its ports are on the loopback."""

    source: Path  # the repository
    root: Path  # absolute
    first_port: int = DEFAULT_FIRST_PORT

    @property
    def logs(self) -> Path:
        """The folder with one log for each process."""
        return self.root / "log"

    @property
    def runs(self) -> Path:
        """The folder with one record for each process that was started and not yet stopped."""
        return self.root / "run"

    @property
    def launcher(self) -> Path:
        """The socket of the launcher, which forks a process for each flow run."""
        return self.runs / "launcher.sock"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data."""
        return self.root / "postgres"

    @property
    def objects(self) -> Path:
        """The S3 server's data."""
        return self.root / "objects"

    @property
    def s3_keys(self) -> Path:
        """The S3 server's configuration: the one pair of keys."""
        return self.root / "s3.json"

    @property
    def callback_secret(self) -> Path:
        """The file of the secret that signs the callbacks."""
        return self.root / "callback-secret"

    @property
    def api_url(self) -> str:
        """Prefect's API."""
        return f"http://{LOOPBACK}:{self.first_port}/api"

    @property
    def ui_url(self) -> str:
        """Prefect's UI."""
        return f"http://{LOOPBACK}:{self.first_port}"

    @property
    def s3_port(self) -> int:
        """The S3 server's port; its parts have the next three."""
        return self.first_port + 1

    @property
    def storage_url(self) -> str:
        """The storage that the service's hosts and callers share."""
        return f"s3://{BUCKET}/work"

    @property
    def s3_url(self) -> str:
        """The address of the S3 server."""
        return f"http://{LOOPBACK}:{self.s3_port}"

    @property
    def metrics_port(self) -> int:
        """The watcher's port, after those of the S3 server's parts."""
        return self.first_port + 5

    @property
    def metrics_url(self) -> str:
        """The address of the watcher's metrics for Prometheus."""
        return f"http://{LOOPBACK}:{self.metrics_port}/metrics"
