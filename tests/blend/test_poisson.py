"""The Poisson blender beside OpenCV's, also in cases where OpenCV's fails."""

import cv2
import numpy as np
import pytest

from lipsync_core.blend.poisson import PoissonBlender
from lipsync_core.generators.contract import Painted
from tests.blend.conftest import MASKS, Mask, Scene, SeamlessClone, ellipse, painted, rectangle


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_it_is_within_one_code_value_of_seamless_clone(scene: Scene, seamless_clone: SeamlessClone, mask: Mask) -> None:
    composite = PoissonBlender().blend(scene.region, painted(scene, mask)).astype(int)
    other = seamless_clone(scene, mask).astype(int)
    inside = mask > 0
    assert np.abs(scene.pixels[inside].astype(int) - other[inside]).mean() > 5  # the blender changes something
    assert np.abs(composite[inside] - other[inside]).mean() < 1.0


def test_a_change_of_colour_alone_disappears(scene: Scene) -> None:
    """Pixels that are all raised by one amount have the source's own gradients."""
    dim = (scene.region // 2 + 40).astype(np.uint8)
    composite = PoissonBlender().blend(dim, Painted(dim + 30, MASKS["ellipse"]))
    np.testing.assert_array_equal(composite, dim)


def test_a_drawing_keeps_its_contrast_and_takes_the_colours_around_it() -> None:
    region = np.full((120, 120, 3), (180, 120, 90), np.uint8)
    pixels = np.full((120, 120, 3), (60, 60, 60), np.uint8)
    cv2.circle(pixels, (60, 60), 15, (20, 20, 20), -1)
    composite = PoissonBlender().blend(region, Painted(pixels, rectangle(10, 10, 110, 110, side=120))).astype(int)
    contrast = composite[60, 30] - composite[60, 60]
    assert np.abs(contrast - 40).max() <= 3
    assert np.abs(composite[20, 20] - (180, 120, 90)).max() <= 3


def test_a_hard_mask_leaves_no_step_at_its_rim(scene: Scene) -> None:
    """Along a mask that is no rectangle the solution does not end at 0; without a fade its rim would be visible."""
    mask = ellipse((80, 85), (60, 48))
    composite = PoissonBlender().blend(scene.region, painted(scene, mask)).astype(int)
    change = np.abs(composite - scene.region).mean(axis=2)
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8))
    rim = (mask > 0) & (inner == 0)
    naive = np.abs(scene.pixels.astype(int) - scene.region).mean(axis=2)
    assert change[rim].mean() < 2.0
    assert naive[rim].mean() > 5.0


@pytest.mark.parametrize("edge", ["top", "bottom", "left", "right"])
def test_a_mask_that_touches_the_edge_is_blended_up_to_it(scene: Scene, edge: str) -> None:
    turns = {"bottom": 0, "right": 1, "top": 2, "left": 3}[edge]
    mask = np.ascontiguousarray(np.rot90(rectangle(80, 30, 160, 130), turns))
    composite = PoissonBlender().blend(scene.region, painted(scene, mask)).astype(int)
    upright = np.rot90(np.abs(composite - scene.region).mean(axis=2), -turns)
    assert upright[150:157, 35:125].mean() > 1.0  # the patch is there, close to the edge
    assert (upright[159] == 0).all()  # and joins the pixels beyond it
    assert (upright[:80] == 0).all()


def test_seamless_clone_needs_help_at_the_edge(scene: Scene) -> None:
    """The reason for the tests at the edge: OpenCV's blending refuses a region that reaches beyond the picture."""
    mask = np.full((160, 160), 255, np.uint8)
    with pytest.raises(cv2.error):
        cv2.seamlessClone(scene.pixels, scene.region, mask, (100, 80), cv2.NORMAL_CLONE)


def test_the_mask_of_one_line_changes_nothing_and_does_not_fail(scene: Scene) -> None:
    composite = PoissonBlender().blend(scene.region, painted(scene, rectangle(80, 10, 81, 150)))
    np.testing.assert_array_equal(composite, scene.region)


def test_a_softer_mask_paints_less(scene: Scene) -> None:
    full = MASKS["soft ellipse"]
    changes = []
    for share in (1.0, 0.5, 0.25):
        composite = PoissonBlender().blend(scene.region, painted(scene, full * np.float32(share))).astype(int)
        changes.append(np.abs(composite - scene.region).mean())
    assert changes[0] > changes[1] > changes[2] > 0
