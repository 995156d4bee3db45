"""A contact sheet of a job's result, gathered from the frames as they go to the encoder."""

from collections.abc import Iterator
from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.media.decode import SourceFrame
from lipsync_core.media.jpeg import jpeg_within
from lipsync_core.media.planes import thumbnail
from lipsync_core.media.probe import VideoInfo
from lipsync_core.media.tone_map import BT709_TAGS, ToneMapper, is_hdr
from lipsync_core.media.working import WorkingPicture, picture_of

MAX_SHEET_BYTES = 60_000
_TILES = 12
_TILE_PX = 240  # longer side of a tile as it is shown
_COLUMNS = 4
_COLUMNS_OF_PORTRAITS = 6  # twelve pictures taller than wide fill two rows, others three
_GAP_PX = 4
_GREY = 24  # of the gaps


class Preview:
    """Keeps small copies of about twelve frames, evenly spread over the result, as a player would show them.

    Frames in HDR are tone-mapped, also where the result keeps it: the sheet is a JPEG.

    It belongs to one pass over the frames and to the thread that encodes them.
    """

    def __init__(self, total_frames: int, info: VideoInfo) -> None:
        self._chosen = evenly_spread(total_frames, _TILES)
        self._sample_aspect_ratio = info.sample_aspect_ratio
        self._quarter_turns = round(info.rotation_deg / 90) % 4  # counter-clockwise
        # (N, h, w, 3) RGB, taken at once: allocated one by one between the frames' own buffers, each small copy would
        # lie in the place of a frame that was freed, and the next frame would take new memory.
        self._tiles: NDArray[np.uint8] | None = None
        self._kept = 0  # of the tiles
        self._tone_mapper: ToneMapper | None = None

    def wants(self, number: int) -> bool:
        """Whether output frame `number` is one of the chosen."""
        return number in self._chosen

    def watched(self, frames: Iterator[SourceFrame]) -> Iterator[SourceFrame]:
        """Yield the output's `frames` in order, keeping small copies of the chosen ones."""
        for number, frame in enumerate(frames):
            self.consider(number, frame.picture)
            yield frame

    def consider(self, number: int, picture: av.VideoFrame) -> None:
        """Keep a small copy of output frame `number` if it is a chosen one."""
        if number in self._chosen:
            tile = self._as_shown(picture)
            if self._tiles is None:
                self._tiles = np.empty((len(self._chosen), *tile.shape), np.uint8)
            self._tiles[self._kept] = tile
            self._kept += 1

    def sheet(self) -> bytes:
        """The kept frames, row by row, as one JPEG of at most `MAX_SHEET_BYTES`; empty when no frame was kept."""
        if self._tiles is None:
            return b""
        tiles = self._tiles[: self._kept]
        height, width = tiles.shape[1:3]
        columns = _COLUMNS if width >= height else _COLUMNS_OF_PORTRAITS
        return jpeg_within(_laid_out(tiles, min(columns, len(tiles))), MAX_SHEET_BYTES)

    def _as_shown(self, picture: av.VideoFrame) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB: `picture` with square pixels, upright, its longer side `_TILE_PX` at most."""
        scale = min(1.0, _TILE_PX / max(picture.width, picture.height))
        small, _ = thumbnail(self._in_standard_range(picture, scale), _TILE_PX)
        stretched = _display_size(picture.width, picture.height, self._sample_aspect_ratio, scale)
        square = cv2.resize(small, stretched, interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(np.rot90(square, self._quarter_turns), np.uint8)

    def _in_standard_range(self, picture: av.VideoFrame, scale: float) -> av.VideoFrame:
        """`picture`, or where it is in HDR a copy of it in BT.709, `scale` times its size."""
        source = picture_of(picture)
        if not is_hdr(source):
            return picture
        if self._tone_mapper is None:
            width_px, height_px = (max(1, round(length * scale)) for length in (picture.width, picture.height))
            self._tone_mapper = ToneMapper(source, WorkingPicture(width_px, height_px, "yuv444p", BT709_TAGS))
        pts = picture.pts
        mapped = self._tone_mapper.convert(picture)
        picture.pts = pts  # it goes on to the encoder
        return mapped


def evenly_spread(total: int, count: int) -> frozenset[int]:
    """`count` numbers below `total`, each in the middle of its share; all of them where there are no more."""
    count = min(count, total)
    return frozenset((2 * at + 1) * total // (2 * count) for at in range(count))


def _display_size(width_px: int, height_px: int, sample_aspect_ratio: Fraction, scale: float) -> tuple[int, int]:
    """(width, height) of a tile of a picture of `width_px` x `height_px` samples, which `scale` made small.

    Samples are never widened beyond the tile: where they are wide the height shrinks instead.
    """
    width, height = width_px * scale * float(sample_aspect_ratio), height_px * scale
    fit = min(1.0, _TILE_PX / max(width, height))
    return max(1, round(width * fit)), max(1, round(height * fit))


def _laid_out(tiles: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: `tiles` (N, h, w, 3) in rows of `columns` with gaps between them."""
    height, width = tiles.shape[1:3]
    rows = -(-len(tiles) // columns)
    size = (rows * (height + _GAP_PX) - _GAP_PX, columns * (width + _GAP_PX) - _GAP_PX, 3)
    sheet = np.full(size, _GREY, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = row * (height + _GAP_PX), column * (width + _GAP_PX)
        sheet[top : top + height, left : left + width] = tile
    return sheet
