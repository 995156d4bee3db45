"""The jobs of the benchmarks that break a service: the service lets them name their files."""

from pathlib import Path

import pytest

pytest.importorskip("prefect", reason="the service needs the extra 'service'")
from benchmarks.service_of_its_own import BrokenService, output_url
from infra.local.layout import Layout
from lipsync_service.storage.reach import Reach
from lipsync_service.storage.url import parse_url


@pytest.mark.parametrize("is_written", [False, True])
def test_its_jobs_name_no_file_of_the_services_own(tmp_path: Path, is_written: bool) -> None:
    layout = Layout(Path.cwd(), tmp_path, 1)
    layout.s3_keys.write_text('{"identities": [{"credentials": [{"accessKey": "a", "secretKey": "b"}]}]}')
    settings = BrokenService(layout, {}).settings()
    assert settings.storage_url == layout.storage_url
    Reach(settings, None, ()).check(parse_url(output_url(0)), is_written=is_written)
