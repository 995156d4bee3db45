"""The `lipsync` command as a user of the tests' service calls it."""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli.conftest import LIPSYNC

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


@dataclass(frozen=True)
class CommandLine:
    """Calls the command in `folder`; the file that `up` wrote names the service."""

    folder: Path
    service_file: Path

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIPSYNC_")}
        cache = str(self.folder / "cache")
        return inherited | {"LIPSYNC_SERVICE": str(self.service_file), "LIPSYNC_CACHE_DIR": cache, "COLUMNS": "80"}

    def __call__(self, *arguments: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [LIPSYNC, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def json(self, *arguments: str | Path, status: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", status=status).stdout)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        command = [LIPSYNC, *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, **pipes)


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line with the failure."""
    [line] = [line for line in done.stderr.splitlines() if line.startswith("lipsync: error ")]
    return line
