import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from lipsync_core.errors import (
    InputMissingError,
    LipSyncError,
    NoAudioError,
    NotAFileError,
    NoVideoError,
    RefusedMediaError,
    TruncatedMediaError,
    UnreadableMediaError,
)
from lipsync_core.media.probe import probe, require_audio, require_video
from tests.conftest import Ffmpeg, MakeVideo, Tone

PROBES: list[Callable[[Path], object]] = [probe, require_video, require_audio]


def test_a_video_is_described_with_exact_times(make_video: MakeVideo) -> None:
    path = make_video("v.mp4", "-vf", "setsar=4/3", frames=30, size="320x240", rate="30000/1001")
    info = probe(path)
    assert (info.path, info.size_bytes, info.audio) == (path, path.stat().st_size, None)
    video = info.video
    assert video is not None
    assert (video.codec, video.pix_fmt, video.width_px, video.height_px) == ("h264", "yuv420p", 320, 240)
    assert video.frame_rate == Fraction(30000, 1001)
    assert video.frame_count == 30
    assert video.duration_s == Fraction(1001, 1000)
    assert video.sample_aspect_ratio == Fraction(4, 3)
    assert (video.rotation_deg, video.is_still) == (0, False)


def test_audio_is_described(tone: Tone) -> None:
    audio = require_audio(tone("t.wav", seconds=1.5, rate=44_100, channels=2))
    assert (audio.codec, audio.rate_hz, audio.channels) == ("pcm_s16le", 44_100, 2)
    assert audio.duration_s == Fraction(3, 2)


def test_colour_tags_and_rotation_are_read(make_video: MakeVideo, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    upright = make_video(
        "tagged.mp4", "-x264-params", "colorprim=bt2020:transfer=bt709:colormatrix=bt470bg", pix_fmt="yuvj420p"
    )
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", "90", "-i", upright, "-c", "copy", turned)
    video = require_video(turned)
    assert video.rotation_deg == 90
    assert (video.colour.matrix, video.colour.range, video.colour.primaries, video.colour.transfer) == (5, 2, 9, 1)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp"])
def test_a_still_image_is_recognised(make_video: MakeVideo, ending: str) -> None:
    codec = {"png": "png", "jpg": "mjpeg", "webp": "libwebp", "bmp": "bmp"}[ending]
    pix_fmt = {"png": "rgb24", "jpg": "yuvj420p", "webp": "yuv420p", "bmp": "bgr24"}[ending]
    still = make_video(f"still.{ending}", frames=1, codec=codec, pix_fmt=pix_fmt)
    assert require_video(still).is_still


def test_an_image_with_the_wrong_ending_is_read_by_its_content(make_video: MakeVideo) -> None:
    png = make_video("still.png", frames=1, codec="png", pix_fmt="rgb24")
    renamed = png.rename(png.with_name("a %03d still.jpg"))
    assert require_video(renamed).codec == "png"


@pytest.mark.parametrize(
    "name",
    ["two words.mp4", "quo'te\".mp4", "ünïcode 口型.mp4", "-dash.mp4", "a:b.mp4", "pipe:0", "concat:x|y", "http:x.mp4",
     "a%d.mp4", ".hidden", "two.dots.in.it"],
)  # fmt: skip
def test_any_file_name_is_a_plain_file(
    make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    shutil.copy(make_video("plain.mp4", frames=2), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert require_video(Path(name)).frame_count == 2


def test_audio_with_a_cover_image_is_audio_and_no_video(
    tone: Tone, make_video: MakeVideo, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    song = tmp_path / "song.mp4"
    cover = make_video("cover.jpg", frames=1, codec="mjpeg", pix_fmt="yuvj420p")
    streams = ("-map", "0", "-map", "1", "-c:a", "aac", "-c:v", "copy", "-disposition:v", "attached_pic")
    ffmpeg("-i", tone(), "-i", cover, *streams, song)
    assert require_audio(song).codec == "aac"
    assert probe(song).video is None
    with pytest.raises(NoVideoError, match="holds no video"):
        require_video(song)


@pytest.mark.parametrize("read", PROBES)
def test_probing_fails_when_nothing_is_there(read: Callable[[Path], object], tmp_path: Path) -> None:
    _fails(InputMissingError, "does not exist", read, tmp_path / "absent.mp4")
    _fails(InputMissingError, "cannot be opened", read, tmp_path / ("x" * 300))
    _fails(InputMissingError, "cannot be opened", read, Path("zero\0byte"))


def test_probing_fails_when_the_path_leads_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    _fails(InputMissingError, "cannot be opened", probe, tmp_path / "file" / "video.mp4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_probing_fails_when_the_file_may_not_be_read(make_video: MakeVideo) -> None:
    path = make_video(frames=1)
    path.chmod(0)
    _fails(InputMissingError, "may not be read", probe, path)


@pytest.mark.parametrize("read", PROBES)
def test_probing_fails_when_the_path_is_a_folder_or_a_device(read: Callable[[Path], object], tmp_path: Path) -> None:
    _fails(NotAFileError, "is a directory", read, tmp_path)
    _fails(NotAFileError, "not a regular file", read, Path("/dev/zero"))


@pytest.mark.parametrize("read", PROBES)
def test_probing_fails_when_the_file_is_empty(read: Callable[[Path], object], tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    _fails(UnreadableMediaError, r"empty \(zero bytes\)", read, empty)


@pytest.mark.parametrize("read", PROBES)
def test_probing_fails_when_the_file_is_text(read: Callable[[Path], object], tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("This is not a video.\n" * 50)
    _fails(UnreadableMediaError, "cannot be read as media", read, text)


@pytest.mark.parametrize("read", PROBES)
@pytest.mark.parametrize("flags", ["+faststart", "0"], ids=["index first", "index last"])
@pytest.mark.parametrize("share", [0.3, 0.97])
def test_probing_fails_when_the_file_is_cut_off(
    read: Callable[[Path], object], make_video: MakeVideo, flags: str, share: float
) -> None:
    path = make_video("whole.mp4", "-movflags", flags, frames=50)
    whole = path.read_bytes()
    cut = path.with_name("cut.mp4")
    cut.write_bytes(whole[: int(len(whole) * share)])
    _fails(TruncatedMediaError, "cut off", read, cut)


def test_a_whole_file_with_bytes_behind_it_is_not_cut_off(make_video: MakeVideo) -> None:
    path = make_video(frames=5)
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    assert require_video(path).frame_count == 5


def test_requiring_video_fails_when_there_is_only_audio(tone: Tone) -> None:
    _fails(NoVideoError, "holds no video", require_video, tone())


def test_requiring_video_fails_when_its_stream_has_no_frame(make_video: MakeVideo) -> None:
    path = make_video("header.mp4", "-movflags", "frag_keyframe+empty_moov", frames=2)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"moof") - 4])  # the header of a fragmented MP4 and no fragment
    assert probe(path).video is not None
    _fails(NoVideoError, "without a frame", require_video, path)


def test_requiring_video_fails_when_no_picture_decodes(make_video: MakeVideo) -> None:
    path = make_video("noise.mp4", frames=5, codec="mpeg4")
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start : data.index(b"moov") - 4] = bytes(data.index(b"moov") - 4 - start)
    path.write_bytes(data)
    _fails(UnreadableMediaError, "without a size", require_video, path)


def test_requiring_audio_fails_when_there_is_only_video(make_video: MakeVideo) -> None:
    _fails(NoAudioError, "holds no audio", require_audio, make_video())


def test_requiring_audio_fails_when_the_audio_has_no_samples(tone: Tone) -> None:
    path = tone()
    path.write_bytes(path.read_bytes()[:78])  # the header of the WAV file, and nothing else
    _fails(NoAudioError, "without samples", require_audio, path)


def _fails(error: type[LipSyncError], message: str, read: Callable[[Path], object], path: Path) -> None:
    with pytest.raises(error, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_a_picture_that_no_decoder_reads_is_refused(make_video: MakeVideo) -> None:
    # It ended in an AttributeError.
    path = make_video("still.jxl", codec="libjxl", pix_fmt="rgb24", frames=1)
    with pytest.raises(RefusedMediaError, match="jpegxl"):
        require_video(path)
