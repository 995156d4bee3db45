"""The properties of S3 alone: parts, checksums, keys and the server's own failures."""

import hashlib
import random
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.service.conftest import NOT_INSTALLED, S3Server

pytest.importorskip("pydantic_settings", reason=NOT_INSTALLED)
pytest.importorskip("boto3", reason=NOT_INSTALLED)

from lipsync_core.errors import TransientError
from lipsync_core.report import Progress
from lipsync_service.errors import AccessDeniedError, ChecksumError, ObjectMissingError, UrlRefusedError
from lipsync_service.storage.s3 import S3Store
from lipsync_service.storage.s3_conditions import ConditionUnknownError, GuardedWrites
from lipsync_service.storage.source import SourceChangedError
from lipsync_service.storage.storage import Storage
from lipsync_service.storage.url import parse_url

MakeSettings = Callable[..., Any]
CONTENT = random.Random(3).randbytes((17 << 20) + 1)


@pytest.fixture
def storage(s3_server: S3Server, settings: MakeSettings) -> Storage:
    return Storage(settings(**keys(s3_server)))


@pytest.fixture
def store(s3_server: S3Server, settings: MakeSettings) -> S3Store:
    return S3Store(settings(**keys(s3_server)))


def keys(server: S3Server, **other: Any) -> dict[str, Any]:
    own = {"s3_endpoint": server.endpoint, "s3_access_key": server.access_key, "s3_secret_key": server.secret_key}
    return {**own, **other}


def test_a_large_file_goes_up_in_parts_with_its_checksum(
    storage: Storage, s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "out").write_bytes(CONTENT)
    storage.put(tmp_path / "out", f"s3://{bucket}/a b/ü?#.mp4")
    client = s3_server.client()
    head = client.head_object(Bucket=bucket, Key="a b/ü?#.mp4", ChecksumMode="ENABLED")
    client.close()
    assert head["ETag"].endswith('-3"') and head["ChecksumSHA256"].endswith("-3")
    assert head["ContentType"] == "video/mp4"  # a browser plays it
    assert head["Metadata"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    with storage.fetch(f"s3://{bucket}/a b/ü?#.mp4") as file:
        assert file.path.read_bytes() == CONTENT


def test_what_others_uploaded_is_checked_by_the_servers_own_sums(
    storage: Storage, store: S3Store, s3_server: S3Server, bucket: str
) -> None:
    client = s3_server.client()
    client.put_object(Bucket=bucket, Key="sha256", Body=CONTENT, ChecksumAlgorithm="SHA256")
    client.put_object(Bucket=bucket, Key="plain", Body=CONTENT)
    client.close()
    for name, algorithm in (("sha256", "sha256"), ("plain", "md5")):
        source = store.source(parse_url(f"s3://{bucket}/{name}"))
        assert [each.algorithm for each in source.version().digests] == [algorithm]
        with storage.fetch(f"s3://{bucket}/{name}") as file:
            assert file.sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_fetching_fails_when_the_checksum_of_the_uploader_is_another(
    storage: Storage, s3_server: S3Server, bucket: str, settings: MakeSettings
) -> None:
    client = s3_server.client()
    client.put_object(Bucket=bucket, Key="a", Body=b"damaged", Metadata={"sha256": "0" * 64})
    client.close()
    with pytest.raises(ChecksumError) as caught, storage.fetch(f"s3://{bucket}/a"):
        pass
    assert caught.value.code == "CHECKSUM_MISMATCH"
    cache = settings().cache_dir
    assert not list(cache.glob("contents/*/*")) and sum(p.stat().st_size for p in cache.glob("arriving/*")) == 0


def test_reading_fails_when_the_object_was_replaced(store: S3Store, s3_server: S3Server, bucket: str) -> None:
    client = s3_server.client()
    client.put_object(Bucket=bucket, Key="a", Body=b"first")
    source = store.source(parse_url(f"s3://{bucket}/a"))
    version = source.version()
    client.put_object(Bucket=bucket, Key="a", Body=b"second")
    client.close()
    with pytest.raises(SourceChangedError):
        list(source.blocks(version, 0, 5))


def test_everything_fails_when_the_key_is_wrong(
    s3_server: S3Server, bucket: str, settings: MakeSettings, tmp_path: Path
) -> None:
    (tmp_path / "out").write_bytes(b"media")
    storage = Storage(settings(**keys(s3_server, s3_secret_key="not-the-secret")))
    for attempt in (
        lambda: storage.put(tmp_path / "out", f"s3://{bucket}/a"),
        lambda: storage.exists(f"s3://{bucket}/a"),
        lambda: storage.fetch(f"s3://{bucket}/a").__enter__(),
    ):
        with pytest.raises(AccessDeniedError) as caught:
            attempt()
        assert caught.value.code == "ACCESS_DENIED" and "not-the-secret" not in repr(caught.value)


def test_fetching_fails_when_there_is_no_bucket(storage: Storage) -> None:
    assert not storage.exists("s3://no-such-bucket-here/a")
    with pytest.raises(ObjectMissingError), storage.fetch("s3://no-such-bucket-here/a"):
        pass


@pytest.mark.parametrize("name", ["UP", "a..b", "has space"])
def test_fetching_fails_when_the_bucket_has_an_impossible_name(storage: Storage, name: str) -> None:
    with pytest.raises((UrlRefusedError, ObjectMissingError)), storage.fetch(f"s3://{name}/a"):
        pass


def test_fetching_fails_when_jobs_may_not_use_the_bucket(
    s3_server: S3Server, bucket: str, settings: MakeSettings, tmp_path: Path
) -> None:
    (tmp_path / "out").write_bytes(b"media")
    storage = Storage(settings(**keys(s3_server, s3_buckets=("inputs",))))
    with pytest.raises(UrlRefusedError), storage.fetch(f"s3://{bucket}/a"):
        pass
    with pytest.raises(UrlRefusedError):
        storage.check_target(f"s3://{bucket}/a")
    with pytest.raises(UrlRefusedError):
        storage.put(tmp_path / "out", f"s3://{bucket}/a")


def test_fetching_fails_for_now_when_the_server_is_down(s3_server: S3Server, settings: MakeSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    storage = Storage(settings(**keys(s3_server, s3_endpoint=f"http://127.0.0.1:{port}")))
    with pytest.raises(TransientError) as caught, storage.fetch("s3://bucket/a"):
        pass
    assert caught.value.code == "TRANSIENT"


def test_no_log_holds_what_gives_access(
    storage: Storage, s3_server: S3Server, bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    (tmp_path / "out").write_bytes(b"media")
    storage.put(tmp_path / "out", f"s3://{bucket}/a")
    with storage.fetch(f"s3://{bucket}/a"):
        pass
    assert caplog.records
    for secret in (s3_server.secret_key, s3_server.access_key, "Signature", "Authorization"):
        assert secret not in caplog.text


def test_an_upload_that_the_server_has_forgotten_is_begun_again(
    storage: Storage, s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    """As where the server was killed meanwhile: it knows no such upload, which is no missing file of the job's."""
    path = tmp_path / "movie.mp4"
    path.write_bytes(CONTENT)
    client = s3_server.client()

    def forget(progress: Progress) -> None:
        if progress.done:
            for each in client.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
                client.abort_multipart_upload(Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"])

    with closing(client), pytest.raises(TransientError):
        storage.put(path, f"s3://{bucket}/movie.mp4", forget)
    storage.put(path, f"s3://{bucket}/movie.mp4")
    assert storage.holds(path, f"s3://{bucket}/movie.mp4")


def test_a_server_without_conditions_gets_the_next_upload_without_one() -> None:
    location, conditions = parse_url("s3://bucket/key"), list[dict[str, str]]()
    handlers = list[Callable[..., None]]()
    events = SimpleNamespace(register=lambda _name, handler: handlers.append(handler))
    writes = GuardedWrites(SimpleNamespace(meta=SimpleNamespace(events=events)))
    for number in (1, 2):
        try:
            with writes.guarded(location, lambda: None, lambda _: "tag"):
                params = {"Bucket": "bucket", "Key": "key"}
                handlers[0](params=params)
                conditions.append({name: value for name, value in params.items() if name.startswith("If")})
                if number == 1:
                    raise ConditionUnknownError("the server answers NotImplemented")
        except TransientError:
            assert number == 1
    assert conditions == [{"IfMatch": "tag"}, {}]
