"""The places where a file was joined of several, byte by byte, as transport streams and video discs are.

Its clock jumps there, for picture and sound alike. So the jump is mended for both at once: the one that went on longer
goes on where it ended, and the other keeps its distance. FFmpeg's command line looks for jumps in the same way.
"""

from __future__ import annotations  # av.Packet takes its type argument in annotations only

from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer

from lipsync_core.apart import read_apart
from lipsync_core.media.opening import open_media

#: A longer step forward is a jump, and so is a step back that is longer than the other, as for FFmpeg.
JUMP_S = Fraction(10)
_BACK_S = Fraction(1, 10)
_RATE_HZ = 90_000  # of the clock of these formats (ISO/IEC 13818-1, 2.4.2)
_JUMP, _BACK = int(JUMP_S * _RATE_HZ), int(_BACK_S * _RATE_HZ)
_APART = _RATE_HZ  # picture and sound of one part begin within a second
_OVERLAP = _RATE_HZ // 500  # of times, that shows a stream's new part already; smaller ones are of rounding
#: FFmpeg's names of the formats that may be joined byte by byte.
JOINABLE = frozenset({"mpegts", "mpeg"})
_MOST_PACKETS = 2_000_000  # some eight hours; joins behind them are not looked for
_NEAR = 2000  # packets around a jump in which the other stream's is looked for


@dataclass(frozen=True, slots=True)
class Join:
    """From byte `position` on, `shift_s` is added to the times of the file."""

    position: int
    shift_s: Fraction


@dataclass(frozen=True, slots=True)
class Packets:
    """Those of a file in its order, a number for each: times and ends in units of 1/90,000 s."""

    positions: array[int] = field(default_factory=partial(array, "q"))
    streams: array[int] = field(default_factory=partial(array, "q"))
    times: array[int] = field(default_factory=partial(array, "q"))  # of decoding
    ends: array[int] = field(default_factory=partial(array, "q"))  # when the next of its stream should be

    def __len__(self) -> int:
        return len(self.times)

    def sorted(self) -> Packets:
        """The same by their positions, those of one position as they are."""
        order = np.argsort(np.array(self.positions, np.int64), kind="stable")
        columns = (self.positions, self.streams, self.times, self.ends)
        return Packets(*(array("q", np.array(each, np.int64)[order].tobytes()) for each in columns))


class Clock:
    """Gives the packets of a file with `joins` their times on one clock."""

    def __init__(self, joins: Sequence[Join]) -> None:
        self._joins = joins
        self._positions = [join.position for join in joins]
        self._last: dict[int, int] = {}  # stream -> the position of its last packet that has one

    @property
    def jumps(self) -> bool:
        """Whether the file's own times are of several clocks."""
        return bool(self._joins)

    def mend(self, packet: av.Packet[Any]) -> None:
        """Move the times of `packet`; call it for each one of a stream, in the file's order."""
        if not self._joins:
            return
        number = bisect_right(self._positions, _position(packet, self._last))
        if not number or not packet.time_base:
            return
        shift = round(self._joins[number - 1].shift_s / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + shift
        packet.dts = None if packet.dts is None else packet.dts + shift


def clock_of(path: Path, container: InputContainer) -> Clock:
    """The clock of the open file at `path`, which is read once for it if its format may be joined.

    Raises:
        InputError: as `probe.probe`.
    """
    if container.format.name not in JOINABLE:
        return Clock(())
    status = path.stat()
    return Clock(_found_joins(path, (status.st_size, status.st_mtime_ns)))


@lru_cache(maxsize=16)
def _found_joins(path: Path, _version: tuple[int, int]) -> tuple[Join, ...]:
    return tuple(look_for_joins(path))


@read_apart
def look_for_joins(path: Path) -> list[Join]:
    """The joins of a file whose format may be joined, in its order."""
    with open_media(path) as container:
        return joins_in(_packets_of(container))


def joins_in(packets: Packets) -> list[Join]:
    """The joins among the packets of a file."""
    joins: list[Join] = []
    expected: dict[int, int] = {}  # stream -> the time of its next packet, on the mended clock
    before: list[int | None] = []  # of each packet, what was expected of its stream
    shift, at, settled = 0, 0, 0
    while at < len(packets):
        stream = packets.streams[at]
        due = expected.get(stream)
        if at >= settled and due is not None and not -_BACK <= packets.times[at] + shift - due <= _JUMP:
            first = _first_of_part(packets, before, shift, max(settled, at - _NEAR), at)
            for number in range(at - 1, first - 1, -1):
                _restore(expected, packets.streams[number], before[number])
            del before[first:]
            shift, settled = _shift(packets, expected, first, at), at + 1
            joins.append(Join(packets.positions[first], Fraction(shift, _RATE_HZ)))
            at = first
            continue
        before.append(due)
        expected[stream] = packets.ends[at] + shift
        at += 1
    return joins


def _first_of_part(packets: Packets, before: Sequence[int | None], shift: int, start: int, at: int) -> int:
    """The first packet of the part to which packet `at` belongs: its own, or one of the other stream shortly before.

    That one's time falls back, too, by however little; and it lies behind the last packet of the stream of `at`.
    """
    first = at
    for number in range(at - 1, start - 1, -1):
        due = before[number]
        if packets.streams[number] == packets.streams[at]:
            break
        if due is not None and packets.times[number] + shift < due - _OVERLAP:
            first = number
    return first


def _shift(packets: Packets, expected: Mapping[int, int], first: int, at: int) -> int:
    """What to add to the times of a part, so that the stream that went on longest goes on where it ended."""
    needed: dict[int, int] = {}
    for number in range(first, min(len(packets), at + _NEAR)):
        stream = packets.streams[number]
        if stream in expected and stream not in needed:
            needed[stream] = expected[stream] - packets.times[number]
    own = needed[packets.streams[at]]
    return max(each for each in needed.values() if abs(each - own) <= _APART)


def _restore(expected: dict[int, int], stream: int, due: int | None) -> None:
    if due is None:
        expected.pop(stream, None)
    else:
        expected[stream] = due


def _packets_of(container: InputContainer) -> Packets:
    """The packets in the file's order: FFmpeg gives each as it is complete, those of one stream behind others'."""
    packets, last = Packets(), dict[int, int]()
    streams = [*container.streams.video, *container.streams.audio]
    for packet in islice(container.demux(streams), _MOST_PACKETS) if streams else ():
        position = _position(packet, last)
        if packet.dts is None or not packet.time_base:
            continue
        ticks = packet.time_base * _RATE_HZ
        packets.positions.append(position)
        packets.streams.append(packet.stream_index)
        packets.times.append(int(packet.dts * ticks))
        packets.ends.append(int((packet.dts + (packet.duration or 0)) * ticks))
    return packets.sorted()


def _position(packet: av.Packet[Any], last: dict[int, int]) -> int:
    """Where `packet` lies; of several that share a unit of the file, the first alone says it."""
    if packet.pos is not None and packet.pos >= 0:
        last[packet.stream_index] = packet.pos
    return last.get(packet.stream_index, 0)
