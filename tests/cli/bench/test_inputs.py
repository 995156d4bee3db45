"""Inputs of a measurement differ in every respect that a cache could see, and are alike in what costs time."""

import hashlib
from itertools import combinations
from pathlib import Path

import av
import numpy as np
import pytest

pytest.importorskip("pydantic", reason="a measurement needs the extra 'service'")
from lipsync_cli.bench.inputs import InputPair, distinct_inputs
from lipsync_core.errors import NoAudioError, NoVideoError, UnreadableMediaError
from lipsync_core.media.probe import require_audio, require_video
from tests.conftest import MakeVideo, Tone


def pictures(path: Path) -> list[bytes]:
    """The digest of every decoded frame."""
    with av.open(str(path)) as container:
        return [
            hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest().encode() for frame in container.decode(video=0)
        ]


def sound(path: Path) -> bytes:
    with av.open(str(path)) as container:
        return b"".join(frame.to_ndarray().tobytes() for frame in container.decode(audio=0))


def test_no_two_inputs_share_a_picture_or_a_sound(make_video: MakeVideo, tone: Tone, tmp_path: Path) -> None:
    source = InputPair(make_video(frames=10, size="320x180", rate="30000/1001"), tone(seconds=1.5))
    pairs = distinct_inputs(source, tmp_path, 12)
    shown = [set(pictures(pair.video)) for pair in pairs]
    assert all(len(each) >= 9 for each in shown)  # the clip itself moves
    assert not any(a & b for a, b in combinations(shown, 2))
    assert len({sound(pair.audio) for pair in pairs}) == 12
    assert len({pair.video.read_bytes() for pair in pairs}) == 12


def test_size_rate_and_length_stay(make_video: MakeVideo, tone: Tone, tmp_path: Path) -> None:
    source = InputPair(make_video(frames=10, size="320x180", rate="30000/1001"), tone(seconds=1.5))
    before = require_video(source.video)
    for pair in distinct_inputs(source, tmp_path, 2):
        after = require_video(pair.video)
        assert (after.width_px, after.height_px, after.frame_rate) == (320, 180, before.frame_rate)
        assert len(pictures(pair.video)) == 10
        assert float(require_audio(pair.audio).duration_s or 0) == pytest.approx(1.5, abs=0.01)


def test_another_call_makes_other_bytes(make_video: MakeVideo, tone: Tone, tmp_path: Path) -> None:
    source = InputPair(make_video(frames=4), tone())
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made += [pair.video.read_bytes() for pair in distinct_inputs(source, tmp_path / name, 1)]
    assert made[0] != made[1]


def test_the_length_can_be_cut(make_video: MakeVideo, tone: Tone, tmp_path: Path) -> None:
    source = InputPair(make_video(frames=50), tone(seconds=2.0))
    [pair] = distinct_inputs(source, tmp_path, 1, seconds=0.4)
    assert len(pictures(pair.video)) == 10
    assert len(np.frombuffer(sound(pair.audio), np.int16)) == 6400


def test_inputs_fail_when_the_source_has_no_picture_or_no_sound(
    make_video: MakeVideo, tone: Tone, tmp_path: Path
) -> None:
    video, audio, broken = make_video(frames=4), tone(), tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing" * 100)
    for source, error in (
        (InputPair(audio, audio), NoVideoError),
        (InputPair(video, video), NoAudioError),
        (InputPair(broken, audio), UnreadableMediaError),
    ):
        with pytest.raises(error):
            distinct_inputs(source, tmp_path, 1)
