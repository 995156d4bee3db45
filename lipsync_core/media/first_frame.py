"""The first frame of a stream."""

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream


def first_frame(container: InputContainer, stream: VideoStream | AudioStream) -> av.VideoFrame | av.AudioFrame | None:
    """The first frame that decodes, or None."""
    for packet in container.demux(stream):
        try:
            frame = next(iter(packet.decode()), None)
        except av.error.InvalidDataError:
            continue  # a damaged packet; a later one may decode
        if isinstance(frame, av.VideoFrame | av.AudioFrame):
            return frame
    return None
