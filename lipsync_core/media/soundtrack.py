"""The given audio as one stream of the output: copied where it is AAC-LC, which plays everywhere, else encoded as that.

docs/decisions.md, "Time, sound and memory", has the reasons for the rates, layouts and bit rates.
"""

from __future__ import annotations  # av.Packet takes its type argument in annotations only

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer

from lipsync_core.errors import OptionError
from lipsync_core.media.output import MUXERS, refusals
from lipsync_core.media.sound import AudioCut, decode_sound
from lipsync_core.media.sound_copy import AAC_RATES_HZ, CopyPlan, NotCopiedError, copied, plan_copy
from lipsync_core.media.starts import file_starts
from lipsync_core.media.tracks import mp4_language
from lipsync_core.option_specs import AudioCodec

#: High, for most sound given here has been compressed once before.
_AAC_BITS_PER_CHANNEL = 112_000  # bits/s of mono and stereo
_AAC_BITS_PER_SURROUND_CHANNEL = 80_000
#: ISO/IEC 14496-3, 4.5.3.1: at most 6144 bits for each channel in a block of 1024 samples.
_AAC_MAX_BITS_PER_SAMPLE = 6
#: Layouts with a channel configuration of their own (ISO/IEC 14496-3, table 1.19) up to 5.1, where Android's promise
#: ends. FFmpeg writes 7.1 as the configuration that the standard gives to another layout, with two more in front.
_AAC_LAYOUTS = {
    "mono": "mono",
    "stereo": "stereo",
    "3.0": "3.0",
    "4.0": "4.0",
    "5.0": "5.0",
    "5.0(side)": "5.0",
    "5.1": "5.1",
    "5.1(side)": "5.1",
}
_FEW_CHANNELS = 3  # others are mixed to stereo up to here, to 5.1 above


@dataclass(frozen=True, slots=True)
class Soundtrack:
    """An audio stream that was added to a container, and its packets in order, made on demand."""

    note: str  # how the stream is made: "copy (aac)" or "aac 224 kb/s"
    packets: Iterator[av.Packet[AudioStream]]


def add_soundtrack(container: OutputContainer, cut: AudioCut, codec: AudioCodec = "auto") -> Soundtrack:
    """Add a stream with the sound of `cut` to `container`.

    `auto` copies AAC-LC that is whole and starts at the cut, and encodes all else; `aac` encodes everything.

    Raises:
        OptionError: `codec` is copy, and the sound cannot be copied.
        NoAudioError: there is no sound inside the cut.
        InputError: the file cannot be read.
        RefusedOutputError: FFmpeg refuses to encode or to store the sound.
    """
    plan = None if codec == "aac" else _copy_plan(cut, container.format.name, codec)
    if plan is None:
        return _encoded(container, cut)
    stream, packets = copied(container, cut, plan)
    _set_language(stream, cut)
    return Soundtrack(f"copy ({plan.codec})", packets)


def check_soundtrack(cut: AudioCut, suffix: str, codec: AudioCodec) -> None:
    """Refuse `codec` before any work is done, where `add_soundtrack` would refuse it for an output ending in `suffix`.

    Raises:
        OptionError: `codec` is copy, and the sound cannot be copied.
        InputError: the file cannot be read.
    """
    if codec == "copy":
        _copy_plan(cut, MUXERS[suffix.lower()], codec)


def _copy_plan(cut: AudioCut, container_format: str, codec: AudioCodec) -> CopyPlan | None:
    """The plan of a copy; None if `codec` is auto and the sound is better encoded."""
    try:
        return plan_copy(cut, container_format, is_any_codec=codec == "copy")
    except NotCopiedError as exc:
        if codec == "copy":
            raise OptionError(f"audio-codec copy does not go with {cut.path}: {exc}", "choose auto") from exc
        return None


def _set_language(stream: AudioStream, cut: AudioCut) -> None:
    language = mp4_language(file_starts(cut.path, audio_track=cut.track).language)
    if language:
        stream.metadata["language"] = language


def _encoded(container: OutputContainer, cut: AudioCut) -> Soundtrack:
    frames = decode_sound(cut)
    first = next(frames)
    rate_hz = _aac_rate_hz(first.sample_rate)
    layout = _aac_layout(first.layout)
    stream = container.add_stream("aac", rate=rate_hz)
    _set_language(stream, cut)
    stream.codec_context.layout = layout
    stream.codec_context.bit_rate = _aac_bit_rate(rate_hz, stream.codec_context.layout.nb_channels)
    note = f"aac {stream.codec_context.bit_rate // 1000} kb/s"
    return Soundtrack(note, _compressed(stream, chain((first,), frames)))


def _compressed(stream: AudioStream, frames: Iterator[av.AudioFrame]) -> Iterator[av.Packet[AudioStream]]:
    for frame in chain(frames, (None,)):  # None: whatever the encoder holds
        with refusals("encode the sound as AAC"):
            packets = stream.encode(frame)
        yield from packets


def _aac_rate_hz(rate_hz: int) -> int:
    """The source's own rate if all players have it, else the next higher one, else the highest in a whole ratio."""
    highest_hz = AAC_RATES_HZ[-1]
    if rate_hz <= highest_hz:
        return next(known for known in AAC_RATES_HZ if rate_hz <= known)
    return next((known for known in reversed(AAC_RATES_HZ) if known >= 44100 and rate_hz % known == 0), highest_hz)


def _aac_layout(layout: av.AudioLayout) -> str:
    few = "stereo" if layout.nb_channels <= _FEW_CHANNELS else "5.1"
    return _AAC_LAYOUTS.get(layout.name, few)


def _aac_bit_rate(rate_hz: int, channels: int) -> int:
    """Bits/s, within the limit of the standard."""
    wanted = _AAC_BITS_PER_CHANNEL if channels <= 2 else _AAC_BITS_PER_SURROUND_CHANNEL
    return channels * min(wanted, _AAC_MAX_BITS_PER_SAMPLE * rate_hz)
