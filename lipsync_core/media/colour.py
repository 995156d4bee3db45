"""The matrices between a picture's YUV code values and 8-bit RGB.

Luma weights: ITU-R BT.601-7 (and SMPTE 170M), BT.709-6, BT.2020-2 (non-constant luminance), SMPTE 240M, FCC.
Code ranges: BT.2100-2 table 9: limited 16..235 and 16..240 at 8 bits, scaled by 2^(depth - 8); full 0..2^depth - 1.
Matrix and range numbers are those of ITU-T H.273, which FFmpeg uses.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import av
import numpy as np
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

BT709 = 1
YCGCO = 8
BT601 = 6  # SMPTE 170M; 5 (BT.470 BG) has the same weights
#: Of both sides of a conversion that leaves the matrix as it is: swscale refuses those that it cannot convert (YCgCo).
ANY_MATRIX = Colorspace.ITU601
LIMITED = 1
FULL = 2
_HD_HEIGHT_PX = 720  # an untagged picture of at least this height is taken for BT.709, as players do
PQ, HLG = 16, 18  # transfer characteristics
#: Those of HDR by their names.
HDR_NAMES: Mapping[int, str] = MappingProxyType({PQ: "PQ", HLG: "HLG"})
_UNTAGGED = frozenset({0, 2, 3})
_LUMA_WEIGHTS = {  # matrix number: (red, blue)
    BT709: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    BT601: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
#: ITU-T H.273, 8.3, equations 60 to 62: Y, Cg, Co.
_YCGCO_0_1 = np.array([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0, -0.5]])


def matrix_number(tagged: int, height_px: int) -> int:
    """The matrix to use for a picture tagged `tagged`: the tagged one if it is known, else chosen by the height."""
    if (tagged in _LUMA_WEIGHTS or tagged == YCGCO) and tagged not in _UNTAGGED:
        return tagged
    return BT709 if height_px >= _HD_HEIGHT_PX else BT601


def matrix_to_rgb(picture: av.VideoFrame, depth: int) -> NDArray[np.float32]:
    """(3, 4) float32: YUV code values of `depth` bits and 1, to 8-bit RGB."""
    return _to_rgb(matrix_number(int(picture.colorspace), picture.height), int(picture.color_range) == FULL, depth)


def matrix_to_yuv(picture: av.VideoFrame, depth: int) -> NDArray[np.float32]:
    """(3, 3) float32: a change of 8-bit RGB to the change of the YUV code values of `depth` bits."""
    return _to_yuv(matrix_number(int(picture.colorspace), picture.height), int(picture.color_range) == FULL, depth)


@lru_cache(maxsize=32)
def _to_rgb(matrix: int, is_full: bool, depth: int) -> NDArray[np.float32]:
    linear = np.linalg.inv(_rgb_to_yuv(matrix, is_full, depth))  # (3, 3)
    black = 0 if is_full else 16 << (depth - 8)
    zero = np.array([black, 1 << (depth - 1), 1 << (depth - 1)], np.float64)
    return np.hstack([linear, -(linear @ zero)[:, None]]).astype(np.float32)


@lru_cache(maxsize=32)
def _to_yuv(matrix: int, is_full: bool, depth: int) -> NDArray[np.float32]:
    return _rgb_to_yuv(matrix, is_full, depth).astype(np.float32)


def _rgb_to_yuv(matrix: int, is_full: bool, depth: int) -> NDArray[np.float64]:
    """(3, 3): 8-bit RGB to code values, offsets left out."""
    top = (1 << depth) - 1
    spans = (top, top, top) if is_full else tuple(span << (depth - 8) for span in (219, 224, 224))
    matrix_0_1 = _YCGCO_0_1 if matrix == YCGCO else _from_weights(*_LUMA_WEIGHTS[matrix])
    return np.asarray(matrix_0_1 * np.array(spans, np.float64)[:, None] / 255, np.float64)


def _from_weights(red: float, blue: float) -> NDArray[np.float64]:
    """(3, 3): RGB 0..1 to luma 0..1 and chroma -0.5..0.5."""
    weights = np.array([red, 1 - red - blue, blue])
    chroma_blue = (np.array([0, 0, 1]) - weights) / (2 * (1 - blue))
    chroma_red = (np.array([1, 0, 0]) - weights) / (2 * (1 - red))
    return np.stack([weights, chroma_blue, chroma_red])
