"""Frames cross through memory that both sides map: the reader writes their planes, and the other side uses them there.

The memory is made before the reader, large enough for two of the largest pictures, and takes no room until it is
written.
"""

import fcntl
import mmap
import os
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.video.format import VideoFormat
from numpy.typing import NDArray

from lipsync_core.face.rotation import quarter_turns
from lipsync_core.isolation.wire import BrokenWireError, packed, unpacked
from lipsync_core.limit_errors import PixelLimitError
from lipsync_core.media.planes import Samples, plane_samples
from lipsync_core.media.source_frame import Shape, SourceFrame
from lipsync_core.media.working import working_format

_CAPACITY_BYTES = 512 << 20  # 8K in 4:4:4 of 10 bits takes 199 MB
_MOST_SLOTS = 8
_SLOTS_BYTES = 16 << 20  # of more than two slots
_ALIGNMENT = 64
_MAX_SIDE_PX = 1 << 16
_MOST_TAGS = 256  # H.273's code points are bytes


@dataclass(frozen=True, slots=True)
class _Described:
    """A `SourceFrame` whose planes lie in a slot of the memory, one behind the other."""

    index: int
    pts: int
    duration: int
    time_base: Fraction
    turns: int  # quarter turns counterclockwise that make it upright
    width_px: int
    height_px: int
    pix_fmt: str
    colour: tuple[int, int, int, int]  # matrix, range, primaries, transfer
    slot: int
    slot_bytes: int
    other_shape: Shape | None


class SharedPictures:
    """The memory of one stream of frames, as either side uses it: the reader packs frames, and its asker unpacks them.

    Most frames of the asker use the memory itself, until they are freed; then `release` is called with their slot.
    """

    def __init__(self, descriptor: int, release: Callable[[int], None] | None = None) -> None:
        self.descriptor = descriptor
        self.release = release or (lambda _: None)
        self._map = mmap.mmap(descriptor, _CAPACITY_BYTES)
        self._slot_bytes = 0
        self._lent: dict[int, tuple[weakref.ref[NDArray[np.uint8]], int]] = {}  # with their slots
        self._freed: deque[weakref.ref[NDArray[np.uint8]]] = deque()
        self.free: list[int] = []  # slots that the reader may write to

    @classmethod
    def make(cls) -> "SharedPictures":
        """New memory. It cannot shrink, for a process that reads what was cut off ends."""
        descriptor = os.memfd_create("lipsync-pictures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, _CAPACITY_BYTES)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return cls(descriptor)

    @property
    def has_room(self) -> bool:
        """Whether a frame may be packed; how many fit is known from the first one on."""
        return not self._slot_bytes or bool(self.free)

    def close(self) -> None:
        """Let the memory go with the last frame that uses it."""
        self.release = lambda _: None
        os.close(self.descriptor)

    def pack(self, frame: SourceFrame) -> bytes:
        """Write the planes of `frame` into a free slot, and describe it.

        Raises:
            PixelLimitError: the picture is larger than the memory.
        """
        picture = frame.picture
        planes = [plane_samples(picture, at) for at in range(len(picture.planes))]
        if not self._slot_bytes:  # all frames are as large as the first
            self._slot_bytes = _rounded_up(sum(plane.nbytes for plane in planes))
            if self._slot_bytes > _CAPACITY_BYTES:
                raise PixelLimitError(f"a picture of {picture.width}x{picture.height} is too large to be read apart")
            self.free = list(range(_slots(self._slot_bytes)))
        slot = self.free.pop(0)
        for samples, own in zip(planes, self._views(planes, slot * self._slot_bytes), strict=True):
            np.copyto(own, samples)
        tags = (picture.colorspace, picture.color_range, picture.color_primaries, picture.color_trc)
        matrix, code_range, primaries, transfer = map(int, tags)
        return packed(
            _Described(
                frame.index,
                frame.pts,
                frame.duration,
                frame.time_base,
                (quarter_turns(picture) + frame.extra_turns) % 4,
                picture.width,
                picture.height,
                picture.format.name,
                (matrix, code_range, primaries, transfer),
                slot,
                self._slot_bytes,
                frame.converted_from,
            )
        )

    def unpack(self, data: bytes) -> SourceFrame:
        """The frame that `pack` has described.

        Raises:
            BrokenWireError: no reader describes a frame like that.
        """
        described = unpacked(data, _Described)
        _check(described)
        self._take_back()
        picture = self._lend(described) or self._copy(described)
        picture.colorspace, picture.color_range, picture.color_primaries, picture.color_trc = described.colour
        picture.pts, picture.time_base = described.pts, described.time_base
        return SourceFrame(
            described.index,
            described.pts,
            described.duration,
            described.time_base,
            picture,
            described.turns,
            described.other_shape,
        )

    def _lend(self, described: _Described) -> av.VideoFrame | None:
        """The frame in the memory itself; None where PyAV cannot make it, or the reader would be left without room.

        PyAV 18.1 makes such frames in 4:2:0 of 8 bits, and counts their rows wrongly if they are no multiple of four.
        """
        width, height = described.width_px, described.height_px
        is_possible = described.pix_fmt == "yuv420p" and height % 4 == 0 and width % 2 == 0
        if not is_possible or len(self._lent) + 1 >= _slots(described.slot_bytes):
            return None
        start = described.slot * described.slot_bytes
        rows: NDArray[np.uint8] = np.ndarray((height * 3 // 2, width), np.uint8, self._map, start)
        picture = av.VideoFrame.from_numpy_buffer(rows, "yuv420p")
        # Nothing of ours runs as the rows go: what a signal's handler raises there would be lost.
        freed = weakref.ref(rows, self._freed.append)
        self._lent[id(freed)] = (freed, described.slot)
        return picture

    def _take_back(self) -> None:
        """Have the reader use the slots again whose frames have been freed."""
        while self._freed:
            _, slot = self._lent.pop(id(self._freed.popleft()))
            self.release(slot)

    def _copy(self, described: _Described) -> av.VideoFrame:
        picture = av.VideoFrame(described.width_px, described.height_px, described.pix_fmt)
        planes = [plane_samples(picture, at) for at in range(len(picture.planes))]
        views = self._views(planes, described.slot * described.slot_bytes)
        for own, samples in zip(planes, views, strict=True):
            np.copyto(own, samples)
        self.release(described.slot)
        return picture

    def _views(self, planes: list[Samples], start: int) -> list[Samples]:
        """Arrays in the memory like `planes`, one behind the other from byte `start` on."""
        views = []
        for plane in planes:
            views.append(np.ndarray(plane.shape, plane.dtype, self._map, start))
            start += plane.nbytes
        return views


def _slots(slot_bytes: int) -> int:
    """How many slots of that size there are: two at least, so that the reader is ahead, if the memory holds them."""
    return max(1, min(_CAPACITY_BYTES // slot_bytes, max(2, _SLOTS_BYTES // slot_bytes), _MOST_SLOTS))


def _rounded_up(size_bytes: int) -> int:
    return -(-size_bytes // _ALIGNMENT) * _ALIGNMENT


def _check(described: _Described) -> None:
    sides = (described.width_px, described.height_px)
    try:
        is_working = working_format(described.pix_fmt) == described.pix_fmt
        bits = VideoFormat(described.pix_fmt).padded_bits_per_pixel
    except ValueError:
        is_working, bits = False, 0
    is_sized = all(0 < side <= _MAX_SIDE_PX and side % 2 == 0 for side in sides)
    is_tagged = all(0 <= tag < _MOST_TAGS for tag in described.colour)
    if not (is_working and is_sized and is_tagged) or described.time_base <= 0 or described.pts < 0:
        raise BrokenWireError("a frame that no reader gives")
    if described.other_shape is not None:
        _check_other(described.other_shape)
    needed = sides[0] * sides[1] * bits // 8
    start, room = described.slot * described.slot_bytes, described.slot_bytes
    if not (0 < needed <= room and 0 <= described.slot < _MOST_SLOTS and start + room <= _CAPACITY_BYTES):
        raise BrokenWireError("a frame outside of the memory")


def _check_other(shape: Shape) -> None:
    """Its texts are shown."""
    try:
        is_known = bool(VideoFormat(shape.pix_fmt))
    except ValueError:
        is_known = False
    is_known = is_known and 0 <= shape.matrix < _MOST_TAGS and 0 <= shape.transfer < _MOST_TAGS
    if not is_known or not all(0 < side <= _MAX_SIDE_PX for side in shape[:2]):
        raise BrokenWireError("a shape that no picture has")
