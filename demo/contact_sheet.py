"""A contact sheet: frames of the source above the same frames of the result.

python demo/contact_sheet.py SOURCE.mp4 RESULT.mp4 SHEET.jpg [--first N --step N --count N]
"""

import argparse
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

_TILE_PX = 220  # side of one tile
_COLUMNS = 6


def tiles(movie: Path, indexes: list[int], crop: tuple[float, float, float]) -> list[NDArray[np.uint8]]:
    """Square (220, 220, 3) BGR tiles of the frames `indexes`.

    `crop` is left, top and side of the square to show, as shares of the height.
    """
    found = []
    with av.open(str(movie)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index > indexes[-1]:
                break
            if index in indexes:
                picture = frame.to_ndarray(format="bgr24")
                left, top, side = (round(share * frame.height) for share in crop)
                cut = picture[top : top + side, left : left + side]
                found.append(cv2.resize(cut, (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_AREA))
    return found


def contact_sheet(
    source: Path, result: Path, indexes: list[int], crop: tuple[float, float, float]
) -> NDArray[np.uint8]:
    """Rows of six: the source's frames, then the result's."""
    rows = []
    for movie in (source, result):
        row = tiles(movie, indexes, crop)
        rows += [np.hstack(row[at : at + _COLUMNS]) for at in range(0, len(row), _COLUMNS)]
    return np.vstack(rows)


def main() -> None:
    """Read the command line and write the sheet."""
    parser = argparse.ArgumentParser(description="Frames of a source above the same frames of its result.")
    parser.add_argument("source", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--crop", type=float, nargs=3, default=(0.0, 0.0, 1.0), metavar=("LEFT", "TOP", "SIDE"))
    options = parser.parse_args()
    indexes = list(range(options.first, options.first + options.count * options.step, options.step))
    sheet = contact_sheet(options.source, options.result, indexes, tuple(options.crop))
    cv2.imwrite(str(options.sheet), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
