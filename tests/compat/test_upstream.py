"""Jobs in the manner of the public implementation, against its loops, which are written out here."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.audio.mel import mel_spectrogram
from lipsync_core.blend.feather import FeatherBlender
from lipsync_core.compat.painter import UpstreamPainter
from lipsync_core.compat.upstream import (
    UpstreamChunks,
    UpstreamGenerator,
    chunk_columns,
    plan_as_upstream,
    smoothed_as_upstream,
)
from lipsync_core.errors import FaceError, ModelError
from lipsync_core.export.importing import import_wav2lip
from lipsync_core.face.track import FaceTrack
from lipsync_core.generators.contract import InferringHalf
from lipsync_core.generators.wav2lip import Identity, MelChunks
from lipsync_core.generators.wav2lip_onnx import Wav2LipNetwork
from tests.generators.faces import placed, plain_face
from tests.generators.faces import track_of as mesh_track_of
from tests.generators.test_wav2lip_boxes import moving_boxes, track_of
from tests.thorough import thorough
from tests.wav2lip_weights import (
    bare_output,
    imported_wav2lip,
    needs_torch,
    seeded_inputs,
    seeded_tensors,
    torch_output,
)

SEEDED = Identity("wav2lip", "test weights")
NTSC = Fraction(30000, 1001)
FRAME_PX = (640, 360)


def heard(seconds: float) -> MelChunks:
    """Band 0 of column k holds k."""
    columns = mel_spectrogram([np.zeros(round(seconds * 16000), np.int16)]).shape[1]
    return MelChunks(np.tile(np.arange(columns, dtype=np.float32), (80, 1)))


def restated_chunks(columns: int, rate: float) -> list[int]:
    """The columns at which the public implementation's chunks begin."""
    starts: list[int] = []
    while True:
        start = int(len(starts) * (80.0 / rate))
        if start + 16 > columns:
            return [*starts, columns - 16]
        starts.append(start)


@pytest.mark.parametrize(
    ("seconds", "rate", "count"),
    [
        (9.3, Fraction(25), 230),
        (10.0, Fraction(25), 247),
        (10.0, Fraction(30), 296),
        (10.0, NTSC, 296),
        (10.0, Fraction(60), 591),
        (60.0, Fraction(25), 1497),
        (9.3, Fraction(30), 275),
    ],
)
def test_there_are_as_many_frames_as_the_public_implementation_writes(
    seconds: float, rate: Fraction, count: int
) -> None:
    plan = plan_as_upstream(track_of(moving_boxes(153, 0.1)), heard(seconds), rate, FRAME_PX)
    assert len(plan.timeline) == count
    assert plan.timeline.duration_s == count / rate
    np.testing.assert_array_equal(plan.timeline.source_indexes, np.arange(count) % min(153, count))


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(24), Fraction(25), NTSC, Fraction(30), Fraction(60)])
@pytest.mark.parametrize("columns", [16, 17, 745, 9601])
def test_every_frame_hears_what_it_hears_there(rate: Fraction, columns: int) -> None:
    expected = restated_chunks(columns, float(rate))
    np.testing.assert_array_equal(chunk_columns(columns, rate), expected)
    chunks = UpstreamChunks(np.tile(np.arange(columns, dtype=np.float32), (80, 1)), rate)
    starts_s = np.arange(len(expected), dtype=np.float64) * float(1 / rate)
    np.testing.assert_array_equal(chunks.at(starts_s)[:, 0, 0], expected)


def test_its_rounding_makes_a_frame_hear_one_column_earlier() -> None:
    assert chunk_columns(2000, Fraction(24000, 1001))[300] == 1000  # 300 / rate is exactly 1001 columns


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 9, 40])
def test_boxes_are_smoothed_ahead_and_truncated(count: int) -> None:
    boxes = np.random.default_rng(count).integers(0, 500, (count, 4))
    expected = boxes.copy()
    for index in range(count):
        ahead = expected[count - 5 :] if index + 5 > count else expected[index : index + 5]
        expected[index] = np.mean(ahead, axis=0)
    np.testing.assert_array_equal(smoothed_as_upstream(boxes), expected)


def test_a_moving_box_runs_ahead_by_two_frames() -> None:
    plan = plan_as_upstream(track_of(moving_boxes(50, 3.0)), heard(3.0), Fraction(25), FRAME_PX)
    np.testing.assert_array_equal(plan.track.boxes[0], [106, 80, 206, 230])  # padded below by 10


def test_the_box_of_a_mesh_is_framed_as_a_detector_would() -> None:
    points = placed(plain_face(), 300.0, 150.0)
    track = mesh_track_of([points] * 6)
    plan = plan_as_upstream(track, heard(0.3), Fraction(25), FRAME_PX)
    x0, y0, x1, y1 = plan.track.boxes[0]
    assert (x0, x1, y1) == (*np.trunc(track.boxes[0, [0, 2]]), np.trunc(track.boxes[0, 3]) + 10)
    height_px = track.boxes[0, 3] - track.boxes[0, 1]
    assert track.boxes[0, 1] - y0 == pytest.approx(0.145 * height_px, abs=1.0)


def test_boxes_are_padded_within_the_frame_before_they_are_smoothed() -> None:
    boxes = np.tile([-4.0, 200.7, 120.9, 355.0], (9, 1))
    plan = plan_as_upstream(track_of(boxes), heard(1.0), Fraction(25), FRAME_PX)
    np.testing.assert_array_equal(plan.track.boxes, [[0, 200, 120, 360]] * 9)


def test_frames_after_the_last_one_shown_need_no_face_and_smooth_nothing() -> None:
    count = 22  # of 81 columns at 25 frames a second
    boxes = np.concatenate([moving_boxes(count, 0.0), moving_boxes(80, 0.0) + 300.0])
    track = track_of(boxes, scores=np.where(np.arange(len(boxes)) < count, 1.0, 0.0))
    plan = plan_as_upstream(track, heard(1.0), Fraction(25), FRAME_PX)
    assert len(plan.timeline) == count
    np.testing.assert_array_equal(plan.track.boxes[:count], [[100, 80, 200, 230]] * count)


def test_planning_fails_when_a_shown_frame_has_no_face() -> None:
    scores = np.ones(30)
    scores[17] = 0.0
    with pytest.raises(FaceError, match="frame 17 has no face"):
        plan_as_upstream(track_of(moving_boxes(30, 0.0), scores), heard(3.0), Fraction(25), FRAME_PX)


def test_planning_fails_when_there_are_no_frames() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        plan_as_upstream(track_of(np.empty((0, 4))), heard(3.0), Fraction(25), FRAME_PX)


@pytest.fixture
def track() -> FaceTrack:
    return plan_as_upstream(track_of(moving_boxes(30, 0.0)), heard(1.0), Fraction(25), FRAME_PX).track


def test_the_whole_picture_is_pasted_with_hard_edges(track: FaceTrack) -> None:
    rng = np.random.default_rng(3)
    frame = rng.integers(0, 256, (FRAME_PX[1], FRAME_PX[0], 3), np.uint8)
    patch = rng.integers(0, 256, (96, 96, 3), np.uint8)
    painter = UpstreamPainter(track)
    box = painter.region(4)
    assert box is not None
    region = frame[box.y0 : box.y1, box.x0 : box.x1]
    composite = FeatherBlender().blend(region, painter.paint(region, box, 4, patch))
    np.testing.assert_array_equal(composite, cv2.resize(patch, (box.x1 - box.x0, box.y1 - box.y0)))
    np.testing.assert_array_equal(painter.crop(region), cv2.resize(region, (96, 96)))


def test_painting_fails_when_the_upper_rows_are_missing(track: FaceTrack) -> None:
    painter = UpstreamPainter(track)
    box = painter.region(0)
    assert box is not None
    with pytest.raises(ValueError, match="edit of shape"):
        painter.paint(np.zeros((box.height, box.width, 3), np.uint8), box, 0, np.zeros((53, 96, 3), np.uint8))


@needs_torch
@thorough
def test_the_whole_picture_is_what_torch_computes(tmp_path_factory: pytest.TempPathFactory) -> None:
    import torch

    folder = tmp_path_factory.mktemp("whole")
    checkpoint, file = folder / "seeded.pth", folder / "whole.onnx"
    torch.save({"state_dict": seeded_tensors("module.")}, checkpoint)
    import_wav2lip(checkpoint, file, first_row=0)
    network = Wav2LipNetwork(file, threads=1, first_row=0)
    mel, faces = seeded_inputs(7)
    assert np.abs(bare_output(file, mel, faces) - torch_output(mel, faces)).max() <= 1e-4
    generator: InferringHalf = UpstreamGenerator(network, SEEDED)
    crops = np.random.default_rng(1).integers(0, 256, (5, 96, 96, 3), np.uint8)
    pictures = generator.infer(iter(crops), mel[:5, 0])
    assert_cut_off_to_codes(pictures, file, mel[:5], crops)
    with pytest.raises(ValueError, match="2 crops for 5 conditions"):
        generator.infer(iter(crops[:2]), mel[:5, 0])


def assert_cut_off_to_codes(
    pictures: NDArray[np.uint8], file: Path, mel: NDArray[np.float32], crops: NDArray[np.uint8]
) -> None:
    """The public implementation's preparation of the input and rounding of the output."""
    bgr = crops[..., ::-1]
    hidden = bgr.copy()
    hidden[:, 48:] = 0
    faces = np.concatenate([hidden, bgr], axis=3).transpose(0, 3, 1, 2) / 255.0
    codes = bare_output(file, mel, faces.astype(np.float32)).transpose(0, 2, 3, 1) * 255.0
    differs = pictures[..., ::-1] != codes.astype(np.uint8)
    assert differs.mean() < 1e-4  # where the last bit of a product decides
    assert np.abs(pictures[..., ::-1].astype(float) - codes.astype(np.uint8)).max() <= 1


@needs_torch
def test_pasting_whole_pictures_fails_when_the_file_draws_the_mouth_alone(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    file = imported_wav2lip(tmp_path_factory)
    with pytest.raises(ModelError, match="rows from 43 on, and those from 0 on are needed"):
        Wav2LipNetwork(file, threads=1, first_row=0)
    with pytest.raises(ValueError, match="rows from 43 on"):
        UpstreamGenerator(Wav2LipNetwork(file, threads=1), SEEDED)
