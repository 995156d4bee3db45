"""Title and chapters are kept where they still hold, and the report says what was dropped."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from lipsync_core import JobOptions, Workspace, lip_sync
from lipsync_core.errors import RefusedMediaError
from lipsync_core.media.probe import require_video
from tests.conftest import Ffmpeg
from tests.media.dolby_vision import dolby_film
from tests.media.untouched import write_untouched

SHORT = JobOptions(end_s=Fraction(1, 5), crf=4, preset="ultrafast")

CHAPTERS = """;FFMETADATA1
title=The Film
[CHAPTER]
TIMEBASE=1/1000
START=0
END=400
title=First
[CHAPTER]
TIMEBASE=1/1000
START=400
END=1000
title=Second
"""
SUBTITLE = "1\n00:00:00,100 --> 00:00:00,900\nHello\n"


@pytest.fixture
def film(face_clip: Path, tmp_path: Path, ffmpeg: Ffmpeg) -> Path:
    """A second of a face with title, two chapters, a subtitle and a timecode."""
    (tmp_path / "chapters.txt").write_text(CHAPTERS)
    (tmp_path / "words.srt").write_text(SUBTITLE)
    path = tmp_path / "film.mkv"
    inputs = ("-i", face_clip, "-i", tmp_path / "words.srt", "-i", tmp_path / "chapters.txt")
    maps = ("-map", "0:v", "-map", "1:s", "-map_metadata", "2", "-map_chapters", "2")
    ffmpeg(*inputs, *maps, "-t", "1", "-c:v", "copy", "-metadata:s:v", "timecode=01:00:00:00", path)
    return path


def chapters(path: Path) -> list[tuple[str, float, float]]:
    with av.open(str(path)) as container:
        return [
            (
                each["metadata"]["title"],
                float(each["start"] * each["time_base"]),
                float(each["end"] * each["time_base"]),
            )
            for each in container.chapters()
        ]


def title(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.metadata.get("title", "")


def test_a_result_as_long_as_the_video_keeps_its_chapters(
    film: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    report = lip_sync(film, speech_wav, output, JobOptions(length="video"), workspace)
    assert title(output) == "The Film"
    assert chapters(output) == [("First", 0.0, 0.4), ("Second", 0.4, 1.0)]
    assert report.dropped == ("1 subtitle track", "timecode")


@pytest.mark.parametrize(
    "options", [JobOptions(end_s=Fraction(1, 2)), JobOptions(length="video", start_s=Fraction(1, 2))]
)
def test_another_result_keeps_the_title_and_says_that_chapters_were_dropped(
    options: JobOptions, film: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    report = lip_sync(film, speech_wav, output, options, workspace)
    assert title(output) == "The Film"
    assert chapters(output) == []
    assert report.dropped == ("1 subtitle track", "timecode", "2 chapters")


def test_further_tracks_and_a_cover_are_said_to_be_dropped(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    video, cover = tmp_path / "in.mp4", tmp_path / "cover.png"
    ffmpeg("-i", face_clip, "-frames:v", "1", "-s", "64x36", cover)
    sources = ("-i", face_clip, "-i", face_clip, "-i", speech_wav, "-i", speech_wav, "-i", cover)
    maps = ("-map", "0:v", "-map", "1:v", "-map", "2:a", "-map", "3:a", "-map", "4:v")
    ffmpeg(*sources, *maps, "-t", "0.4", "-c:v", "copy", "-c:a", "aac", "-disposition:v:2", "attached_pic", video)
    report = lip_sync(video, speech_wav, tmp_path / "out.mp4", JobOptions(end_s=Fraction(1, 5)), workspace)
    assert report.dropped == ("1 further video track", "1 further audio track", "1 cover image")


def test_tags_that_no_result_has_are_named(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    video = tmp_path / "in.mov"
    tags = ("-metadata", "title=Kept", "-metadata", "artist=A", "-metadata", "comment=C")
    ffmpeg("-i", face_clip, "-t", "0.4", "-c", "copy", *tags, video)
    report = lip_sync(video, speech_wav, tmp_path / "out.mp4", JobOptions(end_s=Fraction(1, 5)), workspace)
    assert report.dropped == ("tags (artist, comment)",)


def test_a_plain_video_drops_nothing(face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path) -> None:
    options = JobOptions(end_s=Fraction(1, 5))
    assert lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", options, workspace).dropped == ()


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_the_language_of_the_sound_is_kept(
    codec: str, face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    sound, output = tmp_path / "in.mkv", tmp_path / "out.mp4"
    ffmpeg("-i", speech_wav, "-t", "1", "-c:a", codec, "-metadata:s:a:0", "language=deu", sound)
    lip_sync(face_clip, sound, output, JobOptions(), workspace)
    with av.open(str(output)) as container:
        assert container.streams.audio[0].metadata["language"] in ("deu", "ger")


@pytest.mark.parametrize(("written", "kept"), [("deu", "deu"), ("ger", "deu"), ("en", "eng"), ("de-AT", "deu")])
def test_the_language_of_the_picture_is_kept(
    written: str, kept: str, face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    video, output = tmp_path / "in.mkv", tmp_path / "out.mp4"
    ffmpeg("-i", face_clip, "-t", "0.2", "-c", "copy", "-metadata:s:v:0", f"language={written}", video)
    lip_sync(video, speech_wav, output, JobOptions(end_s=Fraction(1, 5)), workspace)
    with av.open(str(output)) as container:
        assert container.streams.video[0].metadata["language"] == kept


def test_chapters_are_kept_where_only_the_padding_of_the_sound_makes_the_result_longer(
    film: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    sound, output = tmp_path / "in.aac", tmp_path / "out.mp4"
    ffmpeg("-i", speech_wav, "-t", "1", "-c:a", "aac", sound)  # pads to 1.088 s
    report = lip_sync(film, sound, output, JobOptions(), workspace)
    assert report.duration_s > 1
    assert chapters(output) == [("First", 0.0, 0.4), ("Second", 0.4, 1.0)]
    assert report.dropped == ("1 subtitle track", "timecode")


@pytest.mark.parametrize(
    ("name", "alpha", "encoding"),
    [
        ("cut-out.png", 0, ("-frames:v", "1", "-pix_fmt", "rgba")),
        ("cut-out.webp", 128, ("-frames:v", "1", "-c:v", "libwebp", "-lossless", "1", "-pix_fmt", "bgra")),
        ("opaque.png", 255, ("-frames:v", "1", "-pix_fmt", "rgba")),
        ("film.mov", 0, ("-c:v", "prores_ks", "-profile:v", "4", "-pix_fmt", "yuva444p10le")),
        ("film.webm", 0, ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0")),
        (
            "film.gif",
            0,
            (
                "-pix_fmt",
                "rgb8",
            ),
        ),
    ],
)
def test_transparency_is_said_to_be_dropped(
    name: str, alpha: int, encoding: tuple[str, ...], speech_wav: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    picture, sound = tmp_path / name, tmp_path / "sound.wav"
    left_half = f"format=rgba,geq=r=200:g=80:b=40:a=if(lt(X\\,32)\\,{alpha}\\,255)"
    ffmpeg("-f", "lavfi", "-i", "color=s=64x48:r=25", "-vf", left_half, "-frames:v", "3", *encoding, picture)
    ffmpeg("-i", speech_wav, "-t", "0.2", sound)
    dropped = write_untouched(picture, sound, tmp_path / "out.mp4").dropped
    assert ("transparency" in dropped) == (alpha < 255 and name != "film.gif")


def test_transparency_of_a_picture_that_pillow_reads_is_said_to_be_dropped(speech_wav: Path, tmp_path: Path) -> None:
    pillow_heif.register_heif_opener()
    pixels = np.full((48, 64, 4), 200, np.uint8)
    for least, is_told in ((0, True), (255, False)):
        pixels[:, :32, 3], pixels[:, 32:, 3] = least, 255
        Image.fromarray(pixels).save(tmp_path / "in.heic", quality=90)
        dropped = write_untouched(tmp_path / "in.heic", speech_wav, tmp_path / "out.mp4", SHORT).dropped
        assert ("transparency" in dropped) == is_told


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
def test_dolby_vision_is_dropped_from_a_film_that_is_right_without_it(
    container: str, face_clip: Path, speech_wav: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    film = tmp_path / f"film.{container}"
    dolby_film(face_clip, film, ffmpeg, profile=8)
    written = write_untouched(film, speech_wav, tmp_path / "out.mp4", SHORT)
    assert written.dropped == ("Dolby Vision metadata",)


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
def test_a_film_in_colours_of_dolby_vision_alone_is_refused(
    container: str, face_clip: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    film = tmp_path / f"film.{container}"
    dolby_film(face_clip, film, ffmpeg, profile=5)
    with pytest.raises(RefusedMediaError, match=r"only Dolby Vision knows \(profile 5\)"):
        require_video(film)
