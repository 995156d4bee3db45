"""The `wav2lip` generator: its mel chunks, its inference and its painting."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.audio.mel import MEL_SILENCE
from lipsync_core.blend.feather import FeatherBlender
from lipsync_core.generators.contract import InferringHalf
from lipsync_core.generators.wav2lip import BYTES_PER_FRAME, Identity, MelChunks, Wav2LipGenerator
from lipsync_core.generators.wav2lip_boxes import FacePadding
from lipsync_core.generators.wav2lip_mask import FIRST_ROW
from lipsync_core.generators.wav2lip_onnx import Wav2LipNetwork, network_faces
from lipsync_core.generators.wav2lip_painter import Wav2LipPainter
from lipsync_core.media.planes import Box
from tests.generators.test_wav2lip_boxes import FIVE_POINTS_PX, moving_boxes, track_of
from tests.wav2lip_weights import imported_wav2lip, needs_torch, seeded_inputs, torch_output

SEEDED = Identity("wav2lip", "test weights")


@pytest.fixture(scope="module")
def network_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imported_wav2lip(tmp_path_factory)


@pytest.fixture(scope="module")
def network(network_path: Path) -> Wav2LipNetwork:
    return Wav2LipNetwork(network_path, threads=1)


@pytest.fixture
def noise() -> NDArray[np.uint8]:
    """(7, 96, 96, 3) crops."""
    return np.random.default_rng(1).integers(0, 256, (7, 96, 96, 3), np.uint8)


@pytest.fixture
def mel() -> NDArray[np.float32]:
    """(7, 80, 16) chunks."""
    return np.random.default_rng(2).uniform(-4, 4, (7, 80, 16)).astype(np.float32)


def chunks_of_columns(count: int) -> MelChunks:
    """Every band of column k holds k."""
    return MelChunks(np.tile(np.arange(count, dtype=np.float32), (80, 1)))


@pytest.mark.parametrize("rate", [24.0, 25.0, 30.0, 30000 / 1001, 60.0])
def test_a_chunk_begins_where_its_frame_begins(rate: float) -> None:
    starts_s = np.arange(200) / rate
    chunks = chunks_of_columns(1000).at(starts_s)
    assert chunks.shape == (200, 80, 16)
    assert chunks.dtype == np.float32
    np.testing.assert_array_equal(chunks[:, 0, 0], [int(k * 80 / rate + 1e-9) for k in range(200)])
    np.testing.assert_array_equal(chunks[:, 79, 15], chunks[:, 0, 0] + 15)


def test_past_the_end_the_last_chunk_is_heard() -> None:
    chunks = chunks_of_columns(80).at(np.array([0.79, 0.81, 0.99, 5.0]))
    np.testing.assert_array_equal(chunks[:, 0, 0], [63, 64, 64, 64])


@needs_torch
def test_sound_shorter_than_a_chunk_is_filled_up_with_silence(network: Wav2LipNetwork) -> None:
    conditions = Wav2LipGenerator(network, SEEDED).listen([np.full(800, 9000, np.int16)])  # 5 columns
    chunk = conditions.at(np.array([0.0, 1.0]))
    assert chunk.shape == (2, 80, 16)
    assert (chunk[:, :, 5:] == MEL_SILENCE).all()
    assert (chunk[0, :, :5] > MEL_SILENCE).any()


def test_chunks_fail_when_the_mel_has_another_shape() -> None:
    with pytest.raises(ValueError, match="mel of shape"):
        MelChunks(np.zeros((80, 15), np.float32))


def test_the_network_sees_the_crop_in_bgr_with_its_lower_half_hidden(noise: NDArray[np.uint8]) -> None:
    faces = network_faces(noise)
    assert faces.shape == (7, 6, 96, 96)
    assert not faces[:, :3, 48:].any()
    np.testing.assert_array_equal(faces[:, :3, :48], faces[:, 3:, :48])
    np.testing.assert_allclose(faces[3, 5, 70], noise[3, 70, :, 0] / 255.0, rtol=1e-6)  # red comes last


@needs_torch
def test_a_generator_keeps_the_contract(network: Wav2LipNetwork) -> None:
    generator: InferringHalf = Wav2LipGenerator(network, SEEDED)
    assert generator.spec.crop_px == 96
    assert not generator.spec.needs_mesh
    assert generator.observer() is None


@needs_torch
def test_edits_are_what_the_network_says(
    network: Wav2LipNetwork, noise: NDArray[np.uint8], mel: NDArray[np.float32]
) -> None:
    edits = Wav2LipGenerator(network, SEEDED).infer(iter(noise), mel)
    expected = network.mouths(mel, noise)  # (7, 3, 53, 96) BGR
    assert edits.shape == (7, 96 - FIRST_ROW, 96, 3)
    assert edits.dtype == np.uint8
    assert np.abs(edits[..., 0] - expected[:, 2] * 255.0).max() < 0.6
    assert edits.std() > 20  # seeded weights draw noise, but they draw


@needs_torch
def test_batches_parts_and_threads_change_nothing(
    network: Wav2LipNetwork, noise: NDArray[np.uint8], mel: NDArray[np.float32]
) -> None:
    whole = Wav2LipGenerator(network, SEEDED, budget_bytes=7 * BYTES_PER_FRAME).infer(iter(noise), mel).astype(int)
    small = Wav2LipGenerator(network, SEEDED, budget_bytes=2 * BYTES_PER_FRAME)
    assert np.abs(small.infer(iter(noise), mel) - whole).max() <= 1
    crops = iter(noise)
    parts = [small.infer(crops, mel[:3]), small.infer(crops, mel[3:])]
    assert np.abs(np.concatenate(parts) - whole).max() <= 1
    with ThreadPoolExecutor(3) as pool:
        for edits in pool.map(lambda _: small.infer(iter(noise), mel), range(3)):
            assert np.abs(edits - whole).max() <= 1


@needs_torch
def test_a_batch_is_no_larger_than_the_budget_allows(network_path: Path, mel: NDArray[np.float32]) -> None:
    taken = []

    class Watched(Wav2LipNetwork):
        def speak(self, mel: NDArray[np.float32], crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
            taken.append(len(crops))
            return super().speak(mel, crops)

    def crops() -> Iterator[NDArray[np.uint8]]:
        for _ in range(7):
            yield np.zeros((96, 96, 3), np.uint8)

    watched = Watched(network_path, threads=1)
    Wav2LipGenerator(watched, SEEDED, budget_bytes=3 * BYTES_PER_FRAME).infer(crops(), mel)
    assert taken == [3, 3, 1]


@needs_torch
def test_inferring_fails_when_crops_run_out(
    network: Wav2LipNetwork, noise: NDArray[np.uint8], mel: NDArray[np.float32]
) -> None:
    generator = Wav2LipGenerator(network, SEEDED)
    with pytest.raises(ValueError, match="5 crops for 7 conditions"):
        generator.infer(iter(noise[:5]), mel)
    with pytest.raises(ValueError, match="0 crops for 7 conditions"):
        generator.infer(None, mel)


@needs_torch
def test_an_edit_is_the_networks_picture_but_for_rounding(network: Wav2LipNetwork) -> None:
    mel, faces = seeded_inputs(1)
    crop = np.rint(faces[0, 3:].transpose(1, 2, 0)[..., ::-1] * 255.0).astype(np.uint8)
    edit = Wav2LipGenerator(network, SEEDED).infer(iter([crop]), mel[:, 0])[0]
    exact = torch_output(mel, faces)[0, :, FIRST_ROW:].transpose(1, 2, 0)[..., ::-1] * 255.0
    assert np.abs(edit - exact).mean() < 1.5  # the crop was rounded to code values


@pytest.mark.parametrize("size", [(140, 100), (96, 96), (311, 257), (60, 48)])
def test_painting_the_reference_crop_back_changes_nothing_outside_the_mask_and_little_inside(
    size: tuple[int, int],
) -> None:
    height, width = size
    down, across = np.mgrid[0:height, 0:width]
    waves = 127 + 60 * np.sin(down * 6 / height) + 50 * np.cos(across * 5 / width)
    region = np.repeat(waves[..., np.newaxis], 3, axis=2).astype(np.uint8)
    painter = Wav2LipPainter(track_of(moving_boxes(3, 0.0)), FacePadding())
    box = painter.region(1)
    assert box is not None
    painted = painter.paint(region, box, 1, painter.crop(region)[FIRST_ROW:])
    assert painted.pixels.shape == region.shape
    assert painted.mask.shape == size
    composite = FeatherBlender().blend(region, painted)
    outside = painted.mask == 0
    assert outside[: int(height * 44 / 96)].all()
    np.testing.assert_array_equal(composite[outside], region[outside])
    assert np.abs(composite.astype(int) - region).max() <= 3
    assert painted.mask.max() == 1.0


def test_a_patch_comes_back_where_its_crop_was_even_at_the_edge_of_the_frame() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)
    frame[:, :, :] = np.linspace(0, 255, 200)[np.newaxis, :, np.newaxis]
    painter = Wav2LipPainter(track_of(moving_boxes(1, 0.0) + 40.0), FacePadding())
    wanted = painter.region(0)
    assert wanted is not None
    box = wanted.clipped(200, 150)
    assert box != wanted
    region = frame[box.y0 : box.y1, box.x0 : box.x1]
    painted = painter.paint(region, box, 0, painter.crop(region)[FIRST_ROW:])
    inside = painted.mask > 0
    assert np.abs(painted.pixels.astype(int) - region)[inside].max() <= 3


def test_a_clip_coded_on_its_side_is_shown_upright_and_painted_back_on_its_side() -> None:
    upright = np.zeros((150, 100, 3), np.uint8)
    upright[:, :] = np.linspace(0, 255, 150)[:, np.newaxis, np.newaxis]  # bright below
    region = np.ascontiguousarray(np.rot90(upright, -1))  # a quarter turn to the right: the chin on the left
    points = np.stack([-FIVE_POINTS_PX[:, 1], FIVE_POINTS_PX[:, 0]], axis=1)
    box = np.array([[100.0, 80.0, 250.0, 180.0]])
    painter = Wav2LipPainter(track_of(box, points=points), FacePadding(bottom_px=0))
    crop = painter.crop(region)
    assert np.abs(crop.astype(int) - np.linspace(0, 255, 96)[:, np.newaxis, np.newaxis]).max() <= 3
    painted = painter.paint(region, Box(100, 80, 250, 180), 0, crop[FIRST_ROW:])
    assert painted.mask[:, :70].max() == 1.0
    assert not painted.mask[:, 82:].any()
    assert np.abs(painted.pixels.astype(int) - region)[painted.mask > 0].max() <= 3


def test_a_face_without_score_or_size_has_no_region() -> None:
    boxes = moving_boxes(4, 0.0)
    boxes[0], boxes[1] = np.nan, [10, 10, 14, 12]
    painter = Wav2LipPainter(track_of(boxes, np.array([0.0, 0.9, 0.3, 0.9])), FacePadding(bottom_px=0))
    assert [painter.region(k) is None for k in range(4)] == [True, True, True, False]


def test_painting_fails_when_the_edit_has_another_shape() -> None:
    painter = Wav2LipPainter(track_of(moving_boxes(1, 0.0)), FacePadding())
    box = painter.region(0)
    assert box is not None
    with pytest.raises(ValueError, match="edit of shape"):
        painter.paint(np.zeros((150, 100, 3), np.uint8), box, 0, np.zeros((96, 96, 3), np.uint8))


@needs_torch
def test_opening_a_network_fails_when_the_path_is_wrong(tmp_path: Path) -> None:
    from lipsync_core.errors import ModelMissingError

    with pytest.raises(ModelMissingError, match=r"absent\.onnx"):
        Wav2LipNetwork(tmp_path / "absent.onnx")
