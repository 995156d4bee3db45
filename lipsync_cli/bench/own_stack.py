"""A service of the measurement's own, started from the repository on free ports, and removed with all its data."""

import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lipsync_core.errors import LipSyncError
from lipsync_service.errors import ServiceDownError
from lipsync_service.settings import Settings

_LOOPBACK = "127.0.0.1"
_LIMIT_S = 600.0
_PREFIX = "LIPSYNC_"


@dataclass(frozen=True, slots=True)
class OwnStack:
    """The service of `python -m infra.local`, below `root`."""

    source: Path  # the repository
    root: Path
    first_port: int

    def up(self, workers: int) -> None:
        """Start what does not run, with `workers` workers for each pool.

        Raises:
            ServiceDownError: a part does not start, or not in time.
        """
        self._ordered("up", "--workers", str(workers))

    def down(self) -> None:
        """Stop all of it."""
        self._ordered("down")

    @property
    def settings(self) -> Settings:
        """Those of its callers; the environment, which may name another service, does not count."""
        return Settings.model_validate(_variables(self.root / "service.env"))

    @property
    def database_url(self) -> str:
        """The address of its ledger."""
        return _variables(self.root / "ledger.env")["database_url"]

    def _ordered(self, *order: str) -> None:
        options = ("--root", str(self.root), "--first-port", str(self.first_port))
        command = [sys.executable, "-m", "infra.local", *options, *order]
        try:
            done = subprocess.run(  # noqa: S603 - the repository's own command
                command, cwd=self.source, capture_output=True, text=True, timeout=_LIMIT_S
            )
        except subprocess.TimeoutExpired as exc:
            raise ServiceDownError(f"`{order[0]}` of the measurement's own service took {_LIMIT_S:g} s") from exc
        if done.returncode:
            raise ServiceDownError(f"`{order[0]}` of the measurement's own service failed: {done.stderr.strip()}")


@contextmanager
def own_stack(source: Path, first_port: int | None = None) -> Iterator[OwnStack]:
    """A stack that is stopped and removed at the end of the block; nothing is started yet."""
    with TemporaryDirectory(prefix="lipsync-bench-", ignore_cleanup_errors=True) as name:
        stack = OwnStack(source, Path(name), free_first_port() if first_port is None else first_port)
        try:
            yield stack
        finally:
            stack.down()


def repository() -> Path | None:
    """The clone that this program runs from; an installed wheel holds no `infra`."""
    source = Path(__file__).resolve().parents[2]
    return source if (source / "infra" / "local").is_dir() else None


def free_first_port() -> int:
    """The first of eight neighbouring ports that are free, with SeaweedFS's own 10000 above them.

    All lie below 32768: from there on Linux gives ports to programs that ask for any. The place is a random one, since
    two that look at once, and take the first, would both take the same.

    Raises:
        LipSyncError: there are none.
    """
    for first in random.sample(range(11_000, 21_000, 10), 1000):
        if all(_is_free(first + number) and _is_free(first + number + 10_000) for number in range(8)):
            return first
    raise LipSyncError("no neighbouring ports are free", "name some with --first-port")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((_LOOPBACK, port)) != 0


def _variables(path: Path) -> dict[str, str]:
    """The variables of the file by the names of their settings."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=")[::2] for line in lines if line.startswith(_PREFIX))
    return {name.removeprefix(_PREFIX).lower(): value for name, value in pairs}
