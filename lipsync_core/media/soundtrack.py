"""The given audio as one stream of the output: copied where MP4 allows the codec, else encoded as AAC."""

from __future__ import annotations  # av.Packet takes its type argument in annotations only

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from lipsync_core.media.probe import open_media
from lipsync_core.media.sound import MAX_JITTER_S, AudioCut, decode_sound
from lipsync_core.media.tracks import audio_stream, require_audio_stream

#: FFmpeg's decoder name -> the name to show, for the codecs that may be copied into MP4.
_COPIED = {
    "aac": "aac",
    "mp3": "mp3",
    "mp3float": "mp3",
    "ac3": "ac3",
    "eac3": "eac3",
    "alac": "alac",
    "opus": "opus",
    "libopus": "opus",
    "flac": "flac",
}
#: QuickTime (.mov) has no name for these; FFmpeg finds out only when it writes the header.
_MP4_ONLY = frozenset({"opus", "flac"})
_AAC_BIT_RATE = 192_000  # bits/s
#: ISO/IEC 14496-3, 4.5.3.1: at most 6144 bits for each channel in a block of 1024 samples.
_AAC_MAX_BITS_PER_SAMPLE = 6
#: ISO/IEC 14496-3, table 1.18 (sampling frequency index).
_AAC_RATES_HZ = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_AAC_BEST_RATE_HZ = 48000
#: Layouts with a channel configuration of their own (same document, table 1.19), which every player knows.
_AAC_LAYOUTS = {
    "mono": "mono",
    "stereo": "stereo",
    "3.0": "3.0",
    "4.0": "4.0",
    "5.0": "5.0",
    "5.0(side)": "5.0",
    "5.1": "5.1",
    "5.1(side)": "5.1",
    "7.1": "7.1",
}


@dataclass(frozen=True, slots=True)
class Soundtrack:
    """An audio stream that was added to a container, and its packets in order, made on demand."""

    note: str  # how the stream is made: "copy (aac)" or "aac 192 kb/s"
    packets: Iterator[av.Packet[AudioStream]]


def add_soundtrack(container: OutputContainer, cut: AudioCut) -> Soundtrack:
    """Add a stream with the sound of `cut` to `container`.

    Raises:
        NoAudioError: there is no sound inside the cut.
        InputError: the file cannot be read.
    """
    plan = _copy_plan(cut, container)
    return _copied(container, cut, plan) if plan is not None else _encoded(container, cut)


@dataclass(frozen=True, slots=True)
class _CopyPlan:
    codec: str  # name to show
    origin_s: Fraction  # the source's time at the first audible sample


def _copy_plan(cut: AudioCut, container: OutputContainer) -> _CopyPlan | None:
    """The plan of a copy, or None if the codec, a cut start, a hole or damage forbids copying."""
    if cut.start_s != 0:
        return None
    with open_media(cut.path) as source:
        stream = audio_stream(source, cut.track)
        codec = _COPIED.get(stream.codec_context.name) if stream is not None else None
        if stream is None or codec is None or (codec in _MP4_ONLY and container.format.name != "mp4"):
            return None
        origin_s = _first_sound_s(source, stream)
    return _CopyPlan(codec, origin_s) if origin_s is not None and _is_unbroken(cut, origin_s) else None


def _first_sound_s(source: InputContainer, stream: AudioStream) -> Fraction | None:
    """The time of the first sample after the codec's priming, which decoders drop."""
    for packet in source.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            return None
        for frame in frames:
            if frame.samples > 0:
                return None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
    return None


def _is_unbroken(cut: AudioCut, origin_s: Fraction) -> bool:
    """Every packet is whole and follows the one before; players disagree about holes, so such sound is encoded."""
    end_s: Fraction | None = None
    for packet in _source_packets(cut):
        duration_s = _duration_s(packet)
        if packet.pts is None or duration_s == 0 or packet.is_corrupt:
            return False
        start_s = packet.pts * packet.time_base
        if packet.is_discard and start_s >= origin_s:
            return False
        if end_s is not None and abs(start_s - end_s) > MAX_JITTER_S:
            return False
        end_s = start_s + duration_s
    return end_s is not None


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


def _source_packets(cut: AudioCut) -> Iterator[av.Packet[AudioStream]]:
    with open_media(cut.path) as source:
        for packet in source.demux(require_audio_stream(source, cut.track)):
            if packet.size > 0:  # the last packet is empty, made to flush a decoder
                yield packet


def _copied(container: OutputContainer, cut: AudioCut, plan: _CopyPlan) -> Soundtrack:
    with open_media(cut.path) as source:
        stream = container.add_stream_from_template(require_audio_stream(source, cut.track))
    return Soundtrack(f"copy ({plan.codec})", _moved(stream, cut, plan.origin_s))


def _moved(stream: AudioStream, cut: AudioCut, origin_s: Fraction) -> Iterator[av.Packet[AudioStream]]:
    """The source's packets with t = 0 at the first audible sample; MP4's edit list hides the priming before it."""
    unit_s = Fraction(1, stream.codec_context.sample_rate)
    for packet in _source_packets(cut):
        start_s = (packet.pts or 0) * packet.time_base - origin_s
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
    layout = _AAC_LAYOUTS.get(first.layout.name, "stereo")
    stream = container.add_stream("aac", rate=rate_hz)
    stream.codec_context.layout = layout
    limit = _AAC_MAX_BITS_PER_SAMPLE * rate_hz * stream.codec_context.layout.nb_channels
    stream.codec_context.bit_rate = min(_AAC_BIT_RATE, limit)
    note = f"aac {stream.codec_context.bit_rate // 1000} kb/s"
    return Soundtrack(note, _compressed(stream, chain((first,), frames)))


def _compressed(stream: AudioStream, frames: Iterator[av.AudioFrame]) -> Iterator[av.Packet[AudioStream]]:
    for frame in frames:
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _aac_rate_hz(rate_hz: int) -> int:
    """The source's own rate if AAC has it, else the next higher rate up to 48 kHz, else 48 kHz."""
    if rate_hz in _AAC_RATES_HZ:
        return rate_hz
    return min((known for known in _AAC_RATES_HZ if rate_hz < known <= _AAC_BEST_RATE_HZ), default=_AAC_BEST_RATE_HZ)
