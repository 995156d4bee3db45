"""Samples of a video are spread over it, and tell where it ends."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lipsync_core.clock import StageClock
from lipsync_core.errors import NoVideoError
from lipsync_core.media.decode import decode_frames
from lipsync_core.media.planes import thumbnail
from lipsync_core.media.probe import require_video
from lipsync_core.media.sampling import sample_frames
from lipsync_core.media.stream import Reading
from tests.conftest import Ffmpeg, MakeVideo, Tone


def times_s(path: Path, length_s: Fraction | None) -> list[float]:
    return [float(frame.start_s) for frame in sample_frames(path, length_s, StageClock(), Reading())]


def test_a_short_video_is_sampled_twice_a_second_and_at_its_end(make_video: MakeVideo) -> None:
    path = make_video(frames=76)
    assert times_s(path, require_video(path).duration_s) == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5, 3], abs=0.13)


def test_a_sample_is_the_picture_of_its_time(make_video: MakeVideo) -> None:
    path = make_video("plain.mp4", frames=60)
    whole = list(sample_frames(path, Fraction(60, 25), StageClock(), Reading()))
    by_time = {frame.start_s: thumbnail(frame.picture, 160)[0] for frame in decode_frames(path, StageClock())}
    assert len(whole) > 4
    for frame in whole:
        assert np.array_equal(thumbnail(frame.picture, 160)[0], by_time[frame.start_s])


def test_a_video_without_a_length_is_read_all_the_same(make_video: MakeVideo) -> None:
    assert len(times_s(make_video(frames=50), None)) == 5


@pytest.fixture
def long_video(ffmpeg: Ffmpeg, tmp_path: Path) -> Path:
    path = tmp_path / "long.mkv"
    source = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=5:duration=200")
    ffmpeg(*source, "-c:v", "libx264", "-preset", "ultrafast", "-g", "10", path)
    return path


def test_a_long_video_is_sought_and_its_end_is_seen(long_video: Path) -> None:
    found = times_s(long_video, Fraction(200))
    assert len(found) == 41
    assert found == sorted(set(found))
    assert max(np.diff(found)) <= 7
    assert found[-1] == pytest.approx(199.8)


def test_the_end_of_a_long_video_that_was_cut_off_is_seen(long_video: Path) -> None:
    data = long_video.read_bytes()
    long_video.write_bytes(data[: len(data) // 2])
    assert 60 < times_s(long_video, Fraction(200))[-1] < 140


def test_sampling_fails_where_there_is_no_picture(tone: Tone) -> None:
    with pytest.raises(NoVideoError):
        times_s(tone(), Fraction(1))
