"""The deployments of the local stack are those of prefect.yaml, and known by all that they are made of."""

import shutil
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra service")
pytest.importorskip("prefect", reason="the extra service is not installed")

from infra.local.deployments import digest_of  # noqa: E402
from lipsync_service.names import DEPLOYMENTS  # noqa: E402
from tests.shared_files import ROOT  # noqa: E402


def test_the_deployments_that_are_looked_for_are_those_of_the_manifest() -> None:
    manifest = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    assert [f"{each['name']}/{each['name']}" for each in manifest["deployments"]] == list(DEPLOYMENTS)


def test_code_and_manifest_change_the_digest(tmp_path: Path) -> None:
    for folder in ("flows", "lipsync_service", "lipsync_core"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "prefect.yaml", tmp_path)
    seen = [digest_of(tmp_path)]
    assert digest_of(tmp_path) == seen[0]
    for changed in ("prefect.yaml", "flows/lipsync.py", "lipsync_service/client/request.py"):
        path = tmp_path / changed
        path.write_text(path.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
        seen.append(digest_of(tmp_path))
    (tmp_path / "flows" / "another.py").touch()
    seen.append(digest_of(tmp_path))
    assert len(set(seen)) == 5
