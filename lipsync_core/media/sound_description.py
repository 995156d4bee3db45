"""What a muxer has to know of a sound whose packets are copied, without the file that they come from.

PyAV makes an output stream for copies from an open input only. The input here is our own: a moment of silence, encoded
in memory with the same codec, rate and channels. So nothing but the description has to be handed over by whoever reads
a stranger's file.
"""

import io
from dataclasses import dataclass
from functools import lru_cache

import av
import numpy as np
from av.audio.stream import AudioStream
from av.codec.codec import UnknownCodecError
from av.container import OutputContainer

#: FFmpeg's decoder name -> its encoder's, where they differ.
_ENCODERS = {"mp3float": "libmp3lame", "mp2float": "mp2", "opus": "libopus"}
_CARRIER, _PCM_CARRIER = "matroska", "mov"  # the second takes the companded kinds, too
_LOSSLESS = frozenset({"alac", "flac"})  # the depth of their samples is a part of the description
_SILENT_SAMPLES = 4096
_STRICT = {"strict": "experimental"}  # FFmpeg's own words for its encoders of Vorbis and DTS


class NoEncoderError(ValueError):
    """This FFmpeg decodes a codec and does not encode it."""


@dataclass(frozen=True, slots=True)
class SoundDescription:
    """The properties of a coded sound."""

    codec: str  # FFmpeg's name of the decoder
    rate_hz: int
    layout: str
    sample_format: str  # FFmpeg's name
    bit_rate: int | None  # bits/s
    header: bytes | None  # the codec's own ("extradata")


def described(stream: AudioStream) -> SoundDescription:
    """The description of `stream`, nothing of which has been decoded yet."""
    codec = stream.codec_context
    sample_format = codec.format.name if codec.format else ""  # of a stream that is broken from its start
    return SoundDescription(
        codec.name, codec.sample_rate, codec.layout.name, sample_format, codec.bit_rate, codec.extradata
    )


def like_described(container: OutputContainer, sound: SoundDescription) -> AudioStream:
    """A new stream of `container` for packets of `sound`.

    Raises:
        NoEncoderError: this FFmpeg does not write the codec.
        ValueError: the container does not take it.
        FFmpegError: as ValueError.
    """
    with av.open(io.BytesIO(_silence(sound.codec, sound.rate_hz, sound.layout, sound.sample_format))) as own:
        stream = container.add_stream_from_template(own.streams.audio[0])
    stream.codec_context.extradata = sound.header
    if sound.bit_rate:
        stream.codec_context.bit_rate = sound.bit_rate
    return stream


@lru_cache(maxsize=8)
def _silence(codec: str, rate_hz: int, layout: str, sample_format: str) -> bytes:
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=_PCM_CARRIER if codec.startswith("pcm_") else _CARRIER) as container:
            stream = container.add_stream(_ENCODERS.get(codec, codec), rate=rate_hz, options=_STRICT)
            if not isinstance(stream, AudioStream):
                raise NoEncoderError(f"{codec} is no codec of sound")
            stream.codec_context.layout = layout
            if codec in _LOSSLESS:
                stream.codec_context.format = sample_format
            samples = np.zeros((1, _SILENT_SAMPLES * av.AudioLayout(layout).nb_channels), np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
            frame.sample_rate = rate_hz
            container.mux([*stream.encode(frame), *stream.encode(None)][0])  # the others would only need times
    except UnknownCodecError as exc:
        raise NoEncoderError(f"this FFmpeg does not write {codec}") from exc
    return file.getvalue()
