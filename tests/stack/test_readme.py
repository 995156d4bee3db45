"""The README's commands for the service work as written."""

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lipsync_core.pipeline import lip_sync
from lipsync_core.workspace import Workspace
from tests.jobs import assert_equal_frames

if TYPE_CHECKING:
    from tests.stack.conftest import Service

_ROOT = Path(__file__).resolve().parents[2]
_LIMIT_S = 120


def shown_script() -> str:
    """The one block of shell in the section about the service."""
    section = (_ROOT / "README.md").read_text(encoding="utf-8").split("## Run it as a service")[1].split("\n## ")[0]
    [script] = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return script


def test_the_job_with_curl_runs_as_it_is_shown(
    service: "Service", face: Path, speech: Path, tmp_path: Path, workspace: Workspace
) -> None:
    (tmp_path / ".lipsync").symlink_to(service.layout.root)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "face.mp4").symlink_to(face)
    (tmp_path / "demo" / "speech.wav").symlink_to(speech)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", shown_script()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "COMPLETED\n", "")
    lip_sync(face, speech, tmp_path / "local.mp4", workspace=workspace)
    assert_equal_frames(tmp_path / "out.mp4", tmp_path / "local.mp4")
