"""What is removed of a storage, and what stays: one suite over S3 and folders."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from lipsync_service.cleaning.collector import UNFINISHED, Cleaned, Collector
from lipsync_service.cleaning.holders import Holders
from lipsync_service.settings import Settings
from lipsync_service.storage import use
from lipsync_service.storage.s3 import s3_client
from lipsync_service.storage.storage import Storage
from tests.service.cleaning.conftest import AgedShelf

NOBODY = Holders(frozenset(), frozenset(), None)
DAY = timedelta(days=1)
HASH, OTHER = "ab" * 32, "cd" * 32


def collected(
    shelf: AgedShelf, holders: Holders | Sequence[Holders] = NOBODY, is_dry: bool = False, **keeping: object
) -> dict[str, Cleaned]:
    """The figures by kind; of several holders, each is what Prefect says when it is asked once more."""
    answers = [holders] if isinstance(holders, Holders) else list(holders)

    def read(now: datetime) -> Holders:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    chosen = shelf.settings.model_copy(update=keeping)
    return {each.kind: each for each in Collector(shelf, chosen, read, lambda: datetime.now(UTC)).collect(is_dry)}


def test_each_folder_has_its_time_and_results_stay_for_ever(shelf: AgedShelf) -> None:
    times = {"uploads": 30, "tracks": 30, "edits": 7, "renders": 7, "handovers": 2, "secrets": 2}
    young = {shelf.put(f"{folder}/young.bin", days * DAY - DAY / 4) for folder, days in times.items()}
    old = {shelf.put(f"{folder}/old.bin", days * DAY + DAY / 4, size_bytes=7) for folder, days in times.items()}
    result = shelf.put("results/ab/old.mp4", 3000 * DAY)
    found = collected(shelf)
    assert shelf.names() == {*young, result}
    assert len(old) == 6
    for folder in times:
        assert (found[folder].removed, found[folder].removed_bytes) == (1, 7)
        assert (found[folder].kept, found[folder].kept_bytes) == (1, 10)
    assert found["results"] == Cleaned("results", kept=1, kept_bytes=10)


def test_a_dry_run_removes_nothing_and_says_the_same(shelf: AgedShelf) -> None:
    for number in range(3):
        shelf.put(f"edits/{number}.npy", 8 * DAY, size_bytes=100 + number)
    shelf.put("edits/young.npy")
    before = shelf.names()
    said = collected(shelf, is_dry=True)
    assert shelf.names() == before
    assert said["edits"] == Cleaned("edits", removed=3, removed_bytes=303, kept=1, kept_bytes=10)
    assert collected(shelf) == said
    assert shelf.names() == {"edits/young.npy"}


def test_results_go_too_if_a_time_is_set(shelf: AgedShelf) -> None:
    shelf.put("results/old.mp4", 9 * DAY)
    shelf.put("results/young.mp4", 7 * DAY)
    collected(shelf, keep_results_days=8.0)
    assert shelf.names() == {"results/young.mp4"}


def test_files_that_are_not_the_services_stay(shelf: AgedShelf) -> None:
    for name in ("inputs/face.mp4", "tracks", "notes/of-a-person.txt"):
        shelf.put(name, 3000 * DAY)
    collected(shelf)
    assert shelf.names() == {"inputs/face.mp4", "tracks", "notes/of-a-person.txt"}


def test_the_folders_of_tenants_are_cleaned_as_well(shelf: AgedShelf) -> None:
    shelf.put("tenants/one/tracks/old.npz", 31 * DAY)
    shelf.put("tenants/one/tracks/young.npz", 29 * DAY)
    assert collected(shelf)["tracks"].removed == 1
    assert shelf.names() == {"tenants/one/tracks/young.npz"}


def test_beyond_the_quota_the_longest_unused_go_first_whatever_folder_they_lie_in(shelf: AgedShelf) -> None:
    shelf.put("uploads/oldest.mp4", 6 * DAY, size_bytes=400)
    shelf.put("edits/older.npy", 5 * DAY, size_bytes=400)
    shelf.put("tracks/old.npz", 4 * DAY, size_bytes=400)
    shelf.put("tracks/young.npz", 3 * DAY, size_bytes=400)
    shelf.put("renders/counted-apart.mp4", 6 * DAY, size_bytes=4000)
    found = collected(shelf, keep_bytes=900)
    assert shelf.names() == {"tracks/old.npz", "tracks/young.npz", "renders/counted-apart.mp4"}
    assert (found["uploads"].removed_bytes, found["edits"].removed_bytes) == (400, 400)


def test_the_quota_removes_nothing_that_may_be_in_use(shelf: AgedShelf) -> None:
    shelf.put("tracks/older.npz", 3 * DAY, size_bytes=600)
    shelf.put("tracks/of-now.npz", timedelta(hours=25), size_bytes=600)
    collected(shelf, keep_bytes=1)
    assert shelf.names() == {"tracks/of-now.npz"}


def test_what_a_waiting_job_names_stays_and_is_counted(shelf: AgedShelf) -> None:
    job = str(uuid4())
    held = {
        shelf.put(f"uploads/ab/{HASH}.mp4", 400 * DAY),  # named by its address
        shelf.put(f"secrets/{OTHER}.json", 400 * DAY),  # referred to by its hash
        shelf.put(f"renders/{job}-{HASH}.mp4", 400 * DAY),  # of the run itself
    }
    shelf.put(f"uploads/cd/{OTHER[:-2]}aa.mp4", 400 * DAY)
    shelf.put(f"renders/{uuid4()}-{'ef' * 32}.mp4", 400 * DAY)
    found = collected(shelf, Holders(frozenset({f"uploads/ab/{HASH}.mp4"}), frozenset({job, OTHER}), None))
    assert shelf.names() == held
    assert (found["uploads"].in_use, found["secrets"].in_use, found["renders"].in_use) == (1, 1, 1)
    assert (found["uploads"].removed, found["renders"].removed) == (1, 1)


def test_what_was_used_since_the_longest_job_began_stays(shelf: AgedShelf) -> None:
    for folder in ("uploads", "tracks", "edits", "handovers"):
        shelf.put(f"{folder}/before.bin", 42 * DAY)
        shelf.put(f"{folder}/in-the-middle.bin", 40 * DAY)
    at_work = Holders(frozenset(), frozenset(), datetime.now(UTC) - 41 * DAY)
    assert collected(shelf, at_work)["edits"].in_use == 1
    assert shelf.names() == {f"{folder}/in-the-middle.bin" for folder in ("tracks", "edits", "handovers")}
    collected(shelf)
    assert shelf.names() == set()


def test_a_used_file_stays_for_its_time_from_then_and_its_mark_goes_with_it(shelf: AgedShelf) -> None:
    shelf.put("tracks/used.npz", 100 * DAY)
    assert use.take(shelf, "tracks/used.npz")
    collected(shelf)
    assert shelf.names() == {"tracks/used.npz", "uses/tracks/used.npz"}
    shelf.ages["uses/tracks/used.npz"] = 31 * DAY
    collected(shelf)
    assert shelf.names() == set()


def test_marks_of_files_that_are_gone_are_removed(shelf: AgedShelf) -> None:
    shelf.put("uses/tracks/gone.npz", 2 * DAY)
    shelf.put("uses/tracks/here.npz", 2 * DAY)
    shelf.put("tracks/here.npz", 3 * DAY)
    shelf.put("condemned/of-a-killed-collector.json", 2 * DAY)
    collected(shelf)
    assert shelf.names() == {"tracks/here.npz", "uses/tracks/here.npz"}


def test_a_young_file_is_taken_without_a_mark(shelf: AgedShelf) -> None:
    shelf.put("tracks/young.npz")
    assert use.take(shelf, "tracks/young.npz") and not use.take(shelf, "tracks/none.npz")
    assert shelf.names() == {"tracks/young.npz"}


class Interrupted:
    """A storage in which something happens just before one of the collector's steps."""

    def __init__(self, shelf: AgedShelf) -> None:
        self._shelf = shelf
        self.before_list: Callable[[], None] = lambda: None
        self.before_removal: Callable[[], None] = lambda: None

    def __getattr__(self, name: str) -> object:
        return getattr(self._shelf, name)

    def write(self, name: str, content: bytes) -> None:
        if name.startswith("condemned/"):
            self.before_list()
        self._shelf.write(name, content)

    def remove(self, names: Sequence[str]) -> None:
        if any(name.startswith("tracks/") for name in names):
            self.before_removal()
        self._shelf.remove(names)


def test_a_job_that_takes_a_file_before_it_is_condemned_keeps_it(shelf: AgedShelf) -> None:
    shelf.put("tracks/old.npz", 100 * DAY)
    shelf.put("tracks/older.npz", 101 * DAY)
    between = Interrupted(shelf)
    taken: list[bool] = []
    between.before_list = lambda: taken.append(use.take(shelf, "tracks/old.npz"))
    found = collected(between)  # type: ignore[arg-type]
    assert taken == [True]
    assert shelf.names() == {"tracks/old.npz", "uses/tracks/old.npz"}
    assert found["tracks"].removed == 1


def test_a_job_that_takes_a_file_while_it_is_removed_finds_none(shelf: AgedShelf) -> None:
    shelf.put("tracks/old.npz", 100 * DAY)
    between = Interrupted(shelf)
    taken: list[bool] = []
    has_marked = threading.Event()
    job = threading.Thread(target=lambda: taken.append(use.take(Noticed(shelf, has_marked), "tracks/old.npz")))  # type: ignore[arg-type]

    def start() -> None:
        if not job.ident:
            job.start()
            assert has_marked.wait(60)

    between.before_removal = start
    collected(between)  # type: ignore[arg-type]
    job.join(60)
    assert taken == [False]  # it makes the track anew
    assert "tracks/old.npz" not in shelf.names()


class Noticed:
    """A storage that tells when its user has looked for the lists of condemned files."""

    def __init__(self, shelf: AgedShelf, has_looked: threading.Event) -> None:
        self._shelf = shelf
        self._has_looked = has_looked

    def __getattr__(self, name: str) -> object:
        return getattr(self._shelf, name)

    def objects(self, folder: str = "") -> object:
        found = list(self._shelf.objects(folder))
        if folder == "condemned":
            self._has_looked.set()
        return iter(found)


def test_a_job_that_is_submitted_between_two_looks_keeps_its_upload(shelf: AgedShelf) -> None:
    name = shelf.put(f"uploads/ab/{HASH}.mp4", 100 * DAY)
    collected(shelf, [NOBODY, Holders(frozenset({name}), frozenset(), None)])
    assert shelf.names() == {name}


def test_a_killed_collector_holds_nobody_up_for_long(shelf: AgedShelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.put("tracks/old.npz", 100 * DAY)
    shelf.write("condemned/its-list.json", b'["tracks/old.npz"]')
    monkeypatch.setattr(use, "CONDEMNED_FOR_S", 0.0)
    assert use.take(shelf, "tracks/old.npz")


def test_a_collector_that_took_too_long_removes_nothing(shelf: AgedShelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.put("tracks/old.npz", 100 * DAY)
    monkeypatch.setattr("lipsync_service.cleaning.collector.CONDEMNED_FOR_S", -1.0)
    assert collected(shelf)["tracks"] == Cleaned("tracks", kept=1, kept_bytes=10)
    assert shelf.names() == {"tracks/old.npz"}


def unfinished_upload(shelf: AgedShelf, tmp_path: Path) -> None:
    url = shelf.settings.storage_url
    if url.startswith("s3://"):
        client, bucket = s3_client(shelf.settings), url.split("/")[2]
        begun = client.create_multipart_upload(Bucket=bucket, Key="work/renders/half.mp4")
        client.upload_part(
            Bucket=bucket, Key="work/renders/half.mp4", UploadId=begun["UploadId"], PartNumber=1, Body=b"x" * 1234
        )
        client.create_multipart_upload(Bucket=bucket, Key="workshop/not-ours.mp4")
        client.close()
    else:
        folder = tmp_path / "storage" / "renders"
        folder.mkdir(parents=True)
        (folder / f".{'0' * 16}.partial").write_bytes(b"x" * 1234)


def test_uploads_that_never_ended_go_when_no_job_can_be_at_them(shelf: AgedShelf, tmp_path: Path) -> None:
    unfinished_upload(shelf, tmp_path)
    young = collected(shelf)[UNFINISHED]
    assert young == Cleaned(UNFINISHED, kept=1, kept_bytes=1234)
    [before] = shelf.unfinished()
    later = Collector(shelf, shelf.settings, lambda now: NOBODY, lambda: datetime.now(UTC) + 2 * DAY)
    said = {each.kind: each for each in later.collect(is_dry=True)}[UNFINISHED]
    assert [replace(each, begun_at=before.begun_at) for each in shelf.unfinished()] == [before]
    done = {each.kind: each for each in later.collect(is_dry=False)}[UNFINISHED]
    assert said == done == Cleaned(UNFINISHED, removed=1, removed_bytes=1234)
    assert list(shelf.unfinished()) == []


def test_a_callers_upload_that_is_there_already_is_used_from_now_on(
    shelf: AgedShelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lipsync_service.client.local_files import FileExchange, LocalFiles
    from lipsync_service.client.request import LipSyncRequest

    path = tmp_path / "face.mp4"
    path.write_bytes(b"a video")
    request = LipSyncRequest(video=path.as_uri(), audio="https://files.test/a.wav", output="s3://b/o.mp4")
    monkeypatch.setattr(use, "FRESH", timedelta(seconds=-1))  # all files count as old
    for _ in range(2):
        FileExchange(shelf.settings).send(request, LocalFiles(video=path), lambda path, progress: None)
    [upload] = [name for name in shelf.names() if name.startswith("uploads/")]
    assert f"uses/{upload}" in shelf.names()


def test_the_storage_refuses_to_take_what_is_not_its_own(settings: Callable[..., Settings]) -> None:
    from lipsync_service.errors import UrlRefusedError

    with pytest.raises(UrlRefusedError):
        Storage(settings()).take("file:///elsewhere/tracks/a.npz")
