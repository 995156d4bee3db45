"""Packets that FFmpeg's demuxer marks to be dropped though they are shown: in MP4s of fragments."""

from __future__ import annotations  # av.Packet takes its type argument in annotations only

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from lipsync_core.structure.boxes import whole

_MP4_FORMAT = "mov,mp4,m4a,3gp,3g2,mj2"  # the name of FFmpeg's demuxer

_Stream = TypeVar("_Stream", VideoStream, AudioStream)


def shown_packets(container: InputContainer, stream: _Stream, path: Path) -> Iterator[av.Packet[_Stream]]:
    """The packets of a stream of the open file at `path`, from its present position on."""
    packets: Iterable[av.Packet[_Stream]] = container.demux(stream)
    return _unmarked(packets) if is_fragmented(container, path) else iter(packets)


def is_fragmented(container: InputContainer, path: Path) -> bool:
    """Whether the open file at `path` is an MP4 of fragments (ISO/IEC 14496-12, 8.8)."""
    if container.format.name != _MP4_FORMAT:
        return False
    with path.open("rb") as file:
        return any(box.name == b"moof" for box in whole(file, path.stat().st_size).children())


def _unmarked(packets: Iterable[av.Packet[_Stream]]) -> Iterator[av.Packet[_Stream]]:
    """`packets` of a file of fragments, without the mark of those whose time is not later than the one before.

    FFmpeg's MP4s with a fragment for each frame state every other time one packet too late, and its demuxer then marks
    the packet after it: half of the sound. What an edit list leaves out has the mark as well, but ascending times.
    """
    last: int | None = None
    for packet in packets:
        is_repeated = packet.dts is not None and last is not None and packet.dts <= last
        last = packet.dts
        if not (packet.is_discard and is_repeated):
            yield packet
            continue
        copy = cast("av.Packet[_Stream]", av.Packet(bytes(packet)))
        copy.stream, copy.time_base = packet.stream, packet.time_base
        copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
        copy.is_keyframe = packet.is_keyframe
        for side_data in packet.iter_sidedata():
            copy.set_sidedata(side_data)
        yield copy
