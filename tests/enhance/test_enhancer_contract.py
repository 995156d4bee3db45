"""The contract of every enhancer."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lipsync_core.enhance.contract import Enhancer
from lipsync_core.enhance.gfpgan import GfpganEnhancer
from tests.enhance.conftest import MakeNetwork, Scene


@pytest.fixture(params=["gfpgan"])
def enhancer(request: pytest.FixtureRequest, make_network: MakeNetwork) -> Enhancer:
    """Each enhancer makes a negative of the face, so that every restored pixel changes."""
    return {"gfpgan": lambda: GfpganEnhancer(make_network(-1.0))}[request.param]()


def test_it_says_what_it_is(enhancer: Enhancer) -> None:
    assert all((enhancer.spec.name, enhancer.spec.version, enhancer.spec.licence))


def test_pixels_outside_the_mask_stay_and_those_inside_change(enhancer: Enhancer, scene: Scene) -> None:
    enhanced = enhancer.enhance(scene.pixels, scene.points, scene.mask)
    assert enhanced.shape == scene.pixels.shape
    assert enhanced.dtype == np.uint8
    np.testing.assert_array_equal(enhanced[scene.mask == 0], scene.pixels[scene.mask == 0])
    change = np.abs(enhanced.astype(int) - scene.pixels).max(axis=2)
    assert np.median(change[scene.mask == 1]) > 20


def test_a_mask_of_nothing_changes_nothing(enhancer: Enhancer, scene: Scene) -> None:
    enhanced = enhancer.enhance(scene.pixels, scene.points, np.zeros_like(scene.mask))
    np.testing.assert_array_equal(enhanced, scene.pixels)
    assert enhanced is not scene.pixels


def test_the_arguments_are_left_alone(enhancer: Enhancer, scene: Scene) -> None:
    given = [array.copy() for array in (scene.pixels, scene.points, scene.mask)]
    enhancer.enhance(scene.pixels, scene.points, scene.mask)
    for before, after in zip(given, (scene.pixels, scene.points, scene.mask), strict=True):
        np.testing.assert_array_equal(after, before)


def test_the_same_face_gives_the_same_pixels_in_every_thread(enhancer: Enhancer, scene: Scene) -> None:
    with ThreadPoolExecutor(3) as pool:
        first, *others = pool.map(lambda _: enhancer.enhance(scene.pixels, scene.points, scene.mask), range(3))
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_a_face_cut_off_by_the_frame_is_enhanced_where_it_is_seen(enhancer: Enhancer, scene: Scene) -> None:
    pixels, mask = scene.pixels[:171, 60:123], scene.mask[:171, 60:123]  # no chin, half of the mouth
    enhanced = enhancer.enhance(pixels, scene.points - np.float32((60, 0)), mask)
    np.testing.assert_array_equal(enhanced[mask == 0], pixels[mask == 0])
    assert (enhanced[mask == 1] != pixels[mask == 1]).any()


def test_a_face_outside_the_region_changes_nothing(enhancer: Enhancer, scene: Scene) -> None:
    enhanced = enhancer.enhance(scene.pixels, scene.points + np.float32(5000), np.ones_like(scene.mask))
    np.testing.assert_array_equal(enhanced, scene.pixels)


def test_enhancing_fails_when_the_mask_has_another_size(enhancer: Enhancer, scene: Scene) -> None:
    with pytest.raises(ValueError, match=r"under a mask \(249, 210\)"):
        enhancer.enhance(scene.pixels, scene.points, scene.mask[1:])


@pytest.mark.parametrize("points", [np.full((5, 2), np.nan), np.zeros((5, 2)), np.zeros((4, 2)), np.zeros((5, 3))])
def test_enhancing_fails_when_the_points_are_no_face(enhancer: Enhancer, scene: Scene, points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="not the five points of a face"):
        enhancer.enhance(scene.pixels, points.astype(np.float32), scene.mask)
