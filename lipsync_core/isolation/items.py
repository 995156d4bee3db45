"""How what a function yields crosses: frames through shared memory, sound as samples, all else as typed values."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, get_args

import av
import numpy as np

from lipsync_core.isolation.pictures import SharedPictures
from lipsync_core.isolation.wire import BrokenWireError, packed, returned_by, unpacked
from lipsync_core.media.source_frame import SourceFrame

_MOST_ON_THEIR_WAY = 4
_MOST_CHANNELS = 64
#: Of each packed or planar sample format of FFmpeg.
_SAMPLE_TYPES = {
    "u8": np.uint8,
    "s16": np.int16,
    "s32": np.int32,
    "s64": np.int64,
    "flt": np.float32,
    "dbl": np.float64,
}


class Items(ABC):
    """Packs the items of one stream on the reader's side, and unpacks them on the other."""

    def __init__(self, take: Callable[[int], None] | None = None) -> None:
        self._take = take or (lambda _: None)
        self._on_their_way = 0

    @property
    def has_room(self) -> bool:
        """Whether one more item may be sent."""
        return self._on_their_way < _MOST_ON_THEIR_WAY

    def make_room(self, taken: bytes) -> None:
        """Each byte says that an item was taken."""
        self._on_their_way -= len(taken)

    @property
    def untaken(self) -> int:
        """How many bytes are still to come that make room."""
        return self._on_their_way

    @abstractmethod
    def pack(self, item: Any) -> bytes:
        """One item as it crosses."""

    @abstractmethod
    def unpack(self, data: bytes) -> Any:
        """The item again.

        Raises:
            BrokenWireError: no reader packs such an item.
        """


def has_pictures(function: Callable[..., Any]) -> bool:
    """Whether `function` yields frames, for which memory has to be made."""
    return _item_of(function) is SourceFrame


def items_of(
    function: Callable[..., Any], memory: SharedPictures | None, take: Callable[[int], None] | None = None
) -> Items:
    """The items that `function` yields, by its own annotation; `memory` is that of its frames.

    Their asker has `take` called with a number below 256 for each that it has taken, or freed.
    """
    kind = _item_of(function)
    if memory is not None:
        return _Frames(memory, take)
    return _Sound(take) if kind is av.AudioFrame else _Values(kind, take)


def _item_of(function: Callable[..., Any]) -> Any:
    (kind,) = get_args(returned_by(function))
    return kind


class _Frames(Items):
    """A byte that makes room is the number of a slot."""

    def __init__(self, memory: SharedPictures, take: Callable[[int], None] | None) -> None:
        super().__init__(take)
        self._memory = memory
        memory.release = self._take

    @property
    def has_room(self) -> bool:
        return self._memory.has_room

    def make_room(self, taken: bytes) -> None:
        self._memory.free.extend(taken)

    def pack(self, item: SourceFrame) -> bytes:
        return self._memory.pack(item)

    def unpack(self, data: bytes) -> SourceFrame:
        return self._memory.unpack(data)


class _Counted(Items):
    def pack(self, item: Any) -> bytes:
        self._on_their_way += 1
        return self._packed(item)

    def unpack(self, data: bytes) -> Any:
        item = self._unpacked(data)
        self._take(0)
        return item

    @abstractmethod
    def _packed(self, item: Any) -> bytes: ...

    @abstractmethod
    def _unpacked(self, data: bytes) -> Any: ...


class _Values(_Counted):
    def __init__(self, kind: Any, take: Callable[[int], None] | None) -> None:
        super().__init__(take)
        self._kind = kind

    def _packed(self, item: Any) -> bytes:
        return packed(item)

    def _unpacked(self, data: bytes) -> Any:
        return unpacked(data, self._kind)


@dataclass(frozen=True, slots=True)
class _SoundBlock:
    sample_format: str
    layout: str
    rate_hz: int
    pts: int | None
    time_base: Fraction | None
    samples: bytes


class _Sound(_Counted):
    def _packed(self, item: av.AudioFrame) -> bytes:
        samples = np.ascontiguousarray(item.to_ndarray()).tobytes()
        layout = item.layout.name
        return packed(_SoundBlock(item.format.name, layout, item.sample_rate, item.pts, item.time_base, samples))

    def _unpacked(self, data: bytes) -> av.AudioFrame:
        block: _SoundBlock = unpacked(data, _SoundBlock)
        try:
            dtype = _SAMPLE_TYPES[block.sample_format.removesuffix("p")]
            channels = av.AudioLayout(block.layout).nb_channels
            if not 0 < channels <= _MOST_CHANNELS or block.rate_hz <= 0:
                raise ValueError(block.layout)
            rows = channels if block.sample_format.endswith("p") else 1
            samples = np.frombuffer(block.samples, dtype).reshape(rows, -1)
            if samples.shape[1] % (channels // rows):
                raise ValueError("a part of a sample")
            frame = av.AudioFrame.from_ndarray(samples, format=block.sample_format, layout=block.layout)
        except (KeyError, ValueError) as exc:
            raise BrokenWireError("sound that no reader gives") from exc
        frame.sample_rate, frame.pts = block.rate_hz, block.pts
        if block.time_base is not None:
            frame.time_base = block.time_base
        return frame
