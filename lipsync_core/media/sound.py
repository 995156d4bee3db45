"""Decoded sound as samples without gaps, for both the speech analysis and the output's audio."""

from __future__ import annotations  # av.Packet takes its type argument in annotations only

import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import chain
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from lipsync_core.apart import streamed_apart
from lipsync_core.errors import NoAudioError
from lipsync_core.media.channel_order import native_order, own_orders
from lipsync_core.media.joins import clock_of
from lipsync_core.media.marked_packets import shown_packets
from lipsync_core.media.mixing import Survey, mixable, surveyed
from lipsync_core.media.opening import open_media, reading
from lipsync_core.media.sound_frames import frame_like, part_of, with_finite_samples
from lipsync_core.media.sound_gaps import JOINED_JITTER_S, MAX_GAP_S, MAX_JITTER_S, gapless, without_overlaps
from lipsync_core.media.sound_seek import WORTH_S, place_of, skip_to
from lipsync_core.media.starts import FileStarts, file_starts
from lipsync_core.media.stream_checks import require_duration, require_sound
from lipsync_core.media.times import JUMP_S
from lipsync_core.media.tracks import require_audio_stream
from lipsync_core.shortage import require_no_shortage

#: PyAV counts the planes of a frame until a null pointer, and FFmpeg stores none behind eight: see `interleaved`.
_UNREADABLE_PLANES = 8
_MOST_RESAMPLED = 1 << 18  # samples that are made of one frame at once: it may be long, at a 190th of the wanted rate
_MP4_FORMAT = "mov,mp4,m4a,3gp,3g2,mj2"  # the name of FFmpeg's demuxer

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AudioCut:
    """The part [start_s, end_s) of one audio stream of `path`; t = 0 is the file's (`starts.FileStarts`)."""

    path: Path
    start_s: Fraction = Fraction(0)
    end_s: Fraction | None = None
    track: str | None = None  # as for `tracks.audio_stream`

    def samples(self, rate_hz: int) -> tuple[int, int | None]:
        """The number of its first sample at `rate_hz`, and of the one after its last."""
        return round(self.start_s * rate_hz), None if self.end_s is None else round(self.end_s * rate_hz)


def decode_sound(cut: AudioCut) -> Iterator[av.AudioFrame]:
    """The samples of `cut`, in frames of one sample format, channel layout and rate: those of the first frame.

    Each frame's pts counts samples from the start of the cut, in units of 1/rate. Holes in the source's timestamps
    become silence, as does the time before the first sample; overlaps are ignored, damaged packets are skipped.

    Raises:
        NoAudioError: there is no audio stream, or no sample inside the cut.
        InputError: the file cannot be read, or plays longer than it may, whatever its header says.
    """
    count = 0
    for frame in decode_part(cut):
        count += frame.samples
        yield frame
    if count == 0:
        raise no_sound_in(cut)


def decode_part(cut: AudioCut) -> Iterator[av.AudioFrame]:
    """As `decode_sound`, but a cut may hold no sample."""
    return _decoded_part(cut, file_starts(cut.path, audio_track=cut.track))


@streamed_apart
def _decoded_part(cut: AudioCut, starts: FileStarts) -> Iterator[av.AudioFrame]:
    with reading(cut.path):
        yield from _part(cut, starts)


def _part(cut: AudioCut, starts: FileStarts) -> Iterator[av.AudioFrame]:
    max_gap_s = JUMP_S if starts.may_jump else MAX_GAP_S
    if cut.start_s >= WORTH_S:
        skipped = _uniform(_source_frames(cut, is_skipping=True))
        first = next(skipped, None)
        place = place_of(first, cut.start_s)
        if first is not None and place:
            return _trimmed(gapless(chain((first,), skipped), Fraction(0), max_gap_s, place), cut, place)
        skipped.close()
    frames: Iterator[av.AudioFrame] = _uniform(_source_frames(cut))
    if starts.may_be_joined:
        frames = without_overlaps(frames)
    jitter_s = JOINED_JITTER_S if starts.is_joined else MAX_JITTER_S
    return _trimmed(gapless(frames, starts.sound_s, max_gap_s, jitter_s=jitter_s, name=str(cut.path)), cut)


def no_sound_in(cut: AudioCut) -> NoAudioError:
    """The error of a cut without a sample."""
    remedy = "choose an earlier start" if cut.start_s > 0 else "give a file with sound in it"
    return NoAudioError(f"{cut.path} has no audio sample from {float(cut.start_s):g} s on", remedy)


def flush(resampler: av.AudioResampler) -> list[av.AudioFrame]:
    """The frames that a resampler still holds (PyAV adds a None if it had nothing to convert)."""
    return [frame for frame in resampler.resample(None) if frame is not None]


def _source_frames(cut: AudioCut, is_skipping: bool = False) -> Iterator[av.AudioFrame]:
    """The frames of the file; with `is_skipping` from a little before the cut on, or none where that is not exact."""
    with open_media(cut.path) as container:
        stream = require_audio_stream(container, cut.path, cut.track)
        if is_skipping and not skip_to(container, stream, cut.start_s):
            return
        version = cut.path.stat().st_mtime_ns
        frames = mixable(_ordered(container, stream, cut.path), lambda: _survey(cut.path, version, cut.track))
        yield from _without_padding(frames, _stated_end_s(container, stream))


def _ordered(container: InputContainer, stream: AudioStream, path: Path) -> Iterator[av.AudioFrame]:
    """The frames of `stream`, readable and in FFmpeg's order of channels."""
    names = own_orders(container).get(stream.index, ())
    ordered = (_in_native_order(frame, names) for frame in interleaved(_decoded(container, stream, path)))
    return map(with_finite_samples, ordered)


@lru_cache(maxsize=16)
def _survey(path: Path, _version: int, track: str | None) -> Survey:
    with open_media(path) as container:
        return surveyed(_ordered(container, require_audio_stream(container, path, track), path))


def _decoded(container: InputContainer, stream: AudioStream, path: Path) -> Iterator[av.AudioFrame]:
    clock = clock_of(path, container)
    for packet in shown_packets(container, stream, path):
        clock.mend(packet)
        try:
            frames = packet.decode()
        except av.FFmpegError as exc:
            require_no_shortage(exc)  # else its sound would be missing
            _log.debug("%s: skipped a damaged audio packet at %s: %s", container.name, packet.pts, exc)
            continue
        for frame in frames:
            require_sound(frame.layout.nb_channels, frame.sample_rate)  # each frame of FLAC states its own rate
            if frame.samples > 0:
                yield frame


def _stated_end_s(container: InputContainer, stream: AudioStream) -> Fraction | None:
    """The end of the sound by an MP4's edit list; None for other containers, whose padding FFmpeg drops by itself."""
    if container.format.name != _MP4_FORMAT or stream.start_time is None or not stream.duration or not stream.time_base:
        return None
    return (stream.start_time + stream.duration) * stream.time_base


def _without_padding(frames: Iterable[av.AudioFrame], end_s: Fraction | None) -> Iterator[av.AudioFrame]:
    """Cut the last frame at `end_s`: codecs pad their last block (AAC by up to 1023 samples)."""
    last: av.AudioFrame | None = None
    for frame in frames:
        if last is not None:
            yield last
        last = frame
    if last is None:
        return
    if end_s is not None and last.pts is not None and last.time_base is not None:
        kept = round((end_s - last.pts * last.time_base) * last.sample_rate)
        if 0 < kept < last.samples:  # else the index does not describe this frame (fragmented files)
            last = part_of(last, 0, kept)
    yield last


def interleaved(frames: Iterable[av.AudioFrame]) -> Iterator[av.AudioFrame]:
    """`frames`, those with a plane for each of eight channels or more as one plane of interleaved samples.

    PyAV 18.1 ends with SIGSEGV when it reads so many planes (docs/decisions.md, "Time, sound and memory"). FFmpeg
    joins them without PyAV's looking at them. Samples, layout, rate and times stay.
    """
    current: tuple[str, str, int] | None = None
    resampler = av.AudioResampler()
    for frame in frames:
        if not frame.format.is_planar or frame.layout.nb_channels < _UNREADABLE_PLANES:
            yield frame
            continue
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != current:
            resampler = av.AudioResampler(format=frame.format.packed)
            current = shape
        yield from resampler.resample(frame)  # a change of format alone holds nothing back


def _in_native_order(frame: av.AudioFrame, names: Sequence[str]) -> av.AudioFrame:
    """`frame` in FFmpeg's order of channels, where its file has an order of its own: `names`."""
    order = native_order(names)
    if not names or order is None or frame.layout.nb_channels != len(names):
        return frame
    places, layout = order
    samples = frame.to_ndarray()  # (C, N) planar or (1, N * C) interleaved
    if frame.format.is_planar:
        return frame_like(frame, samples[places], layout)
    return frame_like(frame, samples.reshape(-1, len(names))[:, places].reshape(1, -1), layout)


def _uniform(frames: Iterable[av.AudioFrame]) -> Generator[av.AudioFrame]:
    """Convert each frame to the format of the first one (broadcasts switch from stereo to 5.1 in the middle)."""
    wanted: tuple[str, str, int] | None = None
    current: tuple[str, str, int] | None = None
    resampler = av.AudioResampler()
    for frame in frames:
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        wanted = wanted or shape
        if shape != current:
            yield from flush(resampler)
            resampler = av.AudioResampler(*wanted)
            current = shape
        if shape == wanted:
            yield frame
            continue
        for piece in _pieces(frame, wanted[2]):
            yield from resampler.resample(piece)
    yield from flush(resampler)


def _pieces(frame: av.AudioFrame, rate_hz: int) -> Iterator[av.AudioFrame]:
    """`frame` in parts of which each becomes a bounded number of samples at `rate_hz`."""
    count = max(1, _MOST_RESAMPLED * frame.sample_rate // rate_hz)
    if frame.samples <= count:
        yield frame
        return
    for first in range(0, frame.samples, count):
        piece = part_of(frame, first, min(first + count, frame.samples))
        if frame.pts is not None and frame.time_base is not None:
            piece.pts = frame.pts + round(Fraction(first, frame.sample_rate) / frame.time_base)
        yield piece


def _trimmed(frames: Iterable[av.AudioFrame], cut: AudioCut, position: int = 0) -> Iterator[av.AudioFrame]:
    """Keep the samples inside `cut` and count pts from its start; the first frame begins with sample `position`."""
    for frame in frames:
        rate = frame.sample_rate
        start, end = cut.samples(rate)
        if end is not None and position >= end:
            return
        first = max(0, start - position)
        last = frame.samples if end is None else min(frame.samples, end - position)
        position += frame.samples
        require_duration(Fraction(position, rate), str(cut.path))
        if first >= last:
            continue
        piece = frame if (first, last) == (0, frame.samples) else part_of(frame, first, last)
        piece.pts = position - frame.samples + first - start
        piece.time_base = Fraction(1, rate)
        yield piece
