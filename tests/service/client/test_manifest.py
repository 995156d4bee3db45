"""Manifests: the same rows from CSV and JSON lines, and every fault named by its line."""

import json
import os
from pathlib import Path

import pytest

from lipsync_core.errors import InputError
from lipsync_core.limit_errors import ManifestLimitError
from lipsync_core.limits import Limits, limited
from lipsync_service.client.batch import plan_rows
from lipsync_service.client.manifest import read_manifest
from tests.conftest import MakeVideo, Tone

ROW = {"video": "s3://in/v.mp4", "audio": "s3://in/a.wav", "output": "s3://out/o.mp4"}


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def keys(manifest: Path) -> list[str]:
    """The keys under which the rows of the manifest are submitted; outputs that are the same do not matter here."""
    rows = read_manifest(manifest)
    return [plan_rows([row])[0].key for row in rows]


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    lines = written(tmp_path / "m.jsonl", json.dumps({**ROW, "crf": 18, "metadata": {"show": "x"}}) + "\n\n")
    table = written(
        tmp_path / "m.csv",
        "video,audio,output,crf,face,metadata.show\ns3://in/v.mp4,s3://in/a.wav,s3://out/o.mp4,18,,x\n",
    )
    [from_lines], [from_table] = read_manifest(lines), read_manifest(table)
    assert from_lines.request == from_table.request
    assert from_lines.request is not None
    assert keys(lines) == keys(table)
    assert (from_lines.number, from_table.number) == (1, 2)


def test_tracks_and_pictures_are_columns_too(tmp_path: Path) -> None:
    chosen = {"video_track": 1, "audio_track": "de", "deinterlace": "off", "keep_depth": True, "max_size": "640x360"}
    lines = written(tmp_path / "m.jsonl", json.dumps({**ROW, **chosen, "pix_fmt": "yuv420p10le"}))
    header = "video,audio,output,video_track,audio_track,deinterlace,keep_depth,max_size,pix_fmt"
    cells = "s3://in/v.mp4,s3://in/a.wav,s3://out/o.mp4,1,de,off,true,640x360,yuv420p10le"
    [from_lines], [from_table] = read_manifest(lines), read_manifest(written(tmp_path / "m.csv", f"{header}\n{cells}"))
    assert from_lines.request is not None and from_lines.request == from_table.request
    options = from_lines.request.options()
    assert (options.video_track, options.audio_track, options.deinterlace) == ("1", "de", "off")
    assert (options.keep_depth, options.max_size, options.pix_fmt) == (True, (640, 360), "yuv420p10le")


def test_a_row_fails_when_its_file_lacks_the_track(tmp_path: Path, make_video: MakeVideo, tone: Tone) -> None:
    make_video("v.mp4"), tone("a.wav")
    here = {"video": "v.mp4", "audio": "a.wav", "output": "o.mp4"}
    rows = [{**here, "video_track": 0, "audio_track": "0"}, {**here, "video_track": 3, "audio_track": "fr"}]
    manifest = written(tmp_path / "m.jsonl", "\n".join(map(json.dumps, rows)))
    good, bad = read_manifest(manifest, folder=tmp_path)
    assert good.faults == ()
    assert bad.faults == (
        "video_track: the file has no video track '3'",
        "audio_track: the file has no audio track 'fr'",
    )


def test_the_key_changes_with_the_request_and_is_the_callers_where_given(tmp_path: Path) -> None:
    rows = [ROW, {**ROW, "crf": 19}, {**ROW, "idempotency_key": "mine"}]
    first, second, third = keys(written(tmp_path / "m.jsonl", "\n".join(map(json.dumps, rows))))
    assert first and second and first != second
    assert third == "mine"


def test_a_row_fails_when_it_holds_no_request_and_the_others_stay(tmp_path: Path) -> None:
    secret = {**ROW, "video": "ftp://user:secret@host/v.mp4"}
    text = "\n".join([json.dumps(ROW), "{", json.dumps(secret), json.dumps({"video": 1}), "[]"])
    good, broken, refused, short, no_object = read_manifest(written(tmp_path / "m.jsonl", text))
    assert not good.faults
    assert "no JSON" in broken.faults[0]
    assert refused.faults[0].startswith("video: ")
    assert "secret" not in refused.faults[0]
    assert {fault.split(":")[0] for fault in short.faults} == {"video", "audio", "output"}
    assert no_object.faults[0].startswith("row: ")
    assert [row.request is None for row in (good, broken, refused, short, no_object)] == [False, True, True, True, True]


def test_a_csv_row_fails_when_it_has_more_cells_than_the_header(tmp_path: Path) -> None:
    [row] = read_manifest(written(tmp_path / "m.csv", "video,audio,output\na,b,c,d\n"))
    assert row.faults == ("row: it has more cells than the header",)


@pytest.mark.parametrize(("name", "text"), [("m.txt", "x"), ("m.jsonl", "\n"), ("m.csv", "video,audio,output\n")])
def test_a_manifest_fails_when_it_has_no_rows_or_another_form(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(InputError):
        read_manifest(written(tmp_path / name, text))


def test_a_manifest_fails_when_it_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_manifest(tmp_path / "none.csv")


def with_fields(more: str) -> str:
    return json.dumps(ROW)[:-1] + f", {more}}}"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("[" * 200_000, "too deep"),
        ('{"a":' * 100_000, "too deep"),
        ("1" * 6000, "a number too long"),
        (with_fields('"crf": ' + "9" * 5000), "a number too long"),
        (with_fields('"min_synced": NaN'), "min_synced"),
        (with_fields('"video": "s3://in/other.mp4"'), "'video' more than once"),
        (with_fields('"metadata": {"a": "1", "a": "2"}'), "'a' more than once"),
        (with_fields(r'"metadata": {"a": "\ud800"}'), "metadata.a"),
        (with_fields(r'"metadata": {"\udfff": "a"}'), "half a character"),
        (with_fields(r'"metadata": {"a": "x\u0000"}'), "NUL"),
        (with_fields(r'"idempotency_key": "x\u0000"'), "NUL"),
        (with_fields(r'"b\u0000": 1'), "b\N{REPLACEMENT CHARACTER}: Extra inputs"),
        (r'{"video": "\ud800.mp4", "audio": "a\u0000.wav", "output": "\udc80/o.mp4"}', "video: "),
    ],
)
def test_a_row_fails_when_no_request_could_be_so(tmp_path: Path, line: str, fault: str) -> None:
    bad, good = read_manifest(written(tmp_path / "m.jsonl", f"{line}\n{json.dumps(ROW)}\n"), folder=tmp_path)
    assert bad.request is None and good.request is not None
    assert any(fault in each for each in bad.faults) and all(each.isprintable() for each in bad.faults)


def test_a_row_fails_when_it_has_more_fields_than_a_request(tmp_path: Path) -> None:
    many = ", ".join(f'"f{number}": 1' for number in range(60_000)) + ', "f59999": 1'  # the last one twice
    [row] = read_manifest(written(tmp_path / "m.jsonl", with_fields(many)))
    assert row.faults == ("row: it has 60004 fields, more than a request can have",)


def test_a_table_fails_when_it_has_more_columns_than_a_request_has_fields(tmp_path: Path) -> None:
    wide = written(tmp_path / "m.csv", ",".join(f"c{number}" for number in range(100_000)) + "\na" * 50_000)
    with pytest.raises(InputError, match="100000 columns, more than a request can have fields"):
        read_manifest(wide)


def test_a_table_may_have_empty_columns_behind_its_own(tmp_path: Path) -> None:
    more = "," * 300  # as spreadsheets write them
    [row] = read_manifest(written(tmp_path / "m.csv", f"{','.join(ROW)}{more}\n{','.join(ROW.values())}{more}\n"))
    assert row.request is not None
    [row] = read_manifest(written(tmp_path / "m.csv", f"{','.join(ROW)},\n{','.join(ROW.values())},x\n"))
    assert row.faults == ("row: Extra inputs are not permitted",)


def test_the_labels_of_a_table_are_as_many_as_a_request_may_have(tmp_path: Path) -> None:
    names = [*ROW, *(f"metadata.{number}" for number in range(32))]
    [row] = read_manifest(written(tmp_path / "m.csv", f"{','.join(names)}\n{','.join(ROW.values())}{',x' * 32}\n"))
    assert row.request is not None and len(row.request.metadata) == 32


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.jsonl", f'{json.dumps(ROW)}\n{{"a": [{"[]," * 400_000}[]]}}\n'),
        ("m.csv", f"{','.join(ROW)}\n{',' * 1_200_000}\n"),
        ("m.csv", ",".join(ROW) + "\n" + '"\na",' * 300_000 + "\n"),
    ],
    ids=["values", "cells", "lines of one row"],
)
def test_a_manifest_fails_when_a_row_is_longer_than_any_request(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ManifestLimitError, match=r"^line \d+ of the manifest .* more than 1048576 characters"):
        read_manifest(written(tmp_path / name, text))


def test_rows_together_may_be_longer_than_one_may_be(tmp_path: Path) -> None:
    long = {**ROW, "metadata": {str(number): "\N{SNOWMAN}" * 1024 for number in range(32)}}
    cells = ",".join([*ROW.values(), '"' + "\n" * 24 + "x" * 1000 + '"'])
    table = f"{','.join(ROW)},metadata.lines\n" + f"{cells}\n" * 1200
    for name, text in (("m.jsonl", f"{json.dumps(long)}\n" * 12), ("m.csv", table)):
        assert all(row.request for row in read_manifest(written(tmp_path / name, text)))


def test_a_manifest_with_a_byte_order_mark_is_read_as_one_without(tmp_path: Path) -> None:
    for name, text in (("m.jsonl", json.dumps(ROW)), ("m.csv", f"{','.join(ROW)}\n{','.join(ROW.values())}\n")):
        [row] = read_manifest(written(tmp_path / name, f"\ufeff{text}"))
        assert row.request is not None


def test_a_manifest_fails_when_a_column_is_there_twice(tmp_path: Path) -> None:
    table = written(
        tmp_path / "m.csv", "video,audio,video,output\ns3://a/1.mp4,s3://a/a.wav,s3://a/2.mp4,s3://o/o.mp4\n"
    )
    with pytest.raises(InputError, match="'video' more than once"):
        read_manifest(table)


def test_a_csv_row_fails_when_it_holds_a_nul(tmp_path: Path) -> None:
    table = written(tmp_path / "m.csv", "video,audio,output\ns3://a/\0.mp4,s3://a/a.wav,s3://o/o.mp4\n")
    [row] = read_manifest(table)
    assert row.request is None and row.faults == ("video: it holds a NUL or half a character",)


def test_a_manifest_fails_when_it_is_a_pipe_that_nobody_writes_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.csv")
    with pytest.raises(InputError, match="no regular file"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("limits", "said"),
    [(Limits(max_manifest_rows=2), "more than 2 rows"), (Limits(max_manifest_bytes=200), "more than 200 bytes")],
)
def test_a_manifest_fails_when_it_is_too_long(limits: Limits, said: str, tmp_path: Path) -> None:
    path = written(tmp_path / "m.jsonl", f"{json.dumps(ROW)}\n" * 3)
    assert len(read_manifest(path)) == 3
    with limited(limits), pytest.raises(ManifestLimitError, match=said):
        read_manifest(path)
