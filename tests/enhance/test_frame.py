"""A restored face inside its frame, read back from the frame's own planes."""

import av
import numpy as np
import pytest

from lipsync_core.enhance.frame import write_enhanced
from lipsync_core.enhance.gfpgan import GfpganEnhancer
from lipsync_core.generators.contract import Painted
from lipsync_core.media.planes import Box, plane_samples, read_region
from tests.enhance.conftest import MakeNetwork, Scene

AT = (40, 30)  # where the region of the scene lies in the frame, x and y
BOX = Box(AT[0] + 60, AT[1] + 110, AT[0] + 150, AT[1] + 201)


def frame_of(scene: Scene, pix_fmt: str) -> av.VideoFrame:
    canvas = np.full((300, 300, 3), 90, np.uint8)
    canvas[AT[1] : AT[1] + 250, AT[0] : AT[0] + 210] = scene.pixels
    return av.VideoFrame.from_ndarray(canvas, "rgb24").reformat(format=pix_fmt)


def composite_of(scene: Scene, value: int) -> Painted:
    mask = scene.mask[110:201, 60:150]
    pixels = scene.pixels[110:201, 60:150].copy()
    pixels[mask > 0] = value
    return Painted(pixels, mask)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_the_restored_composite_is_written_under_the_mask_alone(
    make_network: MakeNetwork, scene: Scene, pix_fmt: str
) -> None:
    frame = frame_of(scene, pix_fmt)
    source = [plane_samples(frame, at).copy() for at in range(3)]
    composite = composite_of(scene, 200)
    write_enhanced(frame, BOX, composite, scene.points + np.float32(AT), GfpganEnhancer(make_network(-1.0)))
    written = read_region(frame, BOX)
    core = composite.mask == 1
    assert abs(float(written[core].mean()) - 55.0) < 3.0  # the negative of the 200 that was painted
    masked = np.zeros((300, 300), bool)
    masked[BOX.y0 : BOX.y1, BOX.x0 : BOX.x1] = composite.mask > 0
    for at, old in enumerate(source):
        step = 300 // old.shape[0]
        may_change = masked.reshape(300 // step, step, 300 // step, step).any(axis=(1, 3))
        np.testing.assert_array_equal(plane_samples(frame, at)[~may_change], old[~may_change])


def test_a_face_that_leaves_the_frame_is_written_where_it_is_seen(make_network: MakeNetwork, scene: Scene) -> None:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(scene.pixels[100:, 80:]), "rgb24").reformat(
        format="yuv420p"
    )
    box = Box(0, 10, 70, 100)
    composite = Painted(np.full((90, 70, 3), 200, np.uint8), scene.mask[110:200, 80:150])
    write_enhanced(frame, box, composite, scene.points - np.float32((80, 100)), GfpganEnhancer(make_network(-1.0)))
    assert abs(float(read_region(frame, box)[composite.mask == 1].mean()) - 55.0) < 3.0


def test_writing_fails_when_the_composite_has_another_size(make_network: MakeNetwork, scene: Scene) -> None:
    frame = frame_of(scene, "yuv420p")
    enhancer = GfpganEnhancer(make_network(1.0))
    with pytest.raises(ValueError, match="could not broadcast"):
        write_enhanced(frame, Box(10, 10, 50, 50), composite_of(scene, 0), scene.points + np.float32(AT), enhancer)
