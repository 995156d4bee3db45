"""`lipsync batch --dry-run`: all faults of a manifest are reported before any job is submitted."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import RunLipSync, write_movie
from tests.text_tables import cells

HEADER = "video,audio,output,crf,priority,idempotency_key\n"


@pytest.fixture
def manifest(movie: Path, speech: Path, tmp_path: Path) -> Path:
    """Rows beside their files; wrong ones in the lines 4 to 9."""
    folder = tmp_path / "rows"
    folder.mkdir()
    movie.rename(folder / "face.mp4")
    speech.rename(folder / "speech.wav")
    write_movie(folder / "other.mp4", frame_count=5)
    rows = [
        "face.mp4,speech.wav,one.mp4,,,",
        "face.mp4,speech.wav,two.mp4,,,",  # the same job, another file
        "none.mp4,speech.wav,three.mp4,,,",
        "face.mp4,face.mp4,three.avi,99,,",
        "other.mp4,speech.wav,one.mp4,,,",
        "s3://in/v.mp4,ftp://user:secret@in/a.wav,s3://out/o.mp4?X=secret,,,",
        "s3://in/v.mp4,s3://in/a.wav,s3://out/o.mp4,18,,key",
        "s3://in/v.mp4,s3://in/a.wav,s3://out/p.mp4,19,,key",
        "s3://in/v.mp4,s3://in/a.wav,s3://out/o.mp4,18,,key",
    ]
    (folder / "rows.csv").write_text(HEADER + "\n".join(rows) + "\n")
    return folder / "rows.csv"


def test_a_dry_run_tells_every_fault_and_submits_nothing(
    manifest: Path, lipsync_here: RunLipSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSYNC_API_URL", "http://127.0.0.1:9/api")  # the service is not asked
    done = lipsync_here("batch", "rows/rows.csv", "--dry-run")
    assert done.returncode == 3
    assert done.stderr == "lipsync: error INPUT_INVALID: 5 of 9 rows hold no request; correct these rows\n"
    assert "secret" not in done.stdout
    assert cells(done.stdout) == [
        ["row", "field", "fault"],
        ["4", "video", "rows/none.mp4 does not exist"],
        ["5", "output", "its path ends in none of .mp4, .m4v, .mov"],
        ["5", "crf", "Input should be less than or equal to 51"],
        ["5", "audio", "rows/face.mp4 holds no audio"],
        ["6", "output", "row 2 writes to the same place"],
        ["7", "audio", "it does not begin with s3://, https://, http:// or file://"],
        ["9", "idempotency_key", "row 8 has the same and asks for something else"],
        ["row", "job"],
        ["2", "rows/face.mp4 + rows/speech.wav -> rows/one.mp4"],
        ["3", "the same as row 2"],
        ["8", "s3://in/v.mp4 + s3://in/a.wav -> s3://out/o.mp4"],
        ["10", "the same as row 8"],
        ["9 rows: 2 jobs, 2 rows the same, 5 wrong"],
    ]
    assert sorted(path.name for path in manifest.parent.iterdir()) == [
        "face.mp4",
        "other.mp4",
        "rows.csv",
        "speech.wav",
    ]


def test_a_dry_run_in_json_holds_the_same(manifest: Path, lipsync_here: RunLipSync) -> None:
    fields = json.loads(lipsync_here("batch", manifest, "--dry-run", "--json").stdout)
    assert fields["schema"] == "lipsync.batch/1"
    rows = {row["row"]: row for row in fields["rows"]}
    assert [row["same_as"] for row in rows.values()] == [None, 2, None, None, None, None, None, None, 8]
    assert [fault["field"] for fault in rows[5]["faults"]] == ["output", "crf", "audio"]


def test_a_dry_run_of_good_rows_ends_well(manifest: Path, lipsync: RunLipSync) -> None:
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:3]))
    done = lipsync("batch", manifest, "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("2 rows: 1 jobs, 1 rows the same, 0 wrong\n")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("none.csv", None),
        ("rows.txt", HEADER),
        ("rows.csv", HEADER),
        ("rows.csv", 'video,audio,output\n"never closed'),
        ("rows.jsonl", "\n\n"),
    ],
)
def test_a_batch_fails_when_its_manifest_is_none(
    name: str, text: str | None, tmp_path: Path, lipsync_here: RunLipSync
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    done = lipsync_here("batch", name)
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("lipsync: error INPUT_INVALID: ") and done.stderr.count("\n") == 1


def test_a_batch_fails_when_the_service_is_down(
    tmp_path: Path, lipsync_here: RunLipSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSYNC_API_URL", "http://127.0.0.1:9/api")
    (tmp_path / "rows.csv").write_text("video,audio,output\ns3://in/v.mp4,s3://in/a.wav,s3://out/o.mp4\n")
    done = lipsync_here("batch", "rows.csv", "--quiet")
    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr.startswith("lipsync: error SERVICE_UNAVAILABLE: ") and done.stderr.count("\n") == 1


def test_an_output_that_is_a_loop_of_links_is_a_fault_of_its_row(manifest: Path, lipsync_here: RunLipSync) -> None:
    (manifest.parent / "loop.mp4").symlink_to("loop.mp4")
    manifest.write_text(HEADER + "face.mp4,speech.wav,loop.mp4,,,\n")
    done = lipsync_here("batch", "rows/rows.csv", "--dry-run")
    assert done.returncode == 3
    assert ["2", "output", "output rows/loop.mp4 is a link that leads back to itself"] in cells(done.stdout)
