"""Copying the packets of the given sound into the output, where that gives the same sound in every player."""

from __future__ import annotations  # av.Packet takes its type argument in annotations only

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from lipsync_core.apart import read_apart, reads_all_apart, streamed_apart
from lipsync_core.errors import RefusedOutputError
from lipsync_core.media.ffmpeg_log import error_log, reasons
from lipsync_core.media.opening import open_media
from lipsync_core.media.output import refusals
from lipsync_core.media.sound import AudioCut
from lipsync_core.media.sound_description import NoEncoderError, SoundDescription, described, like_described
from lipsync_core.media.sound_gaps import FIRST_JITTER_S, STEP_S
from lipsync_core.media.starts import file_starts
from lipsync_core.media.tracks import codec_name, require_audio_stream
from lipsync_core.shortage import require_no_shortage

_AAC_BLOCK = 1024  # samples
_AAC_PRIMING = 2112  # samples, the longest in use: Apple's encoder; FFmpeg's has 1024
_PRIMING_S = Fraction(1, 4)  # of all other codecs: Opus wants 80 ms (RFC 7845, 4.6), MP3 of 8 kHz has 138
#: The rates that every decoder has: Android promises 8 to 48 kHz (developer.android.com, "Supported media formats").
AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_AAC_MAX_CHANNELS = 6
_TRIAL_PACKETS = 8  # a muxer may know only from a packet whether it can describe the codec


class NotCopiedError(Exception):
    """The sound cannot be copied; the text says why."""


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """How the packets of a sound go into the output."""

    codec: str  # name to show
    origin_s: Fraction  # the source's time at the first audible sample
    lead_s: Fraction  # the longest priming before it; packets that begin earlier were cut off by an edit list
    sound: SoundDescription


@dataclass(frozen=True, slots=True)
class _Looked:
    """What looking at a whole sound has shown: a plan, or the reason why there is none."""

    plan: CopyPlan | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SoundPacket:
    """One packet; times in seconds on the source's clock."""

    data: bytes
    start_s: Fraction | None
    duration_s: Fraction  # of its audible samples; 0 if unknown
    is_key: bool
    is_corrupt: bool
    is_discarded: bool
    parameters: bytes  # that the packet itself states; those of a stream are the same in all


def plan_copy(cut: AudioCut, container_format: str, is_any_codec: bool) -> CopyPlan:
    """Plan to copy the sound of `cut`: AAC-LC, or with `is_any_codec` all that the container takes.

    Raises:
        NotCopiedError: it cannot be copied.
        InputError: the file cannot be read.
    """
    if cut.start_s != 0:
        raise NotCopiedError("packets cannot be cut, and the result starts later than the sound")
    looked = _look(cut, is_any_codec)
    if looked.plan is None:
        raise NotCopiedError(looked.reason)
    _require_storable(cut, container_format, looked.plan)
    starts = file_starts(cut.path, audio_track=cut.track)
    if starts.is_joined:
        raise NotCopiedError("its file was joined of several, each with a clock of its own")
    if starts.sound_s:
        raise NotCopiedError("it begins later than the picture, and silence has to be put before it")
    return looked.plan


def copied(
    container: OutputContainer, cut: AudioCut, plan: CopyPlan
) -> tuple[AudioStream, Iterator[av.Packet[AudioStream]]]:
    """A stream in `container`, and its packets, with t = 0 at the first audible sample.

    MP4's edit list hides the priming before it.

    Raises:
        RefusedOutputError: the container does not take the codec.
    """
    with refusals(f"store {plan.codec} in {container.format.name}"):
        stream = _new_stream(container, cut, plan.sound)
    return stream, _moved(stream, cut, plan)


def _new_stream(container: OutputContainer, cut: AudioCut, sound: SoundDescription) -> AudioStream:
    try:
        return like_described(container, sound)
    except NoEncoderError:
        if reads_all_apart():  # then this process does not open the file
            raise
        with open_media(cut.path) as source:
            return container.add_stream_from_template(require_audio_stream(source, cut.path, cut.track))


@read_apart
def _look(cut: AudioCut, is_any_codec: bool) -> _Looked:
    try:
        with open_media(cut.path) as source:
            stream = require_audio_stream(source, cut.path, cut.track)
            sound, name = described(stream), codec_name(stream)
            origin_s = _first_sound_s(source, stream)
            is_aac_lc = _is_aac_lc(stream)
            if not is_any_codec and not (is_aac_lc and _plays_everywhere(stream)):
                return _Looked(None, "it is not AAC-LC of at most 48 kHz and 5.1")
            lead_s = Fraction(_AAC_PRIMING, stream.codec_context.sample_rate) if is_aac_lc else _PRIMING_S
        _require_unbroken(cut, origin_s)
    except NotCopiedError as exc:
        return _Looked(None, str(exc))
    return _Looked(CopyPlan(name, origin_s, lead_s, sound))


def _plays_everywhere(stream: AudioStream) -> bool:
    """Whether AAC-LC has a rate and channels that every decoder has."""
    codec = stream.codec_context
    return codec.sample_rate in AAC_RATES_HZ and codec.layout.nb_channels <= _AAC_MAX_CHANNELS


def _is_aac_lc(stream: AudioStream) -> bool:
    """Whether a stream of which packets have been decoded is AAC-LC: HE-AAC may tell of itself in the packets alone.

    FFmpeg calls it LC until it meets high frequencies that are described, but its blocks are twice as long from the
    first on.
    """
    codec = stream.codec_context
    return (codec.name, codec.profile) == ("aac", "LC") and codec.frame_size <= _AAC_BLOCK


def _require_storable(cut: AudioCut, container_format: str, plan: CopyPlan) -> None:
    """Try with a few packets, in memory, whether the container takes the codec and gives it back."""
    with error_log() as said:
        try:
            stored = _stored_codec(cut, container_format, plan)
        except (av.FFmpegError, RefusedOutputError, ValueError) as exc:  # PyAV's own check is a ValueError
            why = f" ({reasons(said)})" if reasons(said) else ""
            raise NotCopiedError(f"{container_format} does not take {plan.codec}{why}") from exc
    if stored != plan.codec:
        raise NotCopiedError(f"{container_format} does not keep {plan.codec}: it reads as {stored}")


def _stored_codec(cut: AudioCut, container_format: str, plan: CopyPlan) -> str | None:
    trial = io.BytesIO()
    with av.open(trial, "w", format=container_format) as container:
        _, packets = copied(container, cut, plan)
        container.mux(list(islice(packets, _TRIAL_PACKETS)))
    trial.seek(0)
    with av.open(trial) as container:
        return next(map(codec_name, container.streams.audio), None)


def _first_sound_s(source: InputContainer, stream: AudioStream) -> Fraction:
    """The time of the first sample after the codec's priming, which decoders drop."""
    for packet in source.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError as exc:
            require_no_shortage(exc)
            raise NotCopiedError("its first packets are damaged") from exc
        for frame in frames:
            if frame.samples > 0:
                if frame.pts is None or frame.time_base is None:
                    raise NotCopiedError("its packets have no times")
                return frame.pts * frame.time_base
    raise NotCopiedError("it holds no sample of sound")


def _require_unbroken(cut: AudioCut, origin_s: Fraction) -> None:
    """Every packet is whole and follows the one before; players disagree about holes, so such sound is encoded."""
    end_s = last_s = parameters = None
    for number, packet in enumerate(_source_packets(cut)):
        start_s = packet.start_s
        if start_s is None or packet.duration_s == 0:
            raise NotCopiedError("its packets have no times")
        if cut.end_s is not None and start_s - origin_s >= cut.end_s:
            return  # what follows is not copied
        if packet.is_corrupt or (packet.is_discarded and start_s >= origin_s):
            raise NotCopiedError(f"it is damaged at {float(start_s):.3f} s")
        if number and packet.parameters != parameters:
            raise NotCopiedError(f"it changes at {float(start_s):.3f} s")
        if end_s is not None and abs(start_s - end_s) > (FIRST_JITTER_S if number == 1 else STEP_S):
            raise NotCopiedError(f"it {'has a hole' if start_s > end_s else 'sounds twice'} at {float(end_s):.3f} s")
        if last_s is not None and start_s <= last_s:
            raise NotCopiedError(f"its times do not ascend at {float(start_s):.3f} s")
        end_s, last_s, parameters = start_s + packet.duration_s, start_s, packet.parameters


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


@streamed_apart
def _source_packets(cut: AudioCut) -> Iterator[SoundPacket]:
    with open_media(cut.path) as source:
        for packet in source.demux(require_audio_stream(source, cut.path, cut.track)):
            if packet.size > 0:  # the last packet is empty, made to flush a decoder
                yield SoundPacket(
                    bytes(packet),
                    None if packet.pts is None else packet.pts * packet.time_base,
                    _duration_s(packet),
                    packet.is_keyframe,
                    packet.is_corrupt,
                    packet.is_discard,
                    _own_parameters(packet),
                )


def _own_parameters(packet: av.Packet[AudioStream]) -> bytes:
    """What a packet says of rate and channels: in its ADTS header, or where its container begins anew."""
    if packet.has_sidedata("new_extradata"):
        return bytes(packet.get_sidedata("new_extradata"))
    if packet.stream.codec_context.name != "aac":
        return b""
    head = bytes(memoryview(packet)[:4])
    # ISO/IEC 14496-3, 1.A.2.2: twelve set bits, layer 0; then profile, rate and channels, with a private bit between.
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return b""
    return bytes((head[2] & 0xFD, head[3] & 0xC0))


def _moved(stream: AudioStream, cut: AudioCut, plan: CopyPlan) -> Iterator[av.Packet[AudioStream]]:
    """The source's packets with t = 0 at the first audible sample."""
    unit_s = Fraction(1, stream.codec_context.sample_rate)
    for read in _source_packets(cut):
        start_s = (read.start_s or Fraction(0)) - plan.origin_s
        if start_s < -plan.lead_s:
            continue
        duration_s = read.duration_s
        if cut.end_s is not None:
            if start_s >= cut.end_s:
                return
            duration_s = min(duration_s, cut.end_s - start_s)
        packet = cast("av.Packet[AudioStream]", av.Packet(read.data))
        packet.time_base = unit_s
        packet.pts = packet.dts = round(start_s / unit_s)
        packet.duration = round(duration_s / unit_s)
        packet.is_keyframe = read.is_key
        packet.stream = stream
        yield packet
