"""What a request may name: never the service's own files, and of a tenant's world no other's."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers import starts_servers
from tests.service.conftest import NOT_INSTALLED, S3Server
from tests.service.storage.test_storage import make_file, s3_settings

pytest.importorskip("pydantic_settings", reason=NOT_INSTALLED)
pytest.importorskip("boto3", reason=NOT_INSTALLED)

from lipsync_core.errors import OptionError
from lipsync_service.client.local_files import FileExchange, LocalFiles
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.client.results import result_urls
from lipsync_service.errors import ObjectMissingError, UrlRefusedError
from lipsync_service.storage.reach import Reach
from lipsync_service.storage.storage import Storage
from lipsync_service.storage.url import parse_url

MakeSettings = Callable[..., Any]
OWN = "s3://lipsync/work"
DIGEST = "ab" * 32
#: Ways to write a file of the service's own, below s3://lipsync/work, or to leave the bucket.
OWN_WRITTEN = """
    work/renders/a.mp4 work/handovers/a.json work/tracks/a.npz work/edits/a.npy work/secrets/a.json work/a.mp4
    work/results/ab/x.mp4 work/tenants/acme/uploads/a.mp4 work/uploads/../renders/a.mp4 work/./renders/a.mp4
    x/../work/renders/a.mp4 ../lipsync/work/renders/a.mp4 ../other/a.mp4 .. a/.. ./a.mp4 a/./b.mp4 a/../../other/b.mp4
    work//renders//a.mp4 /OWN/renders/a.mp4 //OWN/renders/a.mp4 work/renders//a.mp4 WORK/renders/a.mp4
    Work/Renders/a.mp4 work./renders/a.mp4 work../a.mp4 work%2Frenders%2Fa.mp4 work%2frenders/a.mp4
    %77ork/renders/a.mp4 %2577ork/renders/a.mp4 a/%2e%2e/work/a.mp4 a/%2E./b.mp4 %252e%252e/other/a.mp4
    a/%25252e%25252e/b.mp4 work\\renders\\a.mp4 a\\..\\work\\a.mp4 work/%72enders/a.mp4 ｗｏｒｋ/renders/a.mp4
    work%20/renders/a.mp4 %2e/work/a.mp4 ．．/other/a.mp4 %2525252525252e%2525252525252e/a.mp4
    work/uploads/ab/notahash.mp4 work/uploads/ab/../ab/x.mp4
"""
OWN_KEYS = OWN_WRITTEN.replace("OWN", "work").split()


def refused(reach: Reach, url: str, *, is_written: bool) -> bool:
    if reach.is_own(url, is_written=is_written):
        return False
    try:
        reach.check(parse_url(url), is_written=is_written)
    except UrlRefusedError:
        return True
    return False


def test_the_services_own_objects_are_refused_however_they_are_written(settings: MakeSettings) -> None:
    reach = Reach(settings(storage_url=OWN))
    urls = [f"s3://lipsync/{key}" for key in OWN_KEYS] + ["s3://lipsync/work/results/ab/" + DIGEST + ".mp4"]
    for is_written in (False, True):
        assert [url for url in urls if not refused(reach, url, is_written=is_written)] == []


@pytest.mark.parametrize(
    "key",
    ["inputs/a.mp4", "works/a.mp4", "workshop.mp4", "a/work/renders/b.mp4", "a b/ü.mp4", "50%25.mp4", "100%.mp4",
     "a..b/c...mp4", "inputs//a.mp4"],
)  # fmt: skip
def test_what_lies_beside_them_is_not(settings: MakeSettings, key: str) -> None:
    reach = Reach(settings(storage_url=OWN))
    assert not refused(reach, f"s3://lipsync/{key}", is_written=False)
    assert not refused(reach, f"s3://lipsync/{key}", is_written=True)
    assert not refused(reach, f"s3://other/work/{key}", is_written=True)


@pytest.mark.parametrize(
    "bucket",
    ["arn:aws:s3:us-east-1:123456789012:accesspoint", "a", "..", "a..b", "bucket%2f..", "bucket:80", "-a", "buc ket"],
)
def test_a_bucket_that_is_another_kind_of_thing_is_refused(settings: MakeSettings, bucket: str) -> None:
    with pytest.raises(UrlRefusedError):
        Reach(settings()).check(parse_url(f"s3://{bucket}/a.mp4"), is_written=False)


def test_buckets_may_be_named_with_a_prefix(settings: MakeSettings) -> None:
    reach = Reach(settings(s3_buckets=("in", "shared/customers/acme")))
    allowed = ["s3://in/a", "s3://shared/customers/acme/a"]
    others = ["s3://inn/a", "s3://shared/a", "s3://shared/customers/acme2/a", "s3://shared/customers/acme", "s3://IN/a"]
    assert [url for url in allowed + others if not refused(reach, url, is_written=False)] == allowed
    assert refused(reach, "s3://shared/customers/acme/../other/a", is_written=False)


def test_a_job_reads_uploads_and_writes_the_result_of_its_own_request_alone(settings: MakeSettings) -> None:
    request = LipSyncRequest(video="s3://in/v.mp4", audio="s3://in/a.wav", output="s3://out/o.mp4")
    mine = result_urls(request, OWN)
    others = result_urls(request.model_copy(update={"crf": 21}), OWN)
    reach = Reach(settings(storage_url=OWN), None, mine)
    upload = f"{OWN}/uploads/ab/{DIGEST}.mp4"
    assert not refused(reach, upload, is_written=False) and refused(reach, upload, is_written=True)
    assert [refused(reach, url, is_written=True) for url in mine] == [False] * len(mine)
    assert [refused(reach, url, is_written=True) for url in others] == [True] * len(others)
    assert all(refused(reach, url, is_written=False) for url in (*mine, *others))


def test_a_batch_that_changes_the_queue_may_still_write_the_result_that_it_has_named(
    tmp_path: Path, settings: Any
) -> None:
    fields = {"video": "s3://in/v.mp4", "audio": "s3://in/a.wav", "output": "file:///o.mp4"}
    named = FileExchange(settings()).addressed(LipSyncRequest(**fields), LocalFiles(output=tmp_path / "o.mp4"))
    queued = named.model_copy(update={"priority": "bulk"})
    assert named.output in result_urls(queued, settings().storage_url)


def test_files_of_the_services_own_folders_are_refused_below_a_root(settings: MakeSettings, tmp_path: Path) -> None:
    chosen = settings(file_roots=(tmp_path,))
    storage = Storage(chosen)
    make_file(tmp_path / "theirs.mp4", 10)
    with storage.fetch((tmp_path / "theirs.mp4").as_uri()) as lease:
        cached = lease.path
        storage.put_shared(tmp_path / "theirs.mp4", f"{chosen.storage_url}/renders/a.mp4")
        (tmp_path / "link").symlink_to(tmp_path / "storage")
        (tmp_path / "cachelink").symlink_to(cached)
        chosen.spool_dir.mkdir()
        make_file(chosen.spool_dir / "a.jsonl", 10)
        places = [
            cached, tmp_path / "cachelink", tmp_path / "storage/renders/a.mp4", tmp_path / "link/renders/a.mp4",
            tmp_path / "x/../storage/renders/a.mp4", chosen.spool_dir / "a.jsonl",
        ]  # fmt: skip
        for place in places:
            for url in (f"file://{place}", f"file://{place}".replace("storage", "%73torage")):
                with pytest.raises(UrlRefusedError), storage.fetch(url):
                    pass
                with pytest.raises(UrlRefusedError):
                    storage.put(tmp_path / "theirs.mp4", url)
                with pytest.raises(UrlRefusedError):
                    storage.check_target(url)
    assert (tmp_path / "storage/renders/a.mp4").read_bytes() == (tmp_path / "theirs.mp4").read_bytes()


def test_a_barred_folder_is_known_by_another_name_of_it(
    settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system that takes names in any case: the path differs, and the folder is the same."""
    chosen = settings(file_roots=(tmp_path,))
    storage = Storage(chosen)
    make_file(tmp_path / "a.mp4", 10)
    storage.put_shared(tmp_path / "a.mp4", f"{chosen.storage_url}/renders/a.mp4")
    really = os.open

    def any_case(path: Any, *args: Any, **options: Any) -> int:
        return really("storage" if path == "STORAGE" else path, *args, **options)

    monkeypatch.setattr(os, "open", any_case)
    with pytest.raises(UrlRefusedError), storage.fetch(f"file://{tmp_path}/STORAGE/renders/a.mp4"):
        pass


@pytest.mark.parametrize("kind", ["fifo", "folder", "socket", "loop", "device"])
def test_what_is_no_regular_file_is_refused_as_a_source(settings: MakeSettings, tmp_path: Path, kind: str) -> None:
    path, roots = tmp_path / "a.mp4", (tmp_path,)
    with socket.socket(socket.AF_UNIX) as listener:
        match kind:
            case "fifo":
                os.mkfifo(path)
            case "folder":
                path.mkdir()
            case "socket":
                listener.bind(str(path))
            case "loop":
                path.symlink_to("b")
                (tmp_path / "b").symlink_to("a.mp4")
            case "device":
                path, roots = Path("/dev/zero"), (Path("/dev"),)
        storage = Storage(settings(file_roots=roots))
        with pytest.raises(UrlRefusedError, match="not a regular file"), storage.fetch(path.as_uri()):
            pass


TENANTS = {
    "acme": {"read": ["s3://media/acme", "file:///srv/acme"], "write": ["s3://media/acme/out"]},
    "beta": {"read": ["s3://media/beta/"], "write": ["s3://media/beta/"]},
}


def test_a_tenant_reads_and_writes_what_the_settings_give_it(settings: MakeSettings) -> None:
    chosen = settings(storage_url=OWN, tenants=TENANTS)
    acme = Reach(chosen, "acme")
    reads = [
        "s3://media/acme/a.mp4",
        "s3://media/acme/out/a.mp4",
        "file:///srv/acme/a.mp4",
        "https://example.com/a.mp4",
    ]
    others = ["s3://media/a.mp4", "s3://media/acme2/a.mp4", "s3://media/beta/a.mp4", "s3://media/acme/../beta/a.mp4",
              "s3://media/acme/%2e%2e/beta/a.mp4", "s3://else/acme/a.mp4", "file:///srv/acme/../beta/a.mp4",
              "file:///srv/acme2/a.mp4", f"{OWN}/uploads/ab/{DIGEST}.mp4",
              f"{OWN}/tenants/beta/uploads/ab/{DIGEST}.mp4"]  # fmt: skip
    assert [url for url in reads + others if not refused(acme, url, is_written=False)] == reads
    writes = ["s3://media/acme/out/a.mp4", "https://example.com/a.mp4"]
    assert [url for url in reads + others if not refused(acme, url, is_written=True)] == writes
    assert not refused(acme, f"{OWN}/tenants/acme/uploads/ab/{DIGEST}.mp4", is_written=False)


def test_a_request_names_a_tenant_where_there_are_any_and_only_one_of_them(settings: MakeSettings) -> None:
    for chosen, tenant in (
        (settings(tenants=TENANTS), None),
        (settings(tenants=TENANTS), "gamma"),
        (settings(), "acme"),
    ):
        with pytest.raises(OptionError) as caught:
            Reach(chosen, tenant)
        assert caught.value.code == "BAD_OPTION"


def test_tenants_come_from_the_environment(settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_TENANTS", json.dumps(TENANTS))
    monkeypatch.setenv("LIPSYNC_HTTP_PORTS", "80,443,8443")
    chosen = settings()
    assert chosen.tenants["acme"].write == ("s3://media/acme/out",) and chosen.http_ports == (80, 443, 8443)
    monkeypatch.setenv("LIPSYNC_TENANTS", "")
    assert settings().tenants == {}
    for wrong in ('{"A": {}}', '{"../x": {}}', '{"a": {"read": ["https://x/"]}}', "[]", "{", '{"a": {"reed": []}}'):
        monkeypatch.setenv("LIPSYNC_TENANTS", wrong)
        with pytest.raises(ValueError, match="tenants"):
            settings()


@pytest.mark.parametrize("kind", [pytest.param("s3", marks=starts_servers), "folder"])
def test_the_hash_of_anothers_upload_leads_nowhere(
    request: pytest.FixtureRequest, settings: MakeSettings, tmp_path: Path, kind: str
) -> None:
    """Both send the same file: each has a copy of its own, and the address of the one is refused to the other."""
    chosen: dict[str, Any] = {"tenants": TENANTS}
    if kind == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        chosen |= s3_settings(server) | {"storage_url": f"s3://{request.getfixturevalue('bucket')}/work"}
    made, speech = settings(**chosen), make_file(tmp_path / "a.wav", 1000)
    exchange, addresses = FileExchange(made), {}
    for tenant in ("acme", "beta"):
        asked = LipSyncRequest(video="s3://media/v.mp4", audio="file:///a.wav", output="s3://o/o.mp4", tenant=tenant)
        local = LocalFiles(audio=speech)
        addressed = exchange.addressed(asked, local)
        if tenant == "acme":
            exchange.send(addressed, local, lambda path, progress: None)
        addresses[tenant] = addressed.audio
    assert len(set(addresses.values())) == 2
    with Storage(made, reach=Reach(made, "acme")).fetch(addresses["acme"]) as lease:
        assert lease.path.read_bytes() == speech.read_bytes()
    beta = Storage(made, reach=Reach(made, "beta"))
    with pytest.raises(UrlRefusedError), beta.fetch(addresses["acme"]):
        pass
    with pytest.raises(ObjectMissingError), beta.fetch(addresses["beta"]):  # though this host's cache has the content
        pass


def test_keys_of_two_tenants_are_never_the_same() -> None:
    asked = {"video": "s3://a/v.mp4", "audio": "s3://a/a.wav", "output": "s3://a/o.mp4", "idempotency_key": "k"}
    keys = {LipSyncRequest(**asked, tenant=tenant).scoped_key for tenant in (None, "acme", "beta")}
    assert keys == {"k", "acme/k", "beta/k"}
    digests = {LipSyncRequest(**asked, tenant=tenant).digest for tenant in (None, "acme", "beta")}
    assert len(digests) == 3
