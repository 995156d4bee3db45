"""The comparison with the public implementation: its own parts, without a checkout of that implementation."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from fixed_box import FixedBoxTracker, speak
from process import run

from lipsync_core.clock import StageClock
from lipsync_core.media.decode import decode_frames
from tests.thorough import thorough
from tests.wav2lip_weights import imported_wav2lip, needs_torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_without_a_checkout_the_comparison_says_that_it_is_left_out() -> None:
    command = [sys.executable, BENCHMARKS / "compare_upstream.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "left out, as it needs --upstream DIR" in done.stdout


def test_a_fixed_box_is_in_every_frame(face_clip: Path) -> None:
    box = np.array([100.0, 50.0, 300.0, 350.0], np.float32)
    frames = list(decode_frames(face_clip, StageClock(), Fraction(6, 25)))
    track = FixedBoxTracker(box).track(frames, StageClock())
    assert len(track) == len(frames)
    assert track.has_face.all()
    np.testing.assert_array_equal(track.boxes, np.tile(box, (len(frames), 1)))
    np.testing.assert_array_equal(track.frame_pts, [frame.pts for frame in frames])
    assert (track.landmarks[:, :, :2] >= box[:2]).all() and (track.landmarks[:, :, :2] <= box[2:]).all()


@needs_torch
@thorough
def test_the_job_on_a_fixed_box_changes_pixels_inside_it_alone(
    face_clip: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    network = imported_wav2lip(tmp_path_factory)
    source, output, speech = face_clip, tmp_path / "out.mp4", tmp_path / "speech.wav"
    write_noise(speech, seconds=0.4)
    speak(network, source, speech, output, (80, 230, 205, 355))
    with av.open(str(output)) as container:
        spoken = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    with av.open(str(source)) as container:
        originals = [frame.to_ndarray(format="rgb24") for frame, _ in zip(container.decode(video=0), spoken)]  # noqa: B905
    assert len(spoken) == 10
    change = np.mean([np.abs(new - old) for new, old in zip(spoken, originals, strict=True)], axis=(0, 3))
    assert change[165:215, 235:325].mean() > 20  # the lower half of the box is noise now
    assert change[:, 400:].mean() < 5  # encoding alone


def write_noise(path: Path, seconds: float) -> None:
    samples = np.random.default_rng(1).integers(-3000, 3000, (1, round(seconds * 16000))).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_command_runs_in_its_folder_with_its_environment(tmp_path: Path) -> None:
    printed = tmp_path / "printed"
    code = "import os, sys; print(os.getcwd(), os.environ['WORD'], flush=True); print('message', file=sys.stderr)"
    environment = {**os.environ, "WORD": "here"}
    cost = run([sys.executable, "-c", code], printed, subprocess.STDOUT, tmp_path, environment)
    assert printed.read_text().split() == [str(tmp_path.resolve()), "here", "message"]
    assert cost.cpu_s > 0 and cost.wall_s > 0 and cost.peak_bytes > 1_000_000


def test_a_command_fails_when_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with status 3"):
        run([sys.executable, "-c", "raise SystemExit(3)"])
