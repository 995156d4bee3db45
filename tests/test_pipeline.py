"""Whole jobs, checked on the output file."""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pillow_heif
import pytest
from PIL import Image
from skimage import data, io

from lipsync_core import JobOptions, Progress, Workspace, lip_sync
from lipsync_core.clock import StageClock
from lipsync_core.errors import FaceError, OptionError
from lipsync_core.face.mediapipe import MODEL, MediapipeTracker
from lipsync_core.face.mesh import MeshFitter
from lipsync_core.media.decode import decode_frames
from lipsync_core.media.probe import probe
from lipsync_core.media.sound import AudioCut, decode_sound
from lipsync_core.media.starts import file_starts
from lipsync_core.models.store import ModelStore
from lipsync_core.option_specs import AudioCodec
from tests.conftest import Ffmpeg, Tone
from tests.face.conftest import as_frames, pictures_of
from tests.face.masks import COLOURS, full_mesh, masked
from tests.hand_clock import HandClock
from tests.jobs import luma_frames, reopened
from tests.shared_files import CLIPS, shared_file

SECOND = JobOptions(end_s=Fraction(1))


def test_a_job_lasts_as_long_as_its_audio(
    face_video: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    report = lip_sync(face_video, speech_wav, tmp_path / "out.mp4", workspace=workspace)
    movie = reopened(tmp_path / "out.mp4")
    audio_s = Fraction(149_333, 16_000)
    assert 0 <= movie.duration_s - audio_s < Fraction(1, 25)
    assert abs(movie.audio_s - audio_s) < Fraction(1024, 16_000)
    assert len(movie.times_s) == report.frames.total == report.frames.synced == 234
    assert movie.size == luma_frames(face_video, 1)[0].shape[::-1]
    assert "viseme" in movie.comment


def test_the_second_job_on_a_video_skips_tracking_and_gives_the_same_frames(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    first = lip_sync(face_clip, speech_wav, tmp_path / "one.mp4", SECOND, workspace)
    second = lip_sync(face_clip, speech_wav, tmp_path / "two.mp4", SECOND, workspace)
    assert (first.track_was_cached, second.track_was_cached) == (False, True)
    assert "track" not in {stage.stage for stage in second.stages}
    pairs = zip(luma_frames(tmp_path / "one.mp4"), luma_frames(tmp_path / "two.mp4"), strict=True)
    assert all(np.array_equal(one, two) for one, two in pairs)


def test_frames_without_a_face_pass_through(
    face_video: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    # One frame without a face killed the whole job in the tools that this one replaces.
    blanked = tmp_path / "blanked.mp4"
    ffmpeg("-i", face_video, "-vf", "drawbox=color=gray:t=fill:enable='between(n,8,12)'", "-an", "-crf", "10", blanked)
    report = lip_sync(blanked, speech_wav, tmp_path / "out.mp4", SECOND, workspace)
    assert (report.frames.synced, report.frames.passed_no_face, report.frames.passed_low_score) == (20, 5, 0)
    source, output = luma_frames(blanked, 25), luma_frames(tmp_path / "out.mp4")
    changed = [float(np.abs(one.astype(int) - two).max()) for one, two in zip(source, output, strict=True)]
    assert max(changed[8:13]) < 12  # x264 alone
    assert min(changed[:8] + changed[13:]) > 25


@pytest.mark.parametrize("kind", ["portrait", "real"])
def test_a_clip_of_variable_frame_rate_keeps_its_times(
    kind: str, face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    if kind == "portrait":
        video, drops = tmp_path / "variable.mp4", "select=not(eq(mod(n\\,7)\\,3))"
        ffmpeg("-i", face_clip, "-vf", drops, "-fps_mode", "vfr", video)
    else:
        video = shared_file(CLIPS / "retalking_face1.mp4")
    source_s = [frame.start_s for frame in decode_frames(video, StageClock(), Fraction(4))]
    assert len({b - a for a, b in pairwise(source_s)}) > 1
    lip_sync(video, speech_wav, tmp_path / "out.mp4", JobOptions(end_s=Fraction(4)), workspace)
    times_s = reopened(tmp_path / "out.mp4").times_s
    lead_s = file_starts(video).picture_s
    assert {0, *(lead_s + time_s for time_s in source_s[1:] if lead_s + time_s < 4)} <= set(times_s)
    # A face that is held for longer than a mouth's movement is shown as several frames.
    added_s = set(times_s) - {lead_s + time_s for time_s in source_s}
    assert len(added_s) <= sum(b - a > Fraction(1, 20) for a, b in pairwise(source_s)) + lead_s / Fraction(1, 20) + 2


@pytest.mark.parametrize("extend", ["pingpong", "loop", "freeze"])
def test_a_short_video_is_extended(
    extend: str, face_clip: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg, tone: Tone
) -> None:
    short = tmp_path / "short.mp4"
    ffmpeg("-i", face_clip, "-frames:v", "10", "-an", "-c:v", "libx264", short)
    options = JobOptions(extend=extend)  # type: ignore[arg-type]
    lip_sync(short, tone(seconds=1.0), tmp_path / "out.mp4", options, workspace)
    assert len(reopened(tmp_path / "out.mp4").times_s) == 25


def test_length_video_keeps_the_whole_video_and_cuts_longer_audio(
    face_clip: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg, tone: Tone
) -> None:
    short = tmp_path / "short.mp4"
    ffmpeg("-i", face_clip, "-frames:v", "20", "-an", "-c:v", "libx264", short)
    lip_sync(short, tone(seconds=3.0), tmp_path / "out.mp4", JobOptions(length="video"), workspace)
    movie = reopened(tmp_path / "out.mp4")
    assert movie.duration_s == Fraction(20, 25)
    assert movie.audio_s == pytest.approx(Fraction(20, 25), abs=0.07)


def test_an_excerpt_shows_the_frames_of_the_full_result(
    face_video: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    lip_sync(
        face_video, speech_wav, tmp_path / "out.mp4", JobOptions(start_s=Fraction(2), end_s=Fraction(3)), workspace
    )
    output = luma_frames(tmp_path / "out.mp4")
    source = luma_frames(face_video, 75)[50:]
    assert len(output) == 25
    top = slice(0, len(source[0]) // 4)  # above the mouth
    assert all(np.abs(one[top].astype(int) - two[top]).mean() < 3 for one, two in zip(source, output, strict=True))


def test_an_excerpt_is_the_part_of_the_full_result_bit_for_bit(
    face_video: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    lossless = JobOptions(crf=0, preset="ultrafast", end_s=Fraction(5))
    lip_sync(face_video, speech_wav, tmp_path / "whole.mp4", lossless, workspace)
    whole = luma_frames(tmp_path / "whole.mp4")
    for start_s, end_s in ((Fraction(2), Fraction(3)), (Fraction(101, 25), Fraction(5))):
        options = replace(lossless, start_s=start_s, end_s=end_s)
        lip_sync(face_video, speech_wav, tmp_path / "part.mp4", options, workspace)
        part = luma_frames(tmp_path / "part.mp4")
        assert len(part) == (end_s - start_s) * 25
        for one, two in zip(part, whole[round(start_s * 25) :], strict=False):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("audio_codec", "note", "codec"),
    [("auto", "aac 112 kb/s", "aac"), ("aac", "aac 112 kb/s", "aac"), ("copy", "copy (flac)", "flac")],
)
def test_the_sound_becomes_what_was_asked_for(
    audio_codec: AudioCodec, note: str, codec: str, face_clip: Path, tone: Tone, workspace: Workspace, tmp_path: Path
) -> None:
    flac = tone("tone.flac", rate=48_000, codec="flac")
    options = JobOptions(audio_codec=audio_codec, preset="ultrafast")
    report = lip_sync(face_clip, flac, tmp_path / "out.mp4", options, workspace)
    info = probe(tmp_path / "out.mp4").audio
    assert info is not None
    assert (report.audio, info.codec, info.rate_hz, info.channels) == (note, codec, 48_000, 1)


def test_a_still_image_speaks(speech_wav: Path, workspace: Workspace, tmp_path: Path) -> None:
    portrait = tmp_path / "portrait.png"
    io.imsave(portrait, data.astronaut())
    report = lip_sync(portrait, speech_wav, tmp_path / "out.mp4", SECOND, workspace)
    assert report.frames.synced == 25
    frames = luma_frames(tmp_path / "out.mp4")
    assert (
        max(np.abs(frames[5].astype(int) - frame).max() for frame in frames[6:16]) > 100
    )  # the mouth opens and closes


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_clip_filmed_sideways_is_synced_and_keeps_its_rotation(
    degrees: int, face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    turned, tagged = tmp_path / "turned.mp4", tmp_path / "tagged.mp4"
    turn = {90: "transpose=1", 180: "hflip,vflip", 270: "transpose=2"}[degrees]
    ffmpeg("-i", face_clip, "-frames:v", "15", "-an", "-vf", turn, "-crf", "12", turned)
    ffmpeg("-display_rotation", str(degrees), "-i", turned, "-c", "copy", tagged)
    report = lip_sync(tagged, speech_wav, tmp_path / "out.mp4", JobOptions(end_s=Fraction(3, 5)), workspace)
    assert report.frames.synced == 15
    source, output = (next(iter(decode_frames(path, StageClock()))) for path in (tagged, tmp_path / "out.mp4"))
    assert output.picture.rotation == source.picture.rotation != 0


def test_a_clip_upside_down_without_a_tag_is_synced_like_the_upright_one(
    face_video: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    # The mouth was painted on the forehead, and the frame counted as synced.
    upright, turned = tmp_path / "upright.mkv", tmp_path / "turned.mkv"
    ffmpeg("-i", face_video, "-frames:v", "25", "-an", "-c:v", "ffv1", upright)
    ffmpeg("-i", upright, "-vf", "hflip,vflip", "-c:v", "ffv1", turned)
    options = replace(SECOND, crf=0)
    changes = []
    for video in (upright, turned):
        report = lip_sync(video, speech_wav, tmp_path / f"{video.stem}.mp4", options, workspace)
        assert report.frames.synced == 25
        source, output = luma_frames(video, 25), luma_frames(tmp_path / f"{video.stem}.mp4")
        changes.append(np.array(output).astype(int) - source)
    expected, found = changes[0], changes[1][:, ::-1, ::-1]
    moving = np.abs(expected).max(axis=0) > 8  # the mouth
    assert np.abs(found - expected)[:, moving].mean() < 0.35 * np.abs(expected)[:, moving].mean()
    assert np.corrcoef(found[:, moving].ravel(), expected[:, moving].ravel())[0, 1] > 0.9


@pytest.fixture
def masked_clip(face_clip: Path, model_store: ModelStore, tmp_path: Path) -> Callable[[int], Path]:
    """25 frames of the portrait, with a mask from the given one on."""

    def make(first: int) -> Path:
        pictures = pictures_of(face_clip, 25)
        fitter = MeshFitter(model_store.verify(MODEL).path("face_landmark"))
        track = MediapipeTracker(model_store).track(as_frames(pictures), StageClock())
        for index in range(first, 25):
            mesh = full_mesh(pictures[index], track, index, fitter)
            pictures[index] = masked(pictures[index], mesh, COLOURS["surgical"])
        path = tmp_path / f"masked-{first}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            for picture in pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        return path

    return make


def test_frames_in_which_a_mask_covers_the_mouth_pass_through_and_are_counted(
    masked_clip: Callable[[int], Path], speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    video = masked_clip(14)
    report = lip_sync(video, speech_wav, tmp_path / "out.mp4", replace(SECOND, crf=0), workspace)
    frames = report.frames
    assert (frames.synced, frames.passed_covered, frames.passed_no_face, frames.passed_low_score) == (14, 11, 0, 0)
    source, output = luma_frames(video, 25), luma_frames(tmp_path / "out.mp4")
    for index, (one, two) in enumerate(zip(source, output, strict=True)):
        assert np.array_equal(one, two) == (index >= 14)


def test_a_job_fails_when_a_mask_covers_the_mouth_throughout(
    masked_clip: Callable[[int], Path], speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(FaceError, match=r"0 turned away, 25 with the mouth covered\); give a video .* and uncovered"):
        lip_sync(masked_clip(0), speech_wav, tmp_path / "out.mp4", SECOND, workspace)


def test_a_job_fails_when_no_frame_has_a_face_and_leaves_nothing(
    speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    empty = tmp_path / "empty.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-frames:v", "10", empty)
    with pytest.raises(FaceError, match="0 of 25 frames can be synced") as raised:
        lip_sync(empty, speech_wav, tmp_path / "out.mp4", SECOND, workspace)
    assert raised.value.code == "NO_FACE"
    assert not (tmp_path / "out.mp4").exists()


def test_a_job_fails_when_fewer_frames_than_asked_for_can_be_synced(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    blanked = tmp_path / "blanked.mp4"
    ffmpeg("-i", face_clip, "-vf", "drawbox=color=gray:t=fill:enable='gte(n,12)'", "-an", blanked)
    options = JobOptions(end_s=Fraction(1), min_synced=0.6)
    with pytest.raises(FaceError, match="12 of 25 frames can be synced"):
        lip_sync(blanked, speech_wav, tmp_path / "out.mp4", options, workspace)
    assert lip_sync(blanked, speech_wav, tmp_path / "out.mp4", JobOptions(end_s=Fraction(1), min_synced=0.4), workspace)


def test_a_job_fails_when_the_model_is_unknown(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="choose one of auto, viseme, wav2lip, wav2lip-gan"):
        lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", JobOptions(model="magic"), workspace)


def test_a_job_opens_its_files_no_more_often_than_it_has_passes_over_them(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, sound = (Path(shutil.copy(path, tmp_path / f"new-{path.name}")) for path in (face_clip, speech_wav))
    opened, open_media = Counter[str](), av.open

    def counted(file: str, *arguments: object, **options: Any) -> object:
        descriptor = options.get("options", {}).get("fd")
        opened[Path(str(file)).name if descriptor is None else Path(f"/proc/self/fd/{descriptor}").readlink().name] += 1
        return open_media(file, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(av, "open", counted)
    for is_first in (True, False):
        opened.clear()
        lip_sync(video, sound, tmp_path / "out.mp4", replace(SECOND, model="viseme"), workspace)
        # The video is probed, tracked unless its track is kept, and rendered; the sound is probed, heard, checked
        # for whether it can be copied, and encoded. When they begin is looked up once.
        assert (opened[video.name], opened[sound.name]) == ((4, 5) if is_first else (2, 4))


def test_progress_and_timings_account_for_every_frame(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipsync_core.clock.time", HandClock(tick_s=1))  # each look at a clock takes a second
    seen: list[Progress] = []
    report = lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", SECOND, workspace, seen.append)
    rendered = [progress.done for progress in seen if progress.stage == "render"]
    assert rendered == sorted(rendered)
    assert rendered[-1] == seen[-1].total == 25
    items = {stage.stage: stage.items for stage in report.stages}
    assert items["paint"] == items["blend"] == items["encode"] == 25
    looks_after_the_stages_s = 3
    assert 100 < report.wall_s <= sum(stage.wall_s for stage in report.stages) + looks_after_the_stages_s
    assert 100 < report.cpu_s <= sum(stage.cpu_s for stage in report.stages) + looks_after_the_stages_s


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_mirrored_clip_is_synced_and_shown_as_the_source_is(
    degrees: int, face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    plain, tagged = tmp_path / "plain.mp4", tmp_path / "tagged.mp4"
    ffmpeg("-i", face_clip, "-frames:v", "15", "-an", "-crf", "12", plain)
    ffmpeg("-display_rotation", str(degrees), "-display_hflip", "-i", plain, "-c", "copy", tagged)
    report = lip_sync(tagged, speech_wav, tmp_path / "out.mp4", JobOptions(end_s=Fraction(3, 5)), workspace)
    assert report.frames.synced == 15
    shown = []
    for path in (tagged, tmp_path / "out.mp4"):
        ffmpeg("-i", path, "-frames:v", "1", path.with_suffix(".png"))  # turns and mirrors as players do
        shown.append(io.imread(path.with_suffix(".png")).astype(int))
    assert shown[0].shape == shown[1].shape
    assert np.abs(shown[0] - shown[1]).mean() < 3


@pytest.mark.parametrize("orientation", [1, 5, 6])
def test_a_photograph_of_a_phone_speaks_upright(
    orientation: int, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    portrait, output = tmp_path / "portrait.heic", tmp_path / "out.mp4"
    exif = Image.Exif()
    exif[0x112] = orientation
    # A picture that the orientation makes upright.
    backwards = {1: None, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90}[orientation]
    upright = Image.fromarray(data.astronaut())
    stored = upright if backwards is None else upright.transpose(backwards)
    pillow_heif.from_pillow(stored).save(portrait, quality=90, exif=exif.tobytes())
    report = lip_sync(portrait, speech_wav, output, SECOND, workspace)
    assert report.frames.synced == 25
    ffmpeg("-i", output, "-frames:v", "1", tmp_path / "shown.png")
    shown = io.imread(tmp_path / "shown.png").astype(int)
    assert np.abs(shown - np.asarray(upright)).mean() < 6


def test_a_job_reads_the_tracks_that_were_asked_for(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    film = tmp_path / "film.mkv"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=1", "-i", face_clip),
        *("-f", "lavfi", "-i", "anullsrc=sample_rate=16000:channel_layout=mono:duration=5", "-i", speech_wav),
        *("-map", "0", "-map", "1:v", "-map", "2", "-map", "3", "-metadata:s:a:1", "language=ger"),
        *("-disposition:v:0", "default", "-disposition:v:1", "0", "-disposition:a:1", "0", film),
    )
    with pytest.raises(FaceError):
        lip_sync(film, film, tmp_path / "out.mp4", SECOND, workspace)
    options = replace(SECOND, video_track="1", audio_track="de")
    report = lip_sync(film, film, tmp_path / "out.mp4", options, workspace)
    assert not report.track_was_cached  # that of the other pictures
    assert report.frames.synced == 25
    assert reopened(tmp_path / "out.mp4").size == (640, 360)
    sound = [frame.to_ndarray() for frame in decode_sound(AudioCut(tmp_path / "out.mp4"))]
    assert np.abs(np.concatenate(sound, axis=1)).max() > 0.05
