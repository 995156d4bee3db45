"""`lipsync run` by itself, as a process of its own: what the service is compared with."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from lipsync_cli.bench.figures import CommandRun
from lipsync_cli.bench.inputs import InputPair
from lipsync_cli.bench.machine import busy_cpu_s
from lipsync_core.errors import LipSyncError
from lipsync_core.workspace import Workspace

_MAIN = "import sys; from lipsync_cli.main import main; sys.exit(main())"


def make_home(folder: Path) -> Path:
    """A folder for `--home` with this user's models, and no face tracks from before."""
    models = Workspace.below(folder).models
    models.parent.mkdir(parents=True, exist_ok=True)
    models.symlink_to(Workspace.default().models, target_is_directory=True)
    return folder


def run_command(pair: InputPair, model: str, home: Path, is_enhanced: bool = False) -> CommandRun:
    """Do the job with `lipsync run`. No other child of this process may end meanwhile.

    Raises:
        LipSyncError: it failed.
    """
    output = home / "out.mp4"
    files = [str(pair.video), str(pair.audio), "-o", str(output), "--home", str(home)]
    options = ["--model", model, "--json", "--quiet", *(["--enhance-quality"] if is_enhanced else [])]
    before, busy_s, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), busy_cpu_s(), time.monotonic()
    done = subprocess.run(  # noqa: S603 - this very program
        [sys.executable, "-c", _MAIN, "run", *files, *options], capture_output=True, text=True
    )
    wall_s, after = time.monotonic() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy_s = busy_cpu_s() - busy_s
    if done.returncode:
        raise LipSyncError(f"lipsync run failed: {done.stderr.strip()}")
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return CommandRun(wall_s, cpu_s, int(json.loads(done.stdout)["peak_rss_bytes"]), max(0.0, busy_s - cpu_s))
