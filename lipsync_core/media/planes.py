"""Reading and editing regions of planar YUV pictures in place, without a whole RGB frame.

An edit is added to the planes as a difference, so unedited samples keep their exact code values, their noise
and their tenth bit. A chroma sample covers one, two or four luma samples and is written only if all of them
are edited: outside a mask no code value changes.
"""

from dataclasses import dataclass
from typing import TypeVar, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.media.colour import matrix_to_rgb, matrix_to_yuv

Samples = NDArray[np.uint8] | NDArray[np.uint16]
_Plane = TypeVar("_Plane", NDArray[np.uint8], NDArray[np.uint16], NDArray[np.int16], Samples)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels, half-open: x0 <= x < x1, y0 <= y < y1."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.y1 - self.y0

    @property
    def is_empty(self) -> bool:
        """The box holds no pixel."""
        return self.width <= 0 or self.height <= 0

    def clipped(self, width: int, height: int) -> "Box":
        """The part inside a picture of `width` x `height`; an empty box if there is none."""
        x0, y0 = min(max(self.x0, 0), width), min(max(self.y0, 0), height)
        return Box(x0, y0, max(x0, min(self.x1, width)), max(y0, min(self.y1, height)))

    def even(self) -> "Box":
        """The smallest box with even corners that holds this one."""
        return self.grown_to(2, 2)

    def grown_to(self, step_x: int, step_y: int) -> "Box":
        """The smallest box that holds this one and whose corners are multiples of the steps."""
        return Box(
            self.x0 // step_x * step_x,
            self.y0 // step_y * step_y,
            -(-self.x1 // step_x) * step_x,
            -(-self.y1 // step_y) * step_y,
        )


@dataclass(frozen=True, slots=True, eq=False)
class YuvPlanes:
    """Views of the three planes of a picture; writing to them writes to the picture."""

    luma: Samples  # (H, W) uint8 or uint16
    blue: Samples  # (H / step_y, W / step_x), chroma Cb
    red: Samples  # (H / step_y, W / step_x), chroma Cr
    step_x: int  # luma samples per chroma sample, across: 1 or 2
    step_y: int  # and down: 1 or 2
    depth: int  # bits a sample: 8 or 10

    def cut(self, box: Box) -> "YuvPlanes":
        """The planes of `box`, whose corners are multiples of the steps."""
        rows = slice(box.y0 // self.step_y, box.y1 // self.step_y)
        columns = slice(box.x0 // self.step_x, box.x1 // self.step_x)
        return YuvPlanes(
            self.luma[box.y0 : box.y1, box.x0 : box.x1],
            self.blue[rows, columns],
            self.red[rows, columns],
            self.step_x,
            self.step_y,
            self.depth,
        )


def planes_of(picture: av.VideoFrame) -> YuvPlanes:
    """Views of the planes of a picture in a working format; call `picture.make_writable()` before writing.

    Raises:
        ValueError: the picture is not planar YUV of 8 or 10 bits.
    """
    pix_fmt = picture.format
    if not (pix_fmt.is_planar and len(picture.planes) == 3) or pix_fmt.is_rgb or pix_fmt.is_big_endian:
        raise ValueError(f"{pix_fmt.name} is not a working format")
    luma, blue, red = (plane_samples(picture, index) for index in range(3))
    step_x, step_y = round(luma.shape[1] / blue.shape[1]), round(luma.shape[0] / blue.shape[0])
    return YuvPlanes(luma, blue, red, step_x, step_y, pix_fmt.components[0].bits)


def plane_samples(picture: av.VideoFrame, index: int) -> Samples:
    """(h, w) view of plane `index`, uint8 or uint16, without the padding at the end of its rows."""
    plane = picture.planes[index]
    dtype = np.uint16 if picture.format.components[0].bits > 8 else np.uint8
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height]
    return cast(Samples, rows.view(dtype)[:, : plane.width])


def read_region(picture: av.VideoFrame, box: Box) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 RGB: the pixels of `box`, which lies inside the picture.

    Raises:
        ValueError: the box is empty or leaves the picture, or the picture has no working format.
    """
    planes = planes_of(picture)
    _check_inside(box, picture)
    outer = box.grown_to(planes.step_x, planes.step_y).clipped(picture.width, picture.height)
    rgb = _to_rgb(planes.cut(outer), matrix_to_rgb(picture, planes.depth))
    inner = rgb[box.y0 - outer.y0 :, box.x0 - outer.x0 :][: box.height, : box.width]
    return np.ascontiguousarray(inner)


def write_region(
    picture: av.VideoFrame,
    box: Box,
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    mask: NDArray[np.float32],
) -> None:
    """Edit the planes of `picture` in place by the change from `before` to `after`, where `mask` > 0 only.

    `before` and `after` are (h, w, 3) uint8 RGB and `mask` (h, w), of the size of `box`. The mask selects pixels and
    does not weigh them: `after` already holds soft edges.

    Raises:
        ValueError: shapes differ from the box, the box leaves the picture, or no working format.
    """
    _check_inside(box, picture)
    if before.shape != (box.height, box.width, 3) or after.shape != before.shape or mask.shape != before.shape[:2]:
        raise ValueError(f"box {box} with before {before.shape}, after {after.shape}, mask {mask.shape}")
    picture.make_writable()
    planes = planes_of(picture)
    outer = box.grown_to(planes.step_x, planes.step_y).clipped(picture.width, picture.height)
    edges = (box.y0 - outer.y0, outer.y1 - box.y1, box.x0 - outer.x0, outer.x1 - box.x1)
    change = cast(NDArray[np.int16], cv2.subtract(after, before, dtype=cv2.CV_16S))  # (h, w, 3)
    chosen = np.where(mask > 0, np.uint8(255), np.uint8(0))  # (h, w), 255 where edited
    if any(edges):
        change = cast(NDArray[np.int16], cv2.copyMakeBorder(change, *edges, cv2.BORDER_CONSTANT, value=0))
        chosen = cast(NDArray[np.uint8], cv2.copyMakeBorder(chosen, *edges, cv2.BORDER_CONSTANT, value=0))
    _add_change(planes.cut(outer), change, chosen, matrix_to_yuv(picture, planes.depth))


def thumbnail(picture: av.VideoFrame, max_px: int) -> tuple[NDArray[np.uint8], float]:
    """A small (h, w, 3) uint8 RGB copy whose longer side is at most `max_px`, and its size over the picture's.

    Raises:
        ValueError: the picture has no working format.
    """
    planes = planes_of(picture)
    scale = min(1.0, max_px / max(picture.width, picture.height))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    luma, blue, red = (_resized(plane, size) for plane in (planes.luma, planes.blue, planes.red))
    small = YuvPlanes(luma, blue, red, 1, 1, planes.depth)
    return _to_rgb(small, matrix_to_rgb(picture, planes.depth)), scale


def _check_inside(box: Box, picture: av.VideoFrame) -> None:
    if box.is_empty or box.clipped(picture.width, picture.height) != box:
        raise ValueError(f"{box} is empty or leaves the {picture.width}x{picture.height} picture")


def _resized(plane: _Plane, size: tuple[int, int]) -> _Plane:
    """`plane` at `size` (width, height): averaged when it shrinks, linear when it grows."""
    if (plane.shape[1], plane.shape[0]) == size:
        return plane
    method = cv2.INTER_AREA if plane.shape[1] >= size[0] else cv2.INTER_LINEAR
    return cast(_Plane, cv2.resize(plane, size, interpolation=method))


def _to_rgb(planes: YuvPlanes, matrix: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 RGB of planes whose luma is (h, w); `matrix` is (3, 4)."""
    size = (planes.luma.shape[1], planes.luma.shape[0])
    yuv = cv2.merge((planes.luma, _resized(planes.blue, size), _resized(planes.red, size)))
    rgb = cv2.transform(yuv, matrix)  # saturates at the ends of its own type
    if planes.depth == 8:
        return cast(NDArray[np.uint8], rgb)
    return np.minimum(rgb, 255).astype(np.uint8)


def _add_change(
    planes: YuvPlanes, change: NDArray[np.int16], chosen: NDArray[np.uint8], matrix: NDArray[np.float32]
) -> None:
    """Add the RGB `change` (h, w, 3) to the planes where `chosen` (h, w) is 255; `matrix` is (3, 3)."""
    luma, blue, red = (cast(NDArray[np.int16], part) for part in cv2.split(cv2.transform(change, matrix)))  # (h, w)
    size = (planes.blue.shape[1], planes.blue.shape[0])
    _add(planes.luma, luma, chosen, planes.depth)
    chosen = _resized(chosen, size)  # 255 only where all luma samples are chosen: the mean of 255 and 0 is less
    _add(planes.blue, _resized(blue, size), chosen, planes.depth)
    _add(planes.red, _resized(red, size), chosen, planes.depth)


def _add(samples: Samples, change: NDArray[np.int16], chosen: NDArray[np.uint8], depth: int) -> None:
    """`samples` += `change` where `chosen` is 255, saturating at the ends of the code range."""
    edited = cv2.add(samples, change, dtype=cv2.CV_8U if depth == 8 else cv2.CV_16U)
    if depth > 8:
        edited = np.minimum(edited, (1 << depth) - 1)
    np.copyto(samples, edited, where=chosen == 255)
