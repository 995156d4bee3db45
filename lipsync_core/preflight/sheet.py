"""The contact sheet of the preflight: some of the frames that it looked at, with a box and a number for each face."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.errors import OutputError
from lipsync_core.face.survey import SeenFaces, displayed
from lipsync_core.media.jpeg import jpeg_within

_COLUMNS, _ROWS = 4, 3
_FOLLOWED, _OTHER = (64, 224, 64), (255, 176, 32)  # RGB
_PAPER, _INK = 24, (255, 255, 255)
_CAPTION_PX = 18
_MARGIN_PX = 4
_TAB_PX = 24  # holds a digit of the number: pages show the sheet at half its size
_NUMBER_SIZE, _CAPTION_SIZE = 0.8, 0.45
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One frame for the sheet."""

    time_s: Fraction
    label: str
    pixels: NDArray[np.uint8]  # (h, w, 3) RGB, of the coded picture, reduced
    scale: float  # by which it is reduced
    seen: SeenFaces

    def drawn(self) -> NDArray[np.uint8]:
        """(h, w, 3) RGB: the frame as it is displayed, a box around each face, and a caption."""
        upright = np.ascontiguousarray(np.rot90(self.pixels, self.seen.quarters))
        height, width = self.pixels.shape[:2]
        for number, mesh in enumerate(self.seen.meshes):
            x0, y0, x1, y1 = displayed(mesh.box * np.float32(self.scale), self.seen.quarters, (height, width)).tolist()
            colour = _FOLLOWED if number == self.seen.chosen else _OTHER
            cv2.rectangle(upright, (round(x0), round(y0)), (round(x1), round(y1)), colour, 2)
            left, top = _tab_place(x0, y0, y1, upright.shape[0])
            width_px = _TAB_PX * len(str(number))
            cv2.rectangle(upright, (left, top), (left + width_px, top + _TAB_PX), colour, cv2.FILLED)
            _write(upright, str(number), (left + 4, top + _TAB_PX - 5), _INK, _NUMBER_SIZE)
        captioned = np.full((upright.shape[0] + _CAPTION_PX, upright.shape[1], 3), _PAPER, np.uint8)
        captioned[: upright.shape[0]] = upright
        _write(captioned, f"{float(self.time_s):.1f} s {self.label}", (3, captioned.shape[0] - 5), _INK)
        return captioned


@dataclass(slots=True)
class ContactSheet:
    """Gathers tiles, 40 of 320 pixels or so, and draws twelve of them."""

    _tiles: list[Tile] = field(default_factory=list)

    def add(self, tile: Tile) -> None:
        """Take one more frame."""
        self._tiles.append(tile)

    def drawn(self) -> NDArray[np.uint8]:
        """(H, W, 3) RGB: tiles in order, spread over the video, with one of each label at least."""
        tiles = [tile.drawn() for tile in _chosen(self._tiles)]
        if not tiles:
            return np.full((_CAPTION_PX, _CAPTION_PX, 3), _PAPER, np.uint8)
        height, width = (max(tile.shape[side] for tile in tiles) + _MARGIN_PX for side in (0, 1))
        columns = min(_COLUMNS, len(tiles))
        sheet = np.full((-(-len(tiles) // columns) * height, columns * width, 3), _PAPER, np.uint8)
        for at, tile in enumerate(tiles):
            top, left = at // columns * height, at % columns * width
            sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        return sheet

    def encoded(self, suffix: str) -> bytes:
        """The sheet as the bytes of a JPEG file for `.jpg` and `.jpeg`, of a PNG file for all else."""
        kind = ".jpg" if suffix.lower() in (".jpg", ".jpeg") else ".png"
        is_done, data = cv2.imencode(kind, cv2.cvtColor(self.drawn(), cv2.COLOR_RGB2BGR))
        if not is_done:
            raise OutputError(f"the contact sheet cannot be made into a {kind} file")
        return data.tobytes()

    def jpeg(self, most_bytes: int) -> bytes:
        """The sheet as a JPEG file of at most `most_bytes`."""
        return jpeg_within(self.drawn(), most_bytes)

    def write(self, path: Path) -> None:
        """Write the sheet to `path` as its ending says, whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        part = path.with_name(f"{path.name}.partial")
        try:
            part.write_bytes(self.encoded(path.suffix))
            part.replace(path)
        except OSError as exc:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise OutputError(f"{path} cannot be written: {exc.strerror}", "choose another --sheet") from exc


def _chosen(tiles: Sequence[Tile]) -> list[Tile]:
    """At most twelve: the first of each label, and of the others as many as fit, evenly spread."""
    most = _COLUMNS * _ROWS
    if len(tiles) <= most:
        return list(tiles)
    firsts = {tile.label: at for at, tile in reversed(list(enumerate(tiles)))}
    chosen = set(firsts.values())
    for at in _spread(len(tiles), most):
        if len(chosen) < most:
            chosen.add(at)
    return [tiles[at] for at in sorted(chosen)]


def _spread(count: int, most: int) -> Iterator[int]:
    """`most` places among `count`, the middle ones of equal parts, then all others."""
    yield from ((2 * at + 1) * count // (2 * most) for at in range(most))
    yield from range(count)


def _tab_place(x0: float, y0: float, y1: float, height_px: int) -> tuple[int, int]:
    """Left and top of the number: above or below the box, so that a small face is seen; in it where neither fits."""
    above, below = round(y0) - _TAB_PX - 1, round(y1) + 2
    if above >= 0:
        return max(0, round(x0)), above
    return max(0, round(x0)), below if below + _TAB_PX <= height_px else max(0, round(y0))


def _write(
    pixels: NDArray[np.uint8], text: str, at: tuple[int, int], colour: tuple[int, int, int], size: float = _CAPTION_SIZE
) -> None:
    cv2.putText(pixels, text, at, _FONT, size, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(pixels, text, at, _FONT, size, colour, 1, cv2.LINE_AA)
