"""Concatenation of segments of a movie, which were encoded apart with the same settings, by their packets.

Each segment is a movie without sound whose first picture is a key frame at time 0, with closed groups of pictures. Only
times are written anew: those of display come from the timeline of the whole, those of decoding follow from them.
"""

from __future__ import annotations  # av.Packet takes its type argument in annotations only

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from lipsync_core.errors import OutputError
from lipsync_core.media.encode import MovieStream, set_stream

_HVC1 = "hvc1"


@dataclass(frozen=True, slots=True)
class PictureTimes:
    """When the pictures of the whole movie are shown, in display order."""

    pts: NDArray[np.int64]  # (M,) ascending, in units of time_base
    time_base: Fraction  # seconds
    last_duration: int

    def duration(self, index: int) -> int:
        """How long picture `index` is shown."""
        return int(self.pts[index + 1] - self.pts[index]) if index + 1 < len(self.pts) else self.last_duration


class Concatenation:
    """The pictures' stream of a movie that takes the packets of segments, one segment after the other."""

    def __init__(
        self, container: OutputContainer, first_segment: Path, stream: MovieStream, times: PictureTimes
    ) -> None:
        """The first segment gives the stream's properties; `stream` those that a segment does not carry."""
        with av.open(str(first_segment)) as segment:
            template = segment.streams.video[0]
            self._extradata = template.codec_context.extradata
            self._stream = container.add_stream_from_template(template)
            if template.codec_context.name == "hevc":
                self._stream.codec_context.codec_tag = _HVC1
        set_stream(self._stream, stream)
        self._times = times
        self._taken = 0  # pictures of the segments before, and packets likewise
        self._delay = 0  # pictures by which display lags behind decoding

    def packets(self, path: Path, count: int) -> Iterator[av.Packet[VideoStream]]:
        """The packets of the next segment, which holds `count` pictures.

        Raises:
            OutputError: it holds another number of pictures, or was encoded with other settings.
        """
        with av.open(str(path)) as segment:
            stream = segment.streams.video[0]
            if stream.codec_context.extradata != self._extradata:
                raise OutputError(f"{path} was encoded with other settings than the segments before it")
            found = 0
            for packet in _of(segment, stream):
                if found == count:
                    raise _wrong_count(path, f"more than {count}", count)
                self._set_times(packet, self._taken + found, self._taken)
                packet.stream = self._stream
                found += 1
                yield packet
        if found != count:
            raise _wrong_count(path, str(found), count)
        self._taken += count

    def _set_times(self, packet: av.Packet[VideoStream], number: int, first: int) -> None:
        """Give the packet its times; `number` is its own in decoding order, `first` that of its segment's first one."""
        own = _ticks(packet.pts, packet, self._times.time_base)
        pts = self._times.pts
        shown = int(np.searchsorted(pts, pts[first] + own))
        if shown == len(pts) or pts[shown] != pts[first] + own:
            raise OutputError(f"a segment has a picture at {own}, where the timeline has none")
        if first == 0 and packet.dts is not None and packet.dts < 0:
            self._delay = number + 1
        if number < self._delay:
            decoded = _ticks(packet.dts, packet, self._times.time_base)
        else:  # as an encoder of the whole movie would: it has read so many pictures more than it has shown
            decoded = int(pts[number - self._delay])
        packet.time_base = self._times.time_base
        packet.pts, packet.dts = int(pts[shown]), decoded
        if decoded > pts[shown]:
            raise OutputError(f"a segment is decoded later than it is shown, at {int(pts[shown])}")
        is_last = number == len(pts) - 1  # MP4 stores durations in decoding order: the movie's end
        packet.duration = self._times.last_duration if is_last else self._times.duration(shown)


def _of(segment: InputContainer, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
    return (packet for packet in segment.demux(stream) if packet.size)


def _ticks(time: int | None, packet: av.Packet[VideoStream], time_base: Fraction) -> int:
    ticks = (time or 0) * packet.time_base / time_base
    if ticks.denominator != 1:
        raise OutputError(f"a segment has a picture at {float(ticks)}, between the times of the movie")
    return int(ticks)


def _wrong_count(path: Path, found: str, wanted: int) -> OutputError:
    return OutputError(f"{path} holds {found} pictures, and {wanted} were to be encoded")
