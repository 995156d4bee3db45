"""The demo's scripts write the files that the demo promises."""

import wave
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from compare import compare
from make_face_clip import make_face_clip

DEMO = Path(__file__).parents[2] / "demo"
BT709 = 1


@pytest.fixture(scope="module")
def face_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "face.mp4"
    make_face_clip(path, frames=12)
    return path


def test_the_face_clip_is_720p30_with_colour_tags(face_clip: Path) -> None:
    with av.open(str(face_clip)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.frames, stream.average_rate) == (1280, 720, 12, 30)
        context = stream.codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == (BT709, BT709, BT709)


def test_the_face_moves_in_every_frame_and_no_border_shows(face_clip: Path) -> None:
    with av.open(str(face_clip)) as container:
        frames = [frame.to_ndarray(format="gray").astype(int) for frame in container.decode(video=0)]
    for before, after in pairwise(frames):
        assert 0.2 < np.abs(after - before).mean() < 8
    edges = np.concatenate([frames[0][0], frames[0][-1], frames[0][:, 0], frames[0][:, -1]])
    assert np.median(edges) > 40


def test_the_speech_is_what_the_readme_says() -> None:
    with wave.open(str(DEMO / "speech.wav")) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (16000, 1, 2)
        samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
    assert 279 < len(samples) / 16000 * 30 <= 280
    assert 20 * np.log10(np.abs(samples.astype(int)).max() / 32768) == pytest.approx(-3, abs=0.1)
    assert (DEMO / "speech.wav").stat().st_size <= 400_000


def test_the_comparison_shows_both_and_keeps_the_sound(
    face_clip: Path, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    result, out = tmp_path / "result.mp4", tmp_path / "compare.mp4"
    sound = ("-f", "lavfi", "-i", "sine=frequency=300:duration=0.4")
    ffmpeg("-i", face_clip, *sound, "-vf", "negate", "-c:a", "aac", "-shortest", result)
    compare(face_clip, result, out)
    with av.open(str(out)) as container, av.open(str(result)) as played:
        assert container.streams.audio[0].codec_context.name == "aac"
        pictures = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
        assert len(pictures) == sum(1 for _ in played.decode(video=0)) == 12
    left, right = pictures[5][:, :960], pictures[5][:, 960:]
    assert pictures[5].shape == (540, 1920, 3)
    assert np.corrcoef(left.mean(axis=2).ravel(), right.mean(axis=2).ravel())[0, 1] < -0.9
