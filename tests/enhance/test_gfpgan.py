"""The GFPGAN enhancer and its network's file, on networks whose result is known."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lipsync_core.enhance.gfpgan import GfpganEnhancer
from lipsync_core.enhance.gfpgan_onnx import FIRST_ROW, GfpganNetwork
from lipsync_core.errors import ModelCorruptError, ModelError, ModelMissingError
from tests.enhance.conftest import MakeNetwork, Scene
from tests.scaling_network import write_scaling_network


def random_face(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (512, 512, 3), np.uint8)


def test_a_network_that_keeps_the_face_keeps_every_code_value(make_network: MakeNetwork) -> None:
    np.testing.assert_array_equal(make_network(1.0).restore(random_face()), random_face()[FIRST_ROW:])


def test_the_network_counts_from_minus_one_to_one(make_network: MakeNetwork) -> None:
    np.testing.assert_array_equal(make_network(-1.0).restore(random_face()), 255 - random_face()[FIRST_ROW:])
    grey = np.full((512, 512, 3), 64, np.uint8)
    assert set(make_network(0.5).restore(grey).ravel()) == {96}  # half way to the middle, 127.5


def test_what_leaves_the_range_is_clipped(make_network: MakeNetwork) -> None:
    ends = np.where(random_face() < 128, np.uint8(0), np.uint8(255))
    np.testing.assert_array_equal(make_network(1000.0).restore(random_face()), ends[FIRST_ROW:])


@pytest.mark.parametrize("first_row", [0, 100, FIRST_ROW])
def test_a_file_may_compute_more_rows_than_are_wanted(tmp_path: Path, first_row: int) -> None:
    network = GfpganNetwork(write_scaling_network(tmp_path / "a.onnx", 1.0, first_row=first_row), threads=1)
    np.testing.assert_array_equal(network.restore(random_face()), random_face()[FIRST_ROW:])


def test_a_file_may_leave_its_sizes_open(tmp_path: Path) -> None:
    path = write_scaling_network(tmp_path / "a.onnx", 1.0, shape=("n", 3, "h", "w"))  # type: ignore[arg-type]
    np.testing.assert_array_equal(GfpganNetwork(path, threads=1).restore(random_face()), random_face()[FIRST_ROW:])


def test_restoring_fails_when_the_file_computes_too_few_rows(tmp_path: Path) -> None:
    network = GfpganNetwork(write_scaling_network(tmp_path / "a.onnx", 1.0, first_row=FIRST_ROW + 1), threads=1)
    with pytest.raises(ModelError, match=r"is not GFPGAN: its output is \(1, 3, 255, 512\)"):
        network.restore(random_face())


@pytest.mark.parametrize("shape", [(1, 3, 256, 256), (1, 512, 512, 3), (3, 512, 512), (2, 3, 512, 512)])
def test_opening_fails_when_the_file_is_another_model(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="is not GFPGAN: its inputs are x"):
        GfpganNetwork(write_scaling_network(tmp_path / "a.onnx", 1.0, shape=shape))


def test_opening_fails_when_the_file_is_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="there is no model file"):
        GfpganNetwork(tmp_path / "absent.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x0a\x12\x7fpyt")
    with pytest.raises(ModelCorruptError, match="is not an ONNX model"):
        GfpganNetwork(tmp_path / "broken.onnx")


def test_a_restored_face_goes_back_to_its_own_pixels(make_network: MakeNetwork, scene: Scene) -> None:
    enhanced = GfpganEnhancer(make_network(-1.0)).enhance(scene.pixels, scene.points, scene.mask)
    full = scene.mask == 1
    negative = 255 - scene.pixels
    # The only difference is the blur of two bilinear resizes.
    assert np.abs(enhanced[full].astype(int) - negative[full]).mean() < 2.0


@pytest.mark.parametrize("scale", [0.4, 3.0, 7.5])
@pytest.mark.parametrize("turn_deg", [0.0, 25.0, 90.0])
def test_faces_of_every_size_and_turn_keep_their_place(
    make_network: MakeNetwork, scene: Scene, scale: float, turn_deg: float
) -> None:
    side = round(260 * scale)
    transform = cv2.getRotationMatrix2D((105.0, 125.0), turn_deg, scale)
    transform[:, 2] += side / 2 - np.array([105.0, 125.0])
    pixels = cv2.warpAffine(scene.pixels, transform, (side, side), borderMode=cv2.BORDER_REFLECT)
    mask = cv2.warpAffine(scene.mask, transform, (side, side))
    points = (scene.points @ transform[:, :2].T + transform[:, 2]).astype(np.float32)
    kept = GfpganEnhancer(make_network(1.0)).enhance(pixels, points, mask)
    inside = mask > 0.9
    assert np.abs(kept[inside].astype(int) - pixels[inside]).mean() < 3.0
    np.testing.assert_array_equal(kept[mask == 0], pixels[mask == 0])


def test_eyes_are_left_alone_even_under_the_mask(make_network: MakeNetwork, scene: Scene) -> None:
    enhanced = GfpganEnhancer(make_network(-1.0)).enhance(scene.pixels, scene.points, np.ones_like(scene.mask))
    np.testing.assert_array_equal(enhanced[:100], scene.pixels[:100])
    assert (enhanced[140:160] != scene.pixels[140:160]).any()


def test_the_network_rests_while_the_mask_hides_its_part(tmp_path: Path, scene: Scene) -> None:
    # This file fails when it runs: it computes too few rows.
    network = GfpganNetwork(write_scaling_network(tmp_path / "a.onnx", 1.0, first_row=FIRST_ROW + 1), threads=1)
    eyes = np.zeros_like(scene.mask)
    eyes[85:100] = 1.0
    np.testing.assert_array_equal(GfpganEnhancer(network).enhance(scene.pixels, scene.points, eyes), scene.pixels)
    with pytest.raises(ModelError, match="is not GFPGAN"):
        GfpganEnhancer(network).enhance(scene.pixels, scene.points, scene.mask)
