"""A movie that was joined from segments shows and plays what the same movie does that was written as a whole."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf
from pathlib import Path

import av
import numpy as np
import pytest

from lipsync_core import JobOptions, Workspace, lip_sync, pipeline
from lipsync_core.clock import StageClock
from lipsync_core.division import divided
from lipsync_core.errors import OutputError
from lipsync_core.execution import Execution
from lipsync_core.movie import WrittenMovie, join_segments
from lipsync_core.report import JobReport, ProgressCallback
from lipsync_core.segment_work import SegmentWork, cut
from lipsync_core.threads import threads_limited
from lipsync_core.timeline import Timeline
from tests.conftest import Ffmpeg
from tests.shared_files import CLIPS, shared_file
from tests.thorough import first_of, thorough

FINE = JobOptions(crf=12)
SECOND_S = Fraction(1)
LEAST_PSNR_DB = 45.0

#: Clips of the shared folder, sounds for them, and how many seconds are made.
SHARED = (
    ("retalking_face1.mp4", "retalking_audio1.wav", 3),
    ("retalking_face3.mp4", "retalking_audio1.wav", 3),
    ("latentsync_demo1_video.mp4", "latentsync_demo1_audio.wav", 2),
    ("liveportrait_s13.mp4", "retalking_audio1.wav", 2),
    ("liveportrait_s20.mp4", "sadtalker_imagine.wav", 3),
    ("liveportrait_d3.mp4", "retalking_audio1.wav", 5),
    ("sadtalker_WDA_AlexandriaOcasioCortez_000.mp4", "sadtalker_imagine.wav", 3),
    ("facerec_short_hamilton_clip.mp4", "sadtalker_imagine.wav", 3),
)
SHARED_ROWS = [
    pytest.param(
        *row, id=row[0], marks=() if row[0].startswith(("latentsync", "facerec", "retalking_face1")) else thorough
    )
    for row in SHARED
]
#: Films made from the portrait: FFmpeg's options for them.
MADE: dict[str, tuple[str, ...]] = {
    "29.97": ("-r", "30000/1001"),
    "23.976": ("-r", "24000/1001"),
    "10 bits": ("-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", "log-level=none"),
    "odd size": ("-vf", "scale=333:251", "-pix_fmt", "yuv444p"),
    "variable": ("-vf", "select='not(eq(mod(n,5),2))'", "-fps_mode", "vfr"),
}


@dataclass(frozen=True)
class Both:
    """A movie as a whole, and the same one from segments."""

    whole: Path
    joined: Path
    segments: tuple[range, ...]
    report: JobReport


@pytest.fixture
def both(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Both]:
    """Makes the movie twice, the second time from segments of one second, in this process."""

    def made(video: Path, audio: Path, options: JobOptions = FINE, longest_s: Fraction = SECOND_S) -> Both:
        whole, joined = tmp_path / "whole.mp4", tmp_path / "joined.mp4"
        lip_sync(video, audio, whole, options, workspace)
        cuts: list[tuple[range, ...]] = []

        def in_segments(work: SegmentWork, _jobs: int, clock: StageClock, progress: ProgressCallback) -> WrittenMovie:
            cuts.append(cut(work.plan, longest_s))
            files = (work.render(frames, tmp_path / f"{frames.start}.mp4", clock, progress) for frames in cuts[0])
            return join_segments(files, work.plan, work.request, clock)

        monkeypatch.setattr(pipeline, "chosen_jobs", lambda *_: 2)
        monkeypatch.setattr(pipeline, "movie_of_segments", in_segments)
        report = lip_sync(video, audio, joined, options, workspace, execution=Execution(jobs=2))
        return Both(whole, joined, cuts[0], report)

    return made


@pytest.fixture(scope="module")
def small(ffmpeg: Ffmpeg, face_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The face clip, 400x226."""
    path = tmp_path_factory.mktemp("small") / "face.mkv"
    ffmpeg("-i", face_clip, "-vf", "scale=400:226", "-crf", "12", "-preset", "veryfast", path)
    return path


def packets_of(path: Path, kind: str) -> list[tuple[object, ...]]:
    """Times and bytes of the packets of a stream, in the file's order."""
    with av.open(str(path)) as movie:
        stream = next(each for each in movie.streams if each.type == kind)
        packets = [packet for packet in movie.demux(stream) if packet.size]
        return [(packet.pts, packet.dts, packet.duration, packet.is_keyframe, bytes(packet)) for packet in packets]


def shown_by(path: Path) -> list[tuple[Fraction, np.ndarray]]:
    """Time and pixels of each frame."""
    with av.open(str(path)) as movie:
        frames = movie.decode(video=0)
        return [(frame.pts * frame.time_base, frame.to_ndarray(format="yuv420p")) for frame in frames]


def psnr_db(one: np.ndarray, other: np.ndarray) -> float:
    mean = float(np.mean((one.astype(np.float32) - other) ** 2))
    return inf if mean == 0 else 10 * np.log10(255**2 / mean)


def stream_facts(path: Path) -> tuple[object, ...]:
    """What a player is told about the pictures before it decodes them."""
    with av.open(str(path)) as movie:
        video, codec = movie.streams.video[0], movie.streams.video[0].codec_context
        form = (codec.name, codec.codec_tag, codec.width, codec.height, codec.pix_fmt, codec.profile, codec.extradata)
        colour = (codec.colorspace, codec.color_range, codec.color_primaries, codec.color_trc)
        times = (video.time_base, video.start_time, video.duration, video.frames, movie.duration, movie.start_time)
        matrix = next(movie.decode(video)).rotation
        return (*form, *colour, *times, video.sample_aspect_ratio, video.language, matrix, dict(movie.metadata))


def assert_alike(made: Both) -> None:
    """Nobody can tell the joined movie from the whole one."""
    whole, joined = shown_by(made.whole), shown_by(made.joined)
    assert [time for time, _ in joined] == [time for time, _ in whole]
    psnrs = [psnr_db(a, b) for (_, a), (_, b) in zip(whole, joined, strict=True)]
    assert min(psnrs) >= LEAST_PSNR_DB
    joins = {frame for segment in made.segments[1:] for frame in (segment.start - 1, segment.start)}
    others = [value for number, value in enumerate(psnrs) if number not in joins]
    at_joins = [psnrs[number] for number in joins if psnrs[number] < inf]
    # One of twenty frames is below the 5th percentile anyway: those at joins are judged together.
    assert np.mean(at_joins) >= np.percentile(others, 5)
    assert packets_of(made.joined, "audio") == packets_of(made.whole, "audio")
    decoded = [packet[1] for packet in packets_of(made.joined, "video")]
    assert decoded == sorted(set(decoded))  # type: ignore[type-var]
    assert stream_facts(made.joined) == stream_facts(made.whole)


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the shared test clips are not here")
@pytest.mark.parametrize(("video", "audio", "seconds"), SHARED_ROWS)
def test_a_talking_clip_from_segments_is_the_same_movie(
    both: Callable[..., Both], video: str, audio: str, seconds: int
) -> None:
    made = both(shared_file(CLIPS / video), shared_file(CLIPS / audio), replace(FINE, end_s=Fraction(seconds)))
    assert len(made.segments) >= seconds
    assert_alike(made)


@pytest.mark.parametrize("kind", first_of(list(MADE), 3))
def test_a_made_film_from_segments_is_the_same_movie(
    both: Callable[..., Both], kind: str, small: Path, speech_wav: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    film = tmp_path / "film.mkv"
    ffmpeg("-i", small, "-t", "3.3", *MADE[kind], "-an", film)
    assert_alike(both(film, speech_wav, replace(FINE, end_s=Fraction(33, 10))))


def test_a_turned_film_with_sound_that_is_copied(
    both: Callable[..., Both], face_clip: Path, speech_wav: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    stored, turned, sound = tmp_path / "stored.mp4", tmp_path / "turned.mp4", tmp_path / "sound.m4a"
    ffmpeg("-i", face_clip, "-t", "2.5", "-vf", "transpose=clock", "-an", stored)
    ffmpeg("-display_rotation", "90", "-i", stored, "-c", "copy", turned)
    ffmpeg("-i", speech_wav, "-ar", "48000", "-c:a", "aac", "-t", "2.5", sound)
    made = both(turned, sound)
    assert made.report.audio == "copy (aac)"
    assert_alike(made)


@pytest.mark.parametrize(("frames", "sizes"), [(28, (14, 14)), (50, (25, 25)), (25, (25,)), (26, (26,))])
def test_films_at_the_edges_of_a_segment(
    both: Callable[..., Both], frames: int, sizes: tuple[int, ...], face_clip: Path, speech_wav: Path
) -> None:
    made = both(face_clip, speech_wav, replace(FINE, end_s=Fraction(frames, 25)))
    assert tuple(len(segment) for segment in made.segments) == sizes
    if len(sizes) > 1:
        assert_alike(made)


@pytest.mark.parametrize("options", [JobOptions(crf=12, codec="hevc"), JobOptions(crf=12, keep_depth=True)])
def test_other_codecs_are_joined_too(
    both: Callable[..., Both], options: JobOptions, small: Path, speech_wav: Path
) -> None:
    assert_alike(both(small, speech_wav, replace(options, end_s=Fraction(5, 2))))


def test_a_video_that_goes_there_and_back(both: Callable[..., Both], face_clip: Path, speech_wav: Path) -> None:
    assert_alike(both(face_clip, speech_wav, replace(FINE, end_s=Fraction(6))))


@pytest.mark.parametrize(("spoil", "fault"), [("settings", "other settings"), ("length", "24 pictures, and 25")])
def test_segments_of_other_settings_or_of_other_lengths_are_refused(
    both: Callable[..., Both],
    spoil: str,
    fault: str,
    face_clip: Path,
    speech_wav: Path,
    tmp_path: Path,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spoiled(work: SegmentWork, _jobs: int, clock: StageClock, progress: ProgressCallback) -> WrittenMovie:
        first, second = divided(len(work.plan.timeline), 2)
        segments = [work.render(first, tmp_path / "first.mp4", clock, progress)]
        if spoil == "settings":
            coarse = replace(work.request, options=replace(work.request.options, preset="ultrafast"))
            segments.append(replace(work, request=coarse).render(second, tmp_path / "second.mp4", clock, progress))
        else:
            shorter = range(second.start, second.stop - 1)
            made = work.render(shorter, tmp_path / "second.mp4", clock, progress)
            segments.append(replace(made, frames=second))
        return join_segments(segments, work.plan, work.request, clock)

    both(face_clip, speech_wav, replace(FINE, end_s=Fraction(2)))
    monkeypatch.setattr(pipeline, "movie_of_segments", spoiled)
    target = tmp_path / "spoiled.mp4"
    with pytest.raises(OutputError, match=fault):
        lip_sync(face_clip, speech_wav, target, replace(FINE, end_s=Fraction(2)), workspace)
    assert not target.exists()


@pytest.mark.parametrize("options", [JobOptions(crf=12), JobOptions(crf=12, codec="hevc")])
def test_segments_of_machines_with_other_cores_are_joined(
    options: JobOptions,
    face_clip: Path,
    speech_wav: Path,
    tmp_path: Path,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def elsewhere(work: SegmentWork, _jobs: int, clock: StageClock, progress: ProgressCallback) -> WrittenMovie:
        segments = []
        for threads, frames in enumerate(divided(len(work.plan.timeline), 3), 1):
            with threads_limited(threads):
                segments.append(work.render(frames, tmp_path / f"{threads}.mp4", clock, progress))
        return join_segments(segments, work.plan, work.request, clock)

    monkeypatch.setattr(pipeline, "chosen_jobs", lambda *_: 2)
    monkeypatch.setattr(pipeline, "movie_of_segments", elsewhere)
    lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", replace(options, end_s=Fraction(2)), workspace)
    assert len(shown_by(tmp_path / "out.mp4")) == 50


def test_a_segment_has_pictures_enough_to_be_reordered(
    both: Callable[..., Both], small: Path, speech_wav: Path
) -> None:
    made = both(small, speech_wav, replace(FINE, codec="hevc", fps=Fraction(4), end_s=Fraction(9)))
    assert [len(segment) for segment in made.segments] == [12, 12, 12]
    assert_alike(made)


def test_the_frames_of_a_segment_are_heard_as_in_the_whole() -> None:
    pts = np.array([0, 3, 4, 9, 10, 17], np.int64)
    whole = Timeline(np.arange(6, dtype=np.int32), pts, Fraction(1, 90), 4, start=50, missed=2)
    for count in range(1, 7):
        segments = [whole.part(frames) for frames in divided(6, count)]
        assert np.array_equal(np.concatenate([segment.starts_s() for segment in segments]), whole.starts_s())
        assert np.array_equal(np.concatenate([segment.middles_s() for segment in segments]), whole.middles_s())
        assert sum(segment.duration_s for segment in segments) == whole.duration_s
        assert all(segment.pts[0] == 0 for segment in segments)


def test_segments_follow_each_other_and_are_nearly_equal() -> None:
    for frames in (1, 2, 7, 100):
        for count in (1, 2, 3, 8):
            segments = divided(frames, count)
            assert [frame for segment in segments for frame in segment] == list(range(frames))
            assert max(map(len, segments)) - min(map(len, segments)) <= 1
