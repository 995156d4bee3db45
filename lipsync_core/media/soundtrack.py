"""The given audio as one stream of the output: copied where it is AAC-LC, which plays everywhere, else encoded as that.

docs/decisions.md, "Time, sound and memory", has the reasons for the rates, layouts and bit rates.
"""

from __future__ import annotations  # av.Packet takes its type argument in annotations only

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from lipsync_core.errors import OptionError, RefusedOutputError
from lipsync_core.media.ffmpeg_log import error_log, reasons
from lipsync_core.media.output import MUXERS, refusals
from lipsync_core.media.probe import open_media
from lipsync_core.media.sound import MAX_JITTER_S, AudioCut, decode_sound
from lipsync_core.media.starts import file_starts
from lipsync_core.media.tracks import mp4_language, require_audio_stream
from lipsync_core.option_specs import AudioCodec

#: FFmpeg's decoder name -> the name to show, where they differ.
_SHOWN = {"mp3float": "mp3", "libopus": "opus"}
_AAC_BLOCK = 1024  # samples
_AAC_PRIMING = 2112  # samples, the longest in use: Apple's encoder; FFmpeg's has 1024
_PRIMING_S = Fraction(1, 4)  # of all other codecs: Opus wants 80 ms (RFC 7845, 4.6), MP3 of 8 kHz has 138
_TRIAL_PACKETS = 8  # a muxer may know only from a packet whether it can describe the codec
#: High, for most sound given here has been compressed once before.
_AAC_BITS_PER_CHANNEL = 112_000  # bits/s of mono and stereo
_AAC_BITS_PER_SURROUND_CHANNEL = 80_000
#: ISO/IEC 14496-3, 4.5.3.1: at most 6144 bits for each channel in a block of 1024 samples.
_AAC_MAX_BITS_PER_SAMPLE = 6
#: The rates that every decoder has: Android promises 8 to 48 kHz (developer.android.com, "Supported media formats").
_AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
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
_AAC_MAX_CHANNELS = 6
_FEW_CHANNELS = 3  # others are mixed to stereo up to here, to 5.1 above


@dataclass(frozen=True, slots=True)
class Soundtrack:
    """An audio stream that was added to a container, and its packets in order, made on demand."""

    note: str  # how the stream is made: "copy (aac)" or "aac 224 kb/s"
    packets: Iterator[av.Packet[AudioStream]]


class _NotCopiedError(Exception):
    """The sound cannot be copied; the text says why."""


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
    return _copied(container, cut, plan) if plan is not None else _encoded(container, cut)


def check_soundtrack(cut: AudioCut, suffix: str, codec: AudioCodec) -> None:
    """Refuse `codec` before any work is done, where `add_soundtrack` would refuse it for an output ending in `suffix`.

    Raises:
        OptionError: `codec` is copy, and the sound cannot be copied.
        InputError: the file cannot be read.
    """
    if codec == "copy":
        _copy_plan(cut, MUXERS[suffix.lower()], codec)


@dataclass(frozen=True, slots=True)
class _CopyPlan:
    codec: str  # name to show
    origin_s: Fraction  # the source's time at the first audible sample
    lead_s: Fraction  # the longest priming before it; packets that begin earlier were cut off by an edit list


def _copy_plan(cut: AudioCut, container_format: str, codec: AudioCodec) -> _CopyPlan | None:
    """The plan of a copy; None if `codec` is auto and the sound is better encoded."""
    try:
        return _required_copy(cut, container_format, is_any_codec=codec == "copy")
    except _NotCopiedError as exc:
        if codec == "copy":
            raise OptionError(f"audio-codec copy does not go with {cut.path}: {exc}", "choose auto") from exc
        return None


def _required_copy(cut: AudioCut, container_format: str, is_any_codec: bool) -> _CopyPlan:
    if cut.start_s != 0:
        raise _NotCopiedError("packets cannot be cut, and the result starts later than the sound")
    with open_media(cut.path) as source:
        stream = require_audio_stream(source, cut.path, cut.track)
        origin_s = _first_sound_s(source, stream)
        is_aac_lc = _is_aac_lc(stream)
        if not is_any_codec and not (is_aac_lc and _plays_everywhere(stream)):
            raise _NotCopiedError("it is not AAC-LC of at most 48 kHz and 5.1")
        lead_s = Fraction(_AAC_PRIMING, stream.codec_context.sample_rate) if is_aac_lc else _PRIMING_S
        plan = _CopyPlan(_shown_codec(stream), origin_s, lead_s)
    _require_unbroken(cut, origin_s)
    _require_storable(cut, container_format, plan)
    if file_starts(cut.path, audio_track=cut.track).sound_s:
        raise _NotCopiedError("it begins later than the picture, and silence has to be put before it")
    return plan


def _plays_everywhere(stream: AudioStream) -> bool:
    """Whether AAC-LC has a rate and channels that every decoder has."""
    codec = stream.codec_context
    return codec.sample_rate in _AAC_RATES_HZ and codec.layout.nb_channels <= _AAC_MAX_CHANNELS


def _is_aac_lc(stream: AudioStream) -> bool:
    """Whether a stream of which packets have been decoded is AAC-LC: HE-AAC may tell of itself in the packets alone.

    FFmpeg calls it LC until it meets high frequencies that are described, but its blocks are twice as long from the
    first on.
    """
    codec = stream.codec_context
    return (codec.name, codec.profile) == ("aac", "LC") and codec.frame_size <= _AAC_BLOCK


def _shown_codec(stream: AudioStream) -> str:
    name = stream.codec_context.name
    return _SHOWN.get(name, name)


def _require_storable(cut: AudioCut, container_format: str, plan: _CopyPlan) -> None:
    """Try with a few packets, in memory, whether the container takes the codec and gives it back."""
    with error_log() as said:
        try:
            stored = _stored_codec(cut, container_format, plan)
        except (av.FFmpegError, RefusedOutputError, ValueError) as exc:  # PyAV's own check is a ValueError
            why = f" ({reasons(said)})" if reasons(said) else ""
            raise _NotCopiedError(f"{container_format} does not take {plan.codec}{why}") from exc
    if stored != plan.codec:
        raise _NotCopiedError(f"{container_format} does not keep {plan.codec}: it reads as {stored}")


def _stored_codec(cut: AudioCut, container_format: str, plan: _CopyPlan) -> str | None:
    trial = io.BytesIO()
    with av.open(trial, "w", format=container_format) as container:
        container.mux(list(islice(_copied(container, cut, plan).packets, _TRIAL_PACKETS)))
    trial.seek(0)
    with av.open(trial) as container:
        return next(map(_shown_codec, container.streams.audio), None)


def _first_sound_s(source: InputContainer, stream: AudioStream) -> Fraction:
    """The time of the first sample after the codec's priming, which decoders drop."""
    for packet in source.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError as exc:
            raise _NotCopiedError("its first packets are damaged") from exc
        for frame in frames:
            if frame.samples > 0:
                if frame.pts is None or frame.time_base is None:
                    raise _NotCopiedError("its packets have no times")
                return frame.pts * frame.time_base
    raise _NotCopiedError("it holds no sample of sound")


def _require_unbroken(cut: AudioCut, origin_s: Fraction) -> None:
    """Every packet is whole and follows the one before; players disagree about holes, so such sound is encoded."""
    end_s: Fraction | None = None
    for packet in _source_packets(cut):
        duration_s = _duration_s(packet)
        if packet.pts is None or duration_s == 0:
            raise _NotCopiedError("its packets have no times")
        start_s = packet.pts * packet.time_base
        if packet.is_corrupt or (packet.is_discard and start_s >= origin_s):
            raise _NotCopiedError(f"it is damaged at {float(start_s):.3f} s")
        if end_s is not None and abs(start_s - end_s) > MAX_JITTER_S:
            raise _NotCopiedError(f"it has a hole at {float(end_s):.3f} s")
        end_s = start_s + duration_s


def _duration_s(packet: av.Packet[AudioStream]) -> Fraction:
    """The duration of the packet's audible samples; 0 if unknown.

    The container's value alone is unreliable: Matroska leaves out the first duration, MP4 stretches a packet over
    the hole after it, MP3 counts the padding at its end. So the container's value is limited to one of the codec's
    blocks, less its padding, if all blocks of the codec have one size.
    """
    codec = packet.stream.codec_context
    stated_s = (packet.duration or 0) * packet.time_base
    block_s = Fraction(max(0, codec.frame_size - _padding(packet)), codec.sample_rate)
    return min(stated_s, block_s) if stated_s and block_s else stated_s or block_s


def _padding(packet: av.Packet[AudioStream]) -> int:
    """Samples at the end that a decoder drops (AV_PKT_DATA_SKIP_SAMPLES: u32 at the start, u32 at the end, ...)."""
    if not packet.has_sidedata("skip_samples"):
        return 0
    _, at_end = struct.unpack_from("<II", bytes(packet.get_sidedata("skip_samples")))
    return int(at_end)


def _set_language(stream: AudioStream, cut: AudioCut) -> None:
    language = mp4_language(file_starts(cut.path, audio_track=cut.track).language)
    if language:
        stream.metadata["language"] = language


def _source_packets(cut: AudioCut) -> Iterator[av.Packet[AudioStream]]:
    with open_media(cut.path) as source:
        for packet in source.demux(require_audio_stream(source, cut.path, cut.track)):
            if packet.size > 0:  # the last packet is empty, made to flush a decoder
                yield packet


def _copied(container: OutputContainer, cut: AudioCut, plan: _CopyPlan) -> Soundtrack:
    with open_media(cut.path) as source, refusals(f"store {plan.codec} in {container.format.name}"):
        stream = container.add_stream_from_template(require_audio_stream(source, cut.path, cut.track))
        _set_language(stream, cut)
    return Soundtrack(f"copy ({plan.codec})", _moved(stream, cut, plan))


def _moved(stream: AudioStream, cut: AudioCut, plan: _CopyPlan) -> Iterator[av.Packet[AudioStream]]:
    """The source's packets with t = 0 at the first audible sample; MP4's edit list hides the priming before it."""
    unit_s = Fraction(1, stream.codec_context.sample_rate)
    for packet in _source_packets(cut):
        start_s = (packet.pts or 0) * packet.time_base - plan.origin_s
        if start_s < -plan.lead_s:
            continue
        duration_s = _duration_s(packet)
        if cut.end_s is not None:
            if start_s >= cut.end_s:
                return
            duration_s = min(duration_s, cut.end_s - start_s)
        packet.time_base = unit_s
        packet.pts = packet.dts = round(start_s / unit_s)
        packet.duration = round(duration_s / unit_s)
        packet.stream = stream
        yield packet


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
    highest_hz = _AAC_RATES_HZ[-1]
    if rate_hz <= highest_hz:
        return next(known for known in _AAC_RATES_HZ if rate_hz <= known)
    return next((known for known in reversed(_AAC_RATES_HZ) if known >= 44100 and rate_hz % known == 0), highest_hz)


def _aac_layout(layout: av.AudioLayout) -> str:
    few = "stereo" if layout.nb_channels <= _FEW_CHANNELS else "5.1"
    return _AAC_LAYOUTS.get(layout.name, few)


def _aac_bit_rate(rate_hz: int, channels: int) -> int:
    """Bits/s, within the limit of the standard."""
    wanted = _AAC_BITS_PER_CHANNEL if channels <= 2 else _AAC_BITS_PER_SURROUND_CHANNEL
    return channels * min(wanted, _AAC_MAX_BITS_PER_SAMPLE * rate_hz)
