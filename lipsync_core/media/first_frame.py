"""The first frame of a stream."""

from itertools import islice

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from lipsync_core.media.decoding import DamagedPackets, decoded
from lipsync_core.shortage import require_no_shortage

#: Packets: a minute of a picture and its sound, at 60 frames/s and 10 ms of sound. A file may state millions of them.
LOOKED_AT = 10_000


def first_frame(container: InputContainer, stream: VideoStream | AudioStream) -> av.VideoFrame | av.AudioFrame | None:
    """The first frame that decodes, of the first `LOOKED_AT` packets, or None."""
    damaged = DamagedPackets()
    for packet in islice(container.demux(stream), LOOKED_AT):
        try:
            frame = next(iter(decoded(packet)), None)
        except av.error.InvalidDataError as exc:
            require_no_shortage(exc)
            damaged.note(packet)
            continue  # a later one may decode
        if isinstance(frame, av.VideoFrame | av.AudioFrame):
            return frame
    return None
