"""The contact sheet of a result: its frames, their rotation and its size."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.media.decode import SourceFrame, decode_frames
from lipsync_core.media.delivery import DeliveredPictures, delivery
from lipsync_core.media.planes import thumbnail
from lipsync_core.media.probe import require_video
from lipsync_core.options import JobOptions
from tasks.preview import MAX_SHEET_BYTES, Preview, evenly_spread

if TYPE_CHECKING:  # conftest.py is no module of its own
    from tests.conftest import Ffmpeg, MakeVideo

RED, GREEN = (255, 0, 0), (0, 255, 0)
TILE_PX, GAP_PX = 240, 4


def frames_of(path: Path) -> Iterator[SourceFrame]:
    return decode_frames(path, StageClock())


def sheet_of(path: Path, total: int) -> NDArray[np.uint8]:
    """The contact sheet of all frames of a movie, (H, W, 3) RGB."""
    preview = Preview(total, require_video(path))
    assert sum(1 for _ in preview.watched(frames_of(path))) == total
    return read_sheet(preview)


def read_sheet(preview: Preview) -> NDArray[np.uint8]:
    """The contact sheet, (H, W, 3) RGB."""
    bgr = cv2.imdecode(np.frombuffer(preview.sheet(), np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def colour_at(sheet: NDArray[np.uint8], x: int, y: int) -> tuple[int, ...]:
    """The colour at a pixel, each part rounded to 0 or 255."""
    return tuple(255 if part > 127 else 0 for part in sheet[y, x])


@pytest.fixture
def half_red(ffmpeg: "Ffmpeg", tmp_path: Path) -> Path:
    """24 frames of 320 x 180: the left half red, the right half green."""
    path = tmp_path / "half.mp4"
    halves = "color=red:size=160x180:rate=25[a];color=0x00FF00:size=160x180:rate=25[b];[a][b]hstack"
    ffmpeg("-filter_complex", halves, "-frames:v", "24", "-c:v", "libx264", "-pix_fmt", "yuv420p", path)
    return path


@pytest.mark.parametrize(
    ("total", "chosen"),
    [(0, set()), (1, {0}), (3, {0, 1, 2}), (12, set(range(12))), (24, set(range(1, 24, 2))), (9000, None)],
)
def test_the_frames_are_spread_evenly_whatever_the_length(total: int, chosen: set[int] | None) -> None:
    spread = sorted(evenly_spread(total, 12))
    assert chosen is None or set(spread) == chosen
    assert len(spread) == min(total, 12)
    assert len(set(np.diff(spread))) <= 1


def test_the_sheet_is_four_tiles_by_three_of_frames_wider_than_tall(half_red: Path) -> None:
    sheet = sheet_of(half_red, 24)
    assert sheet.shape == (3 * 135 + 2 * GAP_PX, 4 * TILE_PX + 3 * GAP_PX, 3)
    for left in range(0, sheet.shape[1], TILE_PX + GAP_PX):
        for top in range(0, sheet.shape[0], 135 + GAP_PX):
            assert colour_at(sheet, left + 60, top + 67) == RED
            assert colour_at(sheet, left + 180, top + 67) == GREEN


def test_the_frames_stand_as_a_player_turns_them(half_red: Path, ffmpeg: "Ffmpeg", tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", "90", "-i", half_red, "-c", "copy", turned)  # counter-clockwise: the left goes down
    sheet = sheet_of(turned, 24)
    assert sheet.shape == (2 * TILE_PX + GAP_PX, 6 * 135 + 5 * GAP_PX, 3)
    assert colour_at(sheet, 67, 60) == GREEN
    assert colour_at(sheet, 67, 180) == RED


@pytest.mark.parametrize(("aspect", "tile"), [("2", (240, 68)), ("1/2", (120, 135)), ("16/11", (240, 93))])
def test_the_frames_are_as_wide_as_their_samples_say(
    half_red: Path, ffmpeg: "Ffmpeg", tmp_path: Path, aspect: str, tile: tuple[int, int]
) -> None:
    stretched = tmp_path / "stretched.mp4"
    ffmpeg("-i", half_red, "-vf", f"setsar={aspect}", "-frames:v", "1", stretched)
    assert require_video(stretched).sample_aspect_ratio == Fraction(aspect)
    assert sheet_of(stretched, 1).shape == (tile[1], tile[0], 3)


def test_ten_bit_frames_have_their_colours(ffmpeg: "Ffmpeg", half_red: Path, tmp_path: Path) -> None:
    deep = tmp_path / "deep.mp4"
    ffmpeg("-i", half_red, "-frames:v", "2", "-c:v", "libx264", "-pix_fmt", "yuv422p10le", deep)
    sheet = sheet_of(deep, 2)
    assert (colour_at(sheet, 60, 67), colour_at(sheet, 180, 67)) == (RED, GREEN)


@pytest.mark.parametrize(("transfer", "name"), [("arib-std-b67", "HLG"), ("smpte2084", "PQ")])
def test_frames_in_hdr_have_the_colours_of_the_standard_output(
    transfer: str, name: str, face_clip: Path, ffmpeg: "Ffmpeg", tmp_path: Path
) -> None:
    source = tmp_path / "phone.mp4"
    tags = f"setparams=color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc:range=tv"
    ffmpeg("-i", face_clip, "-frames:v", "1", "-vf", f"format=yuv420p10le,{tags}", "-c:v", "libx265", source)
    info = require_video(source)
    [frame] = frames_of(source)
    preview = Preview(1, info)
    pts = frame.picture.pts
    before = frame.picture.to_ndarray()
    preview.consider(0, frame.picture)
    assert frame.picture.pts == pts and np.array_equal(frame.picture.to_ndarray(), before)
    plan = delivery(info, JobOptions())
    assert f"{name} tone-mapped to BT.709" in plan.changes
    wanted = DeliveredPictures(plan).convert(frame.picture).to_ndarray(format="rgb24")
    assert np.abs(blocks(read_sheet(preview)) - blocks(wanted)).mean() < 2.5
    assert np.abs(blocks(thumbnail(frame.picture, TILE_PX)[0]) - blocks(wanted)).mean() > 15  # not decoded


def blocks(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(15, 20, 3) mean colours: JPEG blurs the colours of what is smaller."""
    return cv2.resize(rgb, (20, 15), interpolation=cv2.INTER_AREA).astype(np.float64)


def test_the_sheet_is_small_even_of_noise(ffmpeg: "Ffmpeg", tmp_path: Path) -> None:
    noise = tmp_path / "noise.mp4"
    source = "color=gray:size=240x240:rate=25,noise=alls=100:allf=t"
    ffmpeg("-f", "lavfi", "-i", source, "-frames:v", "12", "-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv420p", noise)
    preview = Preview(12, require_video(noise))
    for frame in frames_of(noise):
        preview.consider(frame.index, frame.picture)
    assert 20_000 < len(preview.sheet()) <= MAX_SHEET_BYTES


def test_the_sheet_is_empty_when_no_frame_was_seen(half_red: Path) -> None:
    assert Preview(24, require_video(half_red)).sheet() == b""


def test_looking_at_the_frames_changes_none_and_makes_twelve_small(
    make_video: "MakeVideo", monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(frames=30, size="1280x720")
    shapes: list[tuple[int, ...]] = []

    def counted(picture: av.VideoFrame, max_px: int) -> tuple[NDArray[np.uint8], float]:
        small, scale = thumbnail(picture, max_px)
        shapes.append(small.shape)
        return small, scale

    monkeypatch.setattr("tasks.preview.thumbnail", counted)
    preview = Preview(30, require_video(path))
    for frame in frames_of(path):
        before = frame.picture.to_ndarray()
        preview.consider(frame.index, frame.picture)
        assert np.array_equal(frame.picture.to_ndarray(), before)
    assert shapes == [(135, 240, 3)] * 12
