"""Interlaced video becomes whole pictures, and progressive video stays as it is."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipsync_core import JobOptions, Workspace, lip_sync
from lipsync_core.clock import StageClock
from lipsync_core.media.decode import Reading, decode_frames
from lipsync_core.media.field_choice import needs_whole_pictures
from lipsync_core.media.fields import keep_one_field
from lipsync_core.media.planes import plane_samples
from lipsync_core.media.probe import require_video
from tests.conftest import Ffmpeg
from tests.jobs import luma_frames, reopened
from tests.thorough import first_of

WEAVE = "setpts=0.5*PTS,fps=50,scale=720:576,setsar=1,tinterlace=mode=interleave_top,fieldorder=tff"
SECOND = JobOptions(end_s=Fraction(1), crf=8, preset="ultrafast")
LONGEST_S = 2  # of what a test reads
PLAIN = ("-c:v", "libx264", "-crf", "8", "-preset", "ultrafast")
KINDS = {
    "h264.mp4": (*PLAIN, "-flags", "+ilme+ildct", "-x264-params", "tff=1"),
    "cast.ts": ("-c:v", "mpeg2video", "-q:v", "2", "-flags", "+ilme+ildct"),
    "tape.dv": ("-c:v", "dvvideo", "-pix_fmt", "yuv420p", "-ar", "48000"),
}


def woven(ffmpeg: Ffmpeg, face_clip: Path, path: Path, settings: tuple[str, ...], weave: str = WEAVE) -> Path:
    """A face whose pictures are woven of two moments, which move against each other."""
    shaken = "crop=iw-80:ih-80:40+30*sin(20*t):40+30*cos(17*t)"
    ffmpeg("-i", face_clip, "-vf", f"{shaken},{weave}", "-an", "-t", str(LONGEST_S), *settings, path)
    return path


def combing(path: Path) -> float:
    """How much more neighbouring lines differ than lines of one field do; 1 where a picture is whole."""
    frames = [frame.astype(float) for frame in luma_frames(path)]
    near = np.mean([np.abs(frame[1:] - frame[:-1]).mean() for frame in frames])
    far = np.mean([np.abs(frame[2:] - frame[:-2]).mean() for frame in frames])
    return float(near / far)


@pytest.mark.parametrize("name", first_of(list(KINDS), 1))
def test_interlaced_video_becomes_whole_pictures(
    name: str, face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    source = woven(ffmpeg, face_clip, tmp_path / name, KINDS[name])
    output, left = tmp_path / "out.mp4", tmp_path / "left.mp4"
    report = lip_sync(source, speech_wav, output, SECOND, workspace)
    assert report.changes[0] == "deinterlaced"
    assert report.frames.synced > 20
    as_it_was = lip_sync(source, speech_wav, left, replace(SECOND, deinterlace="off"), workspace)
    assert "deinterlaced" not in as_it_was.changes
    assert combing(output) < 0.75 < 0.9 < combing(left)
    assert reopened(output).times_s == reopened(left).times_s


def test_woven_pictures_are_seen_where_the_file_does_not_say_so(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    source = woven(ffmpeg, face_clip, tmp_path / "in.mp4", PLAIN, f"{WEAVE},setfield=prog")
    assert not require_video(source).says_interlaced
    report = lip_sync(source, speech_wav, tmp_path / "out.mp4", SECOND, workspace)
    assert report.changes[0] == "deinterlaced"
    assert combing(tmp_path / "out.mp4") < 0.75


def test_whole_pictures_stay_as_they_are_where_the_file_says_interlaced(
    face_clip: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    whole = "scale=720:576,setsar=1,setfield=tff"
    source = woven(ffmpeg, face_clip, tmp_path / "in.mp4", KINDS["h264.mp4"], whole)
    info = require_video(source)
    assert info.says_interlaced
    assert not needs_whole_pictures(source, info, "auto")
    assert needs_whole_pictures(source, info, "on")


@pytest.mark.parametrize(
    ("size", "source"), [("720x576", "testsrc2"), ("720x480", "mandelbrot"), ("1920x1080", "testsrc2")]
)
def test_fine_texture_is_not_taken_for_fields(size: str, source: str, tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    path = tmp_path / "in.mp4"
    ffmpeg("-f", "lavfi", "-i", f"{source}=size={size}:rate=25", "-frames:v", "20", "-pix_fmt", "yuv420p", *PLAIN, path)
    assert not needs_whole_pictures(path, require_video(path), "auto")


def test_an_excerpt_of_interlaced_video_is_the_part_of_the_whole(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    source = woven(ffmpeg, face_clip, tmp_path / "in.mp4", (*KINDS["h264.mp4"], "-g", "12"))
    whole, part = tmp_path / "whole.mp4", tmp_path / "part.mp4"
    lip_sync(source, speech_wav, whole, JobOptions(end_s=Fraction(LONGEST_S), crf=0, preset="ultrafast"), workspace)
    excerpt = JobOptions(start_s=Fraction(1), end_s=Fraction(LONGEST_S), crf=0, preset="ultrafast")
    lip_sync(source, speech_wav, part, excerpt, workspace)
    frames, cut = luma_frames(whole), luma_frames(part)
    assert len(cut) == 25
    for one, other in zip(frames[25:], cut, strict=True):
        np.testing.assert_array_equal(one, other)


def test_interlaced_video_may_change_its_size(face_clip: Path, tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    parts = []
    for size in ("720:576", "544:576"):
        part = tmp_path / f"{size[:3]}.ts"
        weave = WEAVE.replace("720:576", size)
        woven(ffmpeg, face_clip, part, ("-c:v", "mpeg2video", "-q:v", "2", "-flags", "+ilme+ildct", "-t", "0.4"), weave)
        parts.append(part.read_bytes())
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    plain, whole = (
        [
            (frame.pts, frame.picture.width)
            for frame in decode_frames(path, StageClock(), reading=Reading(is_woven=is_woven))
        ]
        for is_woven in (False, True)
    )
    assert whole == plain
    assert len(whole) > 15


def test_one_field_is_left_of_a_woven_picture() -> None:
    rows = np.tile(np.where(np.arange(8) % 2 == 0, 100, 30).astype(np.uint8)[:, np.newaxis], (1, 8))
    picture = av.VideoFrame(8, 8, "yuv420p")
    for at, plane in enumerate(picture.planes):
        plane_samples(picture, at)[:] = rows[: plane.height, : plane.width]
    keep_one_field(picture)
    assert [np.unique(plane_samples(picture, at)[:-1]).tolist() for at in range(3)] == [[100]] * 3
