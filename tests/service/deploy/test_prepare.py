"""The preparation of a service against a real S3 server; `make up` covers its other parts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("boto3", reason="the extra service is not installed")
pytest.importorskip("prefect", reason="the extra service is not installed")

from botocore.exceptions import ClientError

from lipsync_service.deploy.prepare import ensure_bucket, main
from tests.service.conftest import S3Server


@pytest.fixture
def on_s3(s3_server: S3Server, settings: Callable[..., Any]) -> Callable[..., Any]:
    known = {"s3_endpoint": s3_server.endpoint, "s3_access_key": s3_server.access_key}
    return lambda **chosen: settings(**{**known, "s3_secret_key": s3_server.secret_key, **chosen})


def test_the_bucket_is_made_and_left_alone_when_it_is_there(on_s3: Callable[..., Any], s3_server: S3Server) -> None:
    chosen = on_s3(storage_url="s3://prepared-bucket/work")
    ensure_bucket(chosen)
    client = s3_server.client()
    client.put_object(Bucket="prepared-bucket", Key="kept", Body=b"kept")
    ensure_bucket(chosen)
    assert client.get_object(Bucket="prepared-bucket", Key="kept")["Body"].read() == b"kept"
    client.close()


def test_a_folder_needs_no_bucket(settings: Callable[..., Any]) -> None:
    chosen = settings()
    assert urlsplit(chosen.storage_url).scheme == "file"
    ensure_bucket(chosen)


def test_the_bucket_fails_when_the_key_is_refused(on_s3: Callable[..., Any]) -> None:
    with pytest.raises(ClientError, match="403"):
        ensure_bucket(on_s3(storage_url="s3://prepared-bucket/work", s3_secret_key="wrong"))


def test_nothing_is_prepared_when_the_flows_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    database = tmp_path / "ledger.sqlite"
    monkeypatch.setenv("LIPSYNC_DATABASE_URL", f"sqlite:///{database}")
    for source in ("", str(tmp_path)):
        monkeypatch.setenv("LIPSYNC_SOURCE", source)
        assert (main() or "").startswith("error BAD_OPTION: LIPSYNC_SOURCE")
    assert not database.exists()
