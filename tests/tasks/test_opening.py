"""Opening a job decides where its inputs are read."""

import os
import sys
from pathlib import Path

import pytest

from lipsync_core.options import JobOptions
from lipsync_service.settings import Settings
from tasks.opening import open_job
from tests.isolation import misdeeds


def settings(tmp_path: Path, **chosen: object) -> Settings:
    storage = (tmp_path / "storage").as_uri()
    return Settings.model_validate({"storage_url": storage, "cache_dir": tmp_path / "cache", **chosen})


@pytest.mark.skipif(sys.platform != "linux", reason="readers need Linux")
def test_a_job_reads_its_inputs_apart_unless_the_setting_says_no(tmp_path: Path) -> None:
    given = tmp_path / "given.txt"
    given.write_text("given")
    with open_job(JobOptions(), settings(tmp_path)):
        assert next(misdeeds.count(given, 1)) != os.getpid()
        assert misdeeds.tried(given, "unix socket", "") == "PermissionError"
    with open_job(JobOptions(), settings(tmp_path, isolate=False)):
        assert next(misdeeds.count(given, 1)) == os.getpid()
    assert misdeeds.process_of(given) == os.getpid()
