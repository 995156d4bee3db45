"""The frames of a video as its packets list them, and the decoding of some of them alone.

Decoding tells the frames of any file. Packets tell them at a hundredth of the cost, but not of every file: so the
frames of a part are checked against the list, and end where they differ from it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path

from lipsync_core.apart import read_apart, streamed_apart
from lipsync_core.clock import StageClock
from lipsync_core.media.decode import picture_stream
from lipsync_core.media.frame_reader import FrameMovedError, FrameReader
from lipsync_core.media.source_frame import SourceFrame
from lipsync_core.media.stream import DECODE_STAGE, PictureStream, Reading
from lipsync_core.media.times import FrameTimes

_MORE_S = 2  # pictures are shown later than they are decoded, and a list ends with complete ones


@dataclass(frozen=True, slots=True)
class FrameList:
    """When the frames of a video begin."""

    pts: tuple[int, ...]  # in units of time_base, the first at 0; none where the packets do not tell
    time_base: Fraction  # seconds


@read_apart
def list_frames(path: Path, reading: Reading, until_s: Fraction | None = None) -> FrameList:
    """List the frames of `path`, one for each packet: all that begin before `until_s`, and some more.

    None are listed of a still image, where times may jump or do not tell the order of the pictures, and where packets
    are missing.

    Raises:
        NoVideoError, InputError: as `decode.decode_frames`.
    """
    with picture_stream(path, reading, StageClock()) as stream:
        if stream.is_still or stream.may_jump or stream.is_shuffled:
            return FrameList((), Fraction(1))
        times = FrameTimes(stream.time_base, stream.nominal_duration)
        first = stream.first_time
        until = None if until_s is None else first + ceil((until_s + _MORE_S) / stream.time_base)
        for pts in sorted(_stored_pts(stream, until)):
            times.append(pts)
        return FrameList(tuple(times.pts(index) for index in range(len(times))), stream.time_base)


def _stored_pts(stream: PictureStream, until: int | None) -> set[int]:
    """The times of all packets up to the time of decoding `until`; none where they do not tell when each is shown."""
    found: set[int] = set()
    following: int | None = None  # the time of decoding of the next packet, if none is missing
    for count, packet in enumerate(stream.packets() or ()):
        if not packet.size:
            break
        if packet.pts is None or packet.is_discard or packet.is_corrupt or len(found) < count:
            return set()  # two packets of one time are the fields of one picture, or a picture that is not shown
        if following is not None and packet.dts is not None and packet.dts > following + (packet.duration or 0) // 2:
            return set()  # one is missing: pictures that refer to it depend on those before it
        following = packet.dts + packet.duration if packet.dts is not None and packet.duration else None
        found.add(packet.pts)
        if until is not None and packet.dts is not None and packet.dts > until:
            break
    return found


def decode_listed(
    path: Path, frames: range, frame_pts: Sequence[int], clock: StageClock, reading: Reading
) -> Iterator[SourceFrame]:
    """The `frames` of `path`, whose list says that they begin at `frame_pts` (all of them); timed as stage "decode".

    Fewer come where the list is wrong; one more comes behind the last one of the list, if there is one.

    Raises, from the first step on:
        NoVideoError, InputError: as `decode.decode_frames`.
    """
    return clock.timed(DECODE_STAGE, _listed(path, frames, frame_pts, reading, clock=clock))


@streamed_apart
def _listed(
    path: Path, frames: range, frame_pts: Sequence[int], reading: Reading, clock: StageClock | None = None
) -> Iterator[SourceFrame]:
    with picture_stream(path, reading, clock or StageClock()) as stream:
        reader = FrameReader(stream, reading.size_px, is_strict=True)
        reader.times.extend(frame_pts)
        try:
            reader.move_to(frames.start)
            for _ in range(len(frames) + (frames.stop == len(frame_pts))):
                frame = reader.read()
                if frame is None:
                    return
                yield frame
        except FrameMovedError:
            return
