import json
from pathlib import Path

import pytest
from PIL import Image

from lipsync_cli.main import main
from tests.cli.conftest import RunLipSync, write_movie
from tests.conftest import Ffmpeg


def test_probe_says_what_a_video_holds(movie: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", str(movie)]) == 0
    text = capsys.readouterr().out
    assert "h264, 64x48, yuv420p, 25 frames/s (25.000), 0.400 s" in text
    assert "audio  none" in text


def test_probe_says_what_a_sound_holds(speech: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", str(speech)]) == 0
    text = capsys.readouterr().out
    assert "video  none" in text
    assert "audio  pcm_s16le, 16000 Hz, 1 channel, 256 kb/s, 0.500 s" in text


def test_probe_says_what_will_be_changed(ffmpeg: Ffmpeg, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pattern = ("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25", "-frames:v", "4")
    hlg = "format=yuv420p10le,setparams=color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc"
    ffmpeg(*pattern, "-vf", hlg, "-c:v", "libx265", tmp_path / "phone.mp4")
    fields = ("-flags", "+ilme+ildct", "-x264-params", "tff=1")
    ffmpeg(*pattern, "-pix_fmt", "yuv420p", "-vf", "setfield=tff", "-c:v", "libx264", *fields, tmp_path / "tape.mp4")
    ffmpeg(*pattern, "-frames:v", "1", tmp_path / "plain.png")
    exif = Image.Exif()
    exif[0x112] = 5
    Image.open(tmp_path / "plain.png").save(tmp_path / "flipped.jpg", exif=exif)
    told = {"phone.mp4": "HDR (HLG)", "tape.mp4": "marked as interlaced", "flipped.jpg": "mirrored, turned"}
    for name, words in told.items():
        assert main(["probe", str(tmp_path / name)]) == 0
        said = capsys.readouterr().out
        assert [other in said for other in told.values()] == [other == words for other in told.values()]


def test_probe_names_the_codec_and_not_its_decoder(
    ffmpeg: Ffmpeg, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of AV1 it said libdav1d, of MP3 mp3float."""
    Image.new("RGB", (64, 64), "red").save(tmp_path / "still.avif")
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "libmp3lame", tmp_path / "tone.mp3")
    assert main(["probe", str(tmp_path / "still.avif")]) == 0
    assert "still image, av1, 64x64" in capsys.readouterr().out
    assert main(["probe", str(tmp_path / "tone.mp3")]) == 0
    assert "audio  mp3, 44100 Hz" in capsys.readouterr().out


def test_probe_writes_json(movie: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "--json", str(movie)]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert fields["schema"] == "lipsync.probe/1"
    assert fields["size_bytes"] == movie.stat().st_size
    assert (fields["video"]["frame_rate"], fields["video"]["frame_count"]) == ("25", 10)
    assert fields["video"]["colour"].keys() == {"matrix", "range", "primaries", "transfer"}
    assert fields["audio"] is None


def test_probe_lists_the_tracks_where_there_are_several(
    ffmpeg: Ffmpeg, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / "film.mkv"
    tones = [part for hz in (200, 300) for part in ("-f", "lavfi", "-i", f"sine=frequency={hz}:duration=1")]
    marks = ("-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "title=Original", "-disposition:a:1", "default")
    ffmpeg(*tones, "-map", "0", "-map", "1", *marks, "-disposition:a:0", "0", "-c:a", "flac", film)
    assert main(["probe", str(film)]) == 0
    text = capsys.readouterr().out
    assert "  --audio-track 0: ger, flac\n" in text
    assert "* --audio-track 1: no language, flac, Original, the file's default\n" in text
    assert "--video-track" not in text
    assert main(["probe", "--json", str(film)]) == 0
    tracks = json.loads(capsys.readouterr().out)["audio_tracks"]
    assert [(track["number"], track["language"], track["is_chosen"]) for track in tracks] == [
        (0, "ger", False),
        (1, "", True),
    ]


@pytest.mark.parametrize(
    "name", ["with space.mp4", 'it\'s "quoted".mp4', "dots...mp4", "Zoë 日本.mp4", "a:b%03d*.mp4", "-dash.mp4", "none"]
)
def test_any_name_is_just_a_name(name: str, tmp_path: Path, lipsync: RunLipSync) -> None:
    write_movie(tmp_path / name)
    done = lipsync("probe", "--", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"file   {name}\n" in done.stdout


def test_a_name_that_is_not_utf8_is_just_a_name(tmp_path: Path, lipsync: RunLipSync) -> None:
    name = b"caf\xe9.mp4".decode(errors="surrogateescape")
    write_movie(tmp_path / "cafe.mp4").rename(tmp_path / name)
    assert lipsync("probe", name).returncode == 0
    assert json.loads(lipsync("probe", "--json", name).stdout)["path"] == name


@pytest.mark.parametrize("mib", [1, 5, 10])
def test_probe_fails_with_one_code_where_its_reader_is_refused_memory(
    mib: int, face_clip: Path, lipsync: RunLipSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg itself says "invalid data", "cannot allocate memory" or, of a thread, "temporarily unavailable"."""
    monkeypatch.setenv("LIPSYNC_MAX_READING_MEMORY_BYTES", f"{mib}MiB")
    done = lipsync("probe", face_clip)
    assert done.returncode == 3
    assert done.stderr.startswith("lipsync: error LIMIT_MEMORY: ") and done.stderr.count("\n") == 1
