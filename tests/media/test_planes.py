import tracemalloc
from collections.abc import Callable
from typing import TypeVar

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.media.planes import Box, plane_samples, planes_of, read_region, thumbnail, write_region

FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"]
BT709, BT601, BT2020 = 1, 6, 9
LIMITED, FULL = 1, 2
Result = TypeVar("Result")


def noise_picture(pix_fmt: str, width: int = 98, height: int = 74, seed: int = 0) -> av.VideoFrame:
    """Random code values over the whole range. 98 samples a row: FFmpeg pads the rows."""
    picture = av.VideoFrame(width, height, pix_fmt)
    rng = np.random.default_rng(seed)
    for at in range(3):
        samples = plane_samples(picture, at)
        samples[:] = rng.integers(0, 1024 if "10" in pix_fmt else 256, samples.shape)
    return picture


def grey_picture(pix_fmt: str, width: int = 64, height: int = 48) -> av.VideoFrame:
    picture = av.VideoFrame(width, height, pix_fmt)
    for at in range(3):
        plane_samples(picture, at)[:] = 512 if "10" in pix_fmt else 128
    return picture


def planes(picture: av.VideoFrame) -> list[NDArray[np.generic]]:
    return [plane_samples(picture, at).copy() for at in range(3)]


def random_box(rng: np.random.Generator, width: int, height: int) -> Box:
    x0, y0 = int(rng.integers(0, width)), int(rng.integers(0, height))
    return Box(x0, y0, int(rng.integers(x0 + 1, width + 1)), int(rng.integers(y0 + 1, height + 1)))


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("seed", range(12))
def test_nothing_outside_the_mask_changes_by_a_single_code_value(pix_fmt: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture = noise_picture(pix_fmt, seed=seed)
    box = random_box(rng, picture.width, picture.height)
    mask = (rng.random((box.height, box.width)) < 0.7).astype(np.float32)
    source = planes(picture)
    before = read_region(picture, box)
    write_region(picture, box, before, 255 - before, mask)

    chosen = np.zeros((picture.height, picture.width), bool)
    chosen[box.y0 : box.y1, box.x0 : box.x1] = mask > 0
    views = planes_of(picture)
    step_x, step_y = views.step_x, views.step_y
    whole = chosen.reshape(picture.height // step_y, step_y, picture.width // step_x, step_x).all(axis=(1, 3))
    for old, new, may_change in zip(source, planes(picture), (chosen, whole, whole), strict=True):
        np.testing.assert_array_equal(new[~may_change], old[~may_change])
    if chosen.any():
        assert (source[0][chosen] != planes(picture)[0][chosen]).mean() > 0.5


@pytest.mark.parametrize("box", [Box(0, 0, 98, 74), Box(97, 73, 98, 74), Box(0, 0, 1, 1), Box(1, 1, 2, 73)])
@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_an_unchanged_region_leaves_every_code_value(pix_fmt: str, box: Box) -> None:
    picture = noise_picture(pix_fmt)
    source = planes(picture)
    region = read_region(picture, box)
    assert region.shape == (box.height, box.width, 3)
    write_region(picture, box, region, region, np.ones(region.shape[:2], np.float32))
    for old, new in zip(source, planes(picture), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("matrix", [BT601, BT709, BT2020])
@pytest.mark.parametrize("code_range", [LIMITED, FULL])
def test_a_painted_colour_reads_back(pix_fmt: str, matrix: int, code_range: int) -> None:
    for colour in [(200, 120, 90), (20, 20, 24), (250, 245, 240), (90, 30, 40), (0, 0, 0), (255, 255, 255)]:
        picture = grey_picture(pix_fmt)
        picture.colorspace, picture.color_range = matrix, code_range
        box = Box(10, 6, 41, 37)
        before = read_region(picture, box)
        after = np.empty_like(before)
        after[:] = colour
        write_region(picture, box, before, after, np.ones(before.shape[:2], np.float32))
        inner = read_region(picture, box)[2:-2, 2:-2].astype(int)  # at the rim chroma is shared with the outside
        assert np.abs(inner - colour).max() <= 2


@pytest.mark.parametrize(("height", "assumed"), [(480, BT601), (720, BT709)])
def test_an_untagged_picture_is_read_by_its_height(height: int, assumed: int) -> None:
    pictures = [noise_picture("yuv444p", 32, height) for _ in range(3)]
    pictures[1].colorspace = assumed
    pictures[2].colorspace = BT709 if assumed == BT601 else BT601
    untagged, right, wrong = (read_region(picture, Box(0, 0, 32, 32)) for picture in pictures)
    np.testing.assert_array_equal(untagged, right)
    assert (untagged != wrong).any()


@pytest.mark.parametrize("code_range", [LIMITED, FULL])
def test_reading_agrees_with_swscale(code_range: int) -> None:
    picture = noise_picture("yuv444p")
    for at in range(3):
        np.clip(plane_samples(picture, at), 60, 190, out=plane_samples(picture, at))
    picture.colorspace, picture.color_range = BT709, code_range
    oracle = picture.reformat(format="rgb24", interpolation="ACCURATE_RND").to_ndarray()
    ours = read_region(picture, Box(0, 0, 98, 74))
    assert np.abs(ours.astype(int) - oracle).max() <= 2


def test_ten_bits_keep_their_last_two_under_an_edit() -> None:
    picture = noise_picture("yuv420p10le")
    for at in range(3):
        np.clip(plane_samples(picture, at), 300, 700, out=plane_samples(picture, at))
    source = planes(picture)
    before = np.full((20, 20, 3), 100, np.uint8)
    write_region(picture, Box(10, 10, 30, 30), before, before + 10, np.ones((20, 20), np.float32))
    change = planes(picture)[0][10:30, 10:30].astype(int) - source[0][10:30, 10:30]
    assert len(np.unique(change)) == 1  # one grey step for all: the noise below 8 bits is still there
    assert change[0, 0] == round(10 * 219 / 255 * 4)


def test_edits_saturate_at_the_ends_of_the_code_range() -> None:
    for pix_fmt, top in (("yuv420p", 255), ("yuv420p10le", 1023)):
        picture = noise_picture(pix_fmt)
        ones = np.ones((74, 98), np.float32)
        black = np.zeros((74, 98, 3), np.uint8)
        write_region(picture, Box(0, 0, 98, 74), black, black + 255, ones)
        write_region(picture, Box(0, 0, 98, 74), black, black + 255, ones)
        assert planes(picture)[0].min() == planes(picture)[0].max() == top


def test_editing_a_decoded_picture_leaves_its_neighbours_alone() -> None:
    """Decoders keep references to the pictures that they have given out."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 98, 74, "yuv420p", 25
    encoder.options = {"bf": "2"}
    packets = [packet for seed in range(12) for packet in encoder.encode(noise_picture("yuv420p", seed=seed))]
    packets += encoder.encode(None)
    untouched = [planes(picture) for picture in _decode(packets)]
    edited = []
    for number, picture in enumerate(_decode(packets)):
        if number % 2 == 0:
            region = read_region(picture, Box(0, 0, 98, 74))
            write_region(picture, Box(0, 0, 98, 74), region, 255 - region, np.ones((74, 98), np.float32))
        edited.append(planes(picture))
    assert len(edited) == 12
    for old, new in zip(untouched[1::2], edited[1::2], strict=True):
        for plane_old, plane_new in zip(old, new, strict=True):
            np.testing.assert_array_equal(plane_new, plane_old)


def _decode(packets: list[av.Packet]) -> list[av.VideoFrame]:
    decoder = av.CodecContext.create("h264", "r")
    return [picture for packet in [*packets, None] for picture in decoder.decode(packet)]


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_a_thumbnail_is_the_picture_made_small(pix_fmt: str) -> None:
    picture = grey_picture(pix_fmt, 640, 360)
    half = np.ones((360, 320), np.float32)
    before = read_region(picture, Box(0, 0, 320, 360))
    red = np.zeros_like(before)
    red[:] = (200, 40, 40)
    write_region(picture, Box(0, 0, 320, 360), before, red, half)
    small, scale = thumbnail(picture, 160)
    assert small.shape == (90, 160, 3)
    assert scale == 0.25
    assert np.abs(small[:, :70].astype(int) - (200, 40, 40)).max() <= 3
    assert np.ptp(small[:, 90:].astype(int), axis=2).max() <= 1  # the right half is grey


def test_a_thumbnail_is_never_larger_than_the_picture() -> None:
    small, scale = thumbnail(grey_picture("yuv420p"), 1000)
    assert (small.shape, scale) == ((48, 64, 3), 1.0)


@pytest.mark.parametrize("box", [Box(-1, 0, 5, 5), Box(0, 0, 65, 5), Box(5, 5, 5, 9), Box(9, 5, 5, 9)])
def test_a_region_fails_when_it_is_empty_or_leaves_the_picture(box: Box) -> None:
    picture = grey_picture("yuv420p")
    with pytest.raises(ValueError, match="leaves the 64x48 picture"):
        read_region(picture, box)
    region = np.zeros((5, 5, 3), np.uint8)
    with pytest.raises(ValueError, match="leaves the 64x48 picture"):
        write_region(picture, box, region, region, np.ones((5, 5), np.float32))


def test_writing_fails_when_shapes_differ_from_the_box() -> None:
    picture, region = grey_picture("yuv420p"), np.zeros((5, 5, 3), np.uint8)
    with pytest.raises(ValueError, match="mask"):
        write_region(picture, Box(0, 0, 5, 5), region, region, np.ones((4, 5), np.float32))
    with pytest.raises(ValueError, match="before"):
        write_region(picture, Box(0, 0, 6, 5), region, region, np.ones((5, 5), np.float32))


@pytest.mark.parametrize("pix_fmt", ["rgb24", "nv12", "gray", "yuva420p", "gbrp"])
def test_reading_fails_when_the_picture_has_no_working_format(pix_fmt: str) -> None:
    with pytest.raises(ValueError, match="not a working format"):
        read_region(av.VideoFrame(64, 48, pix_fmt), Box(0, 0, 8, 8))


def test_boxes_clip_and_grow() -> None:
    assert Box(-3, 5, 200, 9).clipped(100, 8) == Box(0, 5, 100, 8)
    assert Box(-9, -9, -2, -1).clipped(10, 10).is_empty
    assert Box(3, 5, 7, 8).even() == Box(2, 4, 8, 8)
    assert (Box(3, 5, 7, 8).width, Box(3, 5, 7, 8).height) == (4, 3)


@pytest.mark.parametrize("size", [(1280, 720), (3840, 2160)])
def test_an_edit_takes_memory_for_its_region_whatever_the_size_of_the_picture(size: tuple[int, int]) -> None:
    picture, box = noise_picture("yuv420p", *size), Box(401, 203, 751, 553)
    mask = np.ones((350, 350), np.float32)
    read_region(picture, box)  # values that are computed once for all pictures exist from now on
    region, read_bytes = _traced(lambda: read_region(picture, box))
    _, written_bytes = _traced(lambda: write_region(picture, box, region, region[::-1], mask))
    assert read_bytes < 2.5 * region.nbytes
    assert written_bytes < 8 * region.nbytes  # in float32, each of its arrays would be 4 times the region


def _traced(call: Callable[[], Result]) -> tuple[Result, int]:
    """The result of `call`, and the peak of the bytes in its arrays."""
    tracemalloc.start()
    try:
        return call(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_ycgco_is_read_as_h273_defines_it() -> None:
    picture = grey_picture("yuv444p")
    picture.colorspace, picture.color_range = 8, FULL
    for at, value in enumerate((100, 128 - 20, 128 + 80)):  # of (200, 80, 40): Y 100, Cg -20, Co 80
        plane_samples(picture, at)[:] = value
    np.testing.assert_allclose(read_region(picture, Box(0, 0, 8, 8))[0, 0], (200, 80, 40), atol=1)
