"""The whole measure, with a network that sees brightness and hears loudness, on a video that blinks with its sound."""

import wave
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.errors import ModelError
from lipsync_core.execution import Provider
from lipsync_core.face.track import FaceTrack
from lipsync_core.network import TensorSpec
from lipsync_core.options import JobOptions
from lipsync_core.report import Progress
from lipsync_core.score_figures import SyncNetScoring
from lipsync_core.source_video import SourceVideo
from lipsync_core.syncnet.measuring import Talk, measure_talk
from lipsync_core.syncnet.network import SyncNetNetwork

SIDE_PX = 160
#: The brightness of the moments of 40 ms.
MOMENTS = np.random.default_rng(0).integers(30, 250, 200)
POINTS_PX = np.array([[60, 55], [100, 55], [80, 80], [65, 105], [95, 105]], np.float32)


class BlinkNetwork:
    """Implements `Network`: the logarithm of each moment's brightness and loudness, less that of the window's mean."""

    label = "blinks"
    provider: Provider = "cpu"
    inputs = (
        TensorSpec("cepstra", (None, 1, 13, 20), "tensor(float)"),
        TensorSpec("faces", (None, 3, 5, 224, 224), "tensor(float)"),
    )
    outputs = (TensorSpec("embeddings", (None, 2, 5), "tensor(float)"),)

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        energies = feeds["cepstra"][:, 0, 0].reshape(-1, 5, 4)[:, :, :2].mean(axis=2) / 2  # of power
        brightness = np.log(feeds["faces"].mean(axis=(1, 3, 4)))
        both = np.stack([energies, brightness], axis=1)
        return [both - both.mean(axis=2, keepdims=True)]


def write_blinks(path: Path, moments: NDArray[np.int64], rate: int) -> Path:
    # The track below counts in frames.
    with av.open(str(path), "w", format="mp4", options={"video_track_timescale": str(rate)}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = SIDE_PX, SIDE_PX, "yuv420p"
        for number in range(len(moments) * rate // 25):
            grey = np.full((SIDE_PX, SIDE_PX, 3), moments[number * 25 // rate], np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_crackle(path: Path, moments: NDArray[np.int64]) -> Path:
    noise = np.random.default_rng(1).normal(size=(len(moments), 640))
    samples = (noise * moments[:, np.newaxis] * 20).clip(-32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    return path


def track_of(frames: int, rate: int) -> FaceTrack:
    boxes = np.tile(np.array([25, 20, 135, 140], np.float32), (frames, 1))
    landmarks = np.zeros((frames, 5, 3), np.float32)
    landmarks[:, :, :2] = POINTS_PX
    nothing = np.zeros(frames, bool)
    ones = np.ones(frames, np.float32)
    return FaceTrack("test/1", np.arange(frames), Fraction(1, rate), 1, True, boxes, ones, landmarks, nothing)


def measured(folder: Path, late: int, rate: int = 25, count: int = 130, stages: list[Progress] | None = None) -> Any:
    """The scoring of a video whose pictures come `late` moments after their sound."""
    start = 20
    video = write_blinks(folder / "video.mp4", MOMENTS[start - late : start - late + count], rate)
    audio = write_crackle(folder / "sound.wav", MOMENTS[start : start + count])
    options = JobOptions()
    source = SourceVideo.probed(video, options)
    talk = Talk(source, track_of(count * rate // 25, rate), audio, Fraction(count, 25), options)
    network = SyncNetNetwork(BlinkNetwork())
    return measure_talk(talk, network, StageClock(), (stages if stages is not None else []).append)


@pytest.mark.parametrize(("late", "rate"), [(0, 25), (-6, 25), (4, 25), (3, 50)])
def test_a_known_shift_is_found(tmp_path: Path, late: int, rate: int) -> None:
    stages: list[Progress] = []
    scoring = measured(tmp_path, late, rate, stages=stages)
    assert scoring.figures.offset_ms == 40 * late
    assert scoring.figures.windows == 125  # of 130 pictures
    assert scoring.figures.lse_c > scoring.figures.lse_d
    assert stages[-1] == Progress("syncnet", 125, 125)


def test_a_video_without_a_long_stretch_says_why_it_has_no_figures(tmp_path: Path) -> None:
    scoring = measured(tmp_path, 0, count=100)
    assert scoring.figures is None
    assert scoring.account == "none: no face is larger than 100 px for more than 4 s without a break"


def test_figures_are_told_in_a_line(tmp_path: Path) -> None:
    scoring: SyncNetScoring = measured(tmp_path, 2)
    assert scoring.account.startswith("LSE-C ") and scoring.account.endswith(", offset 80 ms")


def test_a_network_of_another_kind_is_refused() -> None:
    class Deaf(BlinkNetwork):
        inputs = BlinkNetwork.inputs[1:]

    with pytest.raises(ModelError, match=r"blinks is not SyncNet: its inputs are faces \(\?, 3, 5, 224, 224\)"):
        SyncNetNetwork(Deaf())


def test_a_network_with_another_output_is_refused() -> None:
    class Flat(BlinkNetwork):
        def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
            return [super().run(feeds)[0][:, 0]]

    cepstra, faces = np.zeros((2, 1, 13, 20), np.float32), np.ones((2, 3, 5, 224, 224), np.float32)
    with pytest.raises(ModelError, match=r"blinks is not SyncNet: its output is \(2, 5\)"):
        SyncNetNetwork(Flat()).embed(cepstra, faces)
