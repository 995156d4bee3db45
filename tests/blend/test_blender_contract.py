"""The contract of every Blender; a new blender joins by a line in `BLENDERS`."""

import numpy as np
import pytest

from lipsync_core.blend.contract import Blender
from lipsync_core.blend.feather import FeatherBlender
from lipsync_core.blend.poisson import PoissonBlender
from lipsync_core.generators.contract import Painted
from tests.blend.conftest import MASKS, Mask, Scene, painted, rectangle

BLENDERS: dict[str, type[Blender]] = {"feather": FeatherBlender, "poisson": PoissonBlender}


@pytest.fixture(params=list(BLENDERS))
def blender(request: pytest.FixtureRequest) -> Blender:
    return BLENDERS[request.param]()


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_nothing_changes_where_the_mask_is_0(blender: Blender, scene: Scene, mask: Mask) -> None:
    composite = blender.blend(scene.region, painted(scene, mask))
    np.testing.assert_array_equal(composite[mask == 0], scene.region[mask == 0])


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_the_painted_pixels_show_inside_the_mask(blender: Blender, scene: Scene, mask: Mask) -> None:
    composite = blender.blend(scene.region, painted(scene, mask)).astype(int)
    changed = (composite != scene.region).any(axis=2)
    assert changed[mask == 1].mean() > 0.8


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_painting_the_source_itself_changes_nothing(blender: Blender, scene: Scene, mask: Mask) -> None:
    composite = blender.blend(scene.region, Painted(scene.region, mask))
    np.testing.assert_array_equal(composite, scene.region)


def test_an_empty_mask_changes_nothing(blender: Blender, scene: Scene) -> None:
    composite = blender.blend(scene.region, painted(scene, np.zeros((160, 160), np.float32)))
    np.testing.assert_array_equal(composite, scene.region)


def test_the_composite_is_new_and_its_sources_are_left_alone(blender: Blender, scene: Scene) -> None:
    region, pixels, mask = scene.region.copy(), scene.pixels.copy(), MASKS["soft ellipse"].copy()
    composite = blender.blend(region, Painted(pixels, mask))
    assert composite.dtype == np.uint8
    assert composite.shape == region.shape
    for array in (region, pixels, mask):
        assert not np.shares_memory(composite, array)
    np.testing.assert_array_equal(region, scene.region)
    np.testing.assert_array_equal(pixels, scene.pixels)
    np.testing.assert_array_equal(mask, MASKS["soft ellipse"])


def test_blending_again_gives_the_same(blender: Blender, scene: Scene) -> None:
    first = blender.blend(scene.region, painted(scene, MASKS["ellipse"]))
    blender.blend(scene.region[:50, :60], Painted(scene.pixels[:50, :60], rectangle(5, 5, 40, 40)[:50, :60]))
    np.testing.assert_array_equal(blender.blend(scene.region, painted(scene, MASKS["ellipse"])), first)


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (9, 2), (3, 3), (4, 5), (5, 4), (7, 7)])
def test_the_smallest_regions_are_blended(blender: Blender, shape: tuple[int, int]) -> None:
    random = np.random.default_rng(3)
    region, pixels = random.integers(0, 256, (2, *shape, 3), np.uint8)
    composite = blender.blend(region, Painted(pixels, np.ones(shape, np.float32)))
    assert composite.shape == region.shape


def test_extreme_pixels_do_not_wrap_around(blender: Blender) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::8] = 255
    region = np.full((64, 64, 3), 250, np.uint8)
    composite = blender.blend(region, Painted(stripes, rectangle(4, 4, 60, 60, side=64)))
    inside = composite[16:48, 16:48].astype(int)
    # The stripes stay brighter than the pixels between them, although values were clipped.
    assert (inside[:, ::8] > inside[:, 4::8] + 10).all()


@pytest.mark.parametrize("wrong", ["pixels", "mask"])
def test_blending_fails_when_shapes_do_not_match(blender: Blender, scene: Scene, wrong: str) -> None:
    pixels = scene.pixels[:-1] if wrong == "pixels" else scene.pixels
    mask = MASKS["ellipse"][:, :-1] if wrong == "mask" else MASKS["ellipse"]
    with pytest.raises(ValueError, match=r"region \(160, 160, 3\)"):
        blender.blend(scene.region, Painted(pixels, mask))
