"""Tracks and pictures through the real service: the chosen ones come out, and callers are told of every change."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

pytest.importorskip("prefect", reason="the service needs the extra 'service'")
from infra.local.client_env import FILE_NAME
from lipsync_core.options import JobOptions
from lipsync_core.pipeline import lip_sync
from lipsync_core.workspace import Workspace
from tests.jobs import assert_equal_frames
from tests.stack.command_line import CommandLine, error_line

if TYPE_CHECKING:  # conftest.py is no module of its own
    from tests.conftest import Ffmpeg
    from tests.stack.conftest import Service

CHOSEN = {"video_track": "1", "audio_track": "de", "max_size": "320x180", "deinterlace": "on"}


@pytest.fixture
def lipsync(service: "Service", tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path, service.layout.root / FILE_NAME)


@pytest.fixture
def film(ffmpeg: "Ffmpeg", face_clip: Path, speech_wav: Path, tmp_path: Path) -> Path:
    """A card without a face and, second, a person; English and, second, other German speech; a subtitle."""
    path, words = tmp_path / "film.mkv", tmp_path / "words.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=size=256x144:rate=25", "-i", face_clip),
        *("-i", speech_wav, "-ss", "4", "-i", speech_wav, "-i", words),
        *("-map", "0", "-map", "1:v", "-map", "2", "-map", "3", "-map", "4"),
        *("-t", "1", "-c:v", "libx264", "-crf", "12", "-c:a", "pcm_s16le", "-disposition:v:0", "default"),
        *("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=ger", path),
    )
    return path


def test_a_job_takes_the_tracks_that_were_chosen_and_everybody_is_told_what_was_changed(
    service: "Service", lipsync: CommandLine, film: Path, workspace: Workspace, tmp_path: Path
) -> None:
    address = service.put(film, "tracks/film.mkv")
    output = "s3://lipsync/tracks/out.mp4"
    run = service.run({"video": address, "audio": address, "output": output, **CHOSEN})
    assert run["state"]["name"] == "Completed", service.logs(run["id"])
    result = service.get("tracks/out.mp4", tmp_path / "remote.mp4")
    options = JobOptions(video_track="1", audio_track="de", max_size=(320, 180), deinterlace="on")
    report = lip_sync(film, film, tmp_path / "local.mp4", options, workspace)
    assert_equal_frames(result, tmp_path / "local.mp4")
    assert sound_of(result) == sound_of(tmp_path / "local.mp4")
    assert report.changes == ("deinterlaced", "scaled from 640x360 to 320x180")
    assert report.dropped == ("1 further video track", "1 further audio track", "1 subtitle track")

    told = f"picture deinterlaced, {report.changes[1]}; sound {report.audio}; dropped {', '.join(report.dropped)}"
    assert service.artifacts(run["id"])["output"]["description"].startswith(f"The result: {told}; sync score ")
    shown = lipsync.json("jobs", "show", run["id"])
    assert told in [row["note"] for row in shown["timings"]]
    assert {**shown["request"], **CHOSEN} == shown["request"]
    columns = service.ledger("SELECT changes, dropped FROM jobs WHERE id = %s", run["id"])
    assert columns == [("; ".join(report.changes), "; ".join(report.dropped))]
    (lipsync.folder / ".lipsync").symlink_to(service.layout.root)
    counted = json.loads(lipsync("report", "--last", "1h", "--format", "json").stdout)
    assert counted["changes"].keys() >= {"deinterlaced", "scaled"}


def test_rows_of_a_manifest_that_differ_in_a_track_share_no_picture_and_no_sound(
    lipsync: CommandLine, film: Path, workspace: Workspace
) -> None:
    tracks = {"english.mp4": ("1", "0"), "german.mp4": ("1", "ger")}
    with (lipsync.folder / "rows.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("video", "audio", "output", "video_track", "audio_track"))
        rows.writerows((film.name, film.name, name, *chosen) for name, chosen in tracks.items())
    lipsync("batch", "rows.csv")
    sounds = set()
    for name, (video_track, audio_track) in tracks.items():
        options = JobOptions(video_track=video_track, audio_track=audio_track)
        lip_sync(film, film, lipsync.folder / "local.mp4", options, workspace)
        assert_equal_frames(lipsync.folder / name, lipsync.folder / "local.mp4")
        sounds.add(sound_of(lipsync.folder / name))
        assert sound_of(lipsync.folder / name) == sound_of(lipsync.folder / "local.mp4")
    assert len(sounds) == 2


@pytest.mark.parametrize("option", [("--video-track", "7"), ("--audio-track", "fr")])
def test_a_job_fails_when_a_file_lacks_the_track_with_the_line_of_the_command_line(
    service: "Service", lipsync: CommandLine, film: Path, option: tuple[str, str]
) -> None:
    address = service.put(film, "tracks/film.mkv")
    local = lipsync("run", film.name, film.name, "-o", "out.mp4", *option, status=2)
    early = lipsync("submit", film.name, film.name, "-o", "out.mp4", *option, status=2)
    late = lipsync("submit", address, address, "-o", "s3://lipsync/tracks/none.mp4", "--wait", *option, status=2)
    assert error_line(local).startswith("lipsync: error BAD_OPTION: the file has no ")
    assert error_line(late) == error_line(early) == error_line(local)


def test_a_failed_job_names_a_file_of_this_machine_as_the_command_line_does(
    lipsync: CommandLine, film: Path, ffmpeg: "Ffmpeg", speech_wav: Path
) -> None:
    """It named the address in the service's storage that the file had been sent to."""
    ffmpeg("-i", speech_wav, "-t", "1", lipsync.folder / "speech.flac")
    asked = (film.name, "speech.flac", "-o", "out.mov", "--audio-codec", "copy")
    local, served = lipsync("run", *asked, status=2), lipsync("submit", *asked, status=2)
    assert error_line(local).startswith("lipsync: error BAD_OPTION: audio-codec copy does not go with speech.flac: ")
    assert error_line(served) == error_line(local)


def test_a_film_whose_picture_begins_late_keeps_its_distance(
    service: "Service", lipsync: CommandLine, ffmpeg: "Ffmpeg", face_clip: Path, speech_wav: Path, workspace: Workspace
) -> None:
    """Dubbed with its own sound, from an address of the web, and with that sound cut out of it by a tool."""
    film, cut = lipsync.folder / "late.mp4", lipsync.folder / "cut.m4a"
    ffmpeg(
        *("-itsoffset", "0.852", "-i", face_clip, "-itsoffset", "0.008", "-i", speech_wav, "-map", "0:v", "-map", "1"),
        *("-t", "2", "-c:v", "libx264", "-c:a", "aac", film),
    )
    ffmpeg("-i", film, "-vn", "-c", "copy", "-copyts", cut)
    service.put(film, "tracks/late.mp4")
    address = service.presigned("GET", "tracks/late.mp4")
    refused = error_line(lipsync("run", address, cut.name, "-o", "remote.mp4", status=3))
    assert (
        address.partition("?")[0] in refused
        and "is an address" in refused
        and "`lipsync submit` takes addresses" in refused
    )
    for audio, sent in ((film, address), (cut, cut.name)):
        lipsync("submit", film.name, sent, "-o", "remote.mp4")
        lip_sync(film, audio, lipsync.folder / "local.mp4", workspace=workspace)
        assert_equal_frames(lipsync.folder / "remote.mp4", lipsync.folder / "local.mp4")
        assert sound_of(lipsync.folder / "remote.mp4") == sound_of(lipsync.folder / "local.mp4")


def sound_of(path: Path) -> bytes:
    """The sound as it is stored."""
    with av.open(str(path)) as movie:
        return b"".join(bytes(packet) for packet in movie.demux(audio=0))
