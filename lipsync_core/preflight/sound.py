"""The sound of a job, as the preflight hears it: level, speech, clipping, and the state of its channels."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import SpeechReader
from lipsync_core.audio.loudness import LEVELS_HZ, LevelMeter
from lipsync_core.audio.polarity import is_inverse, seconds_of
from lipsync_core.audio.speech_encoder import SpeechEncoder
from lipsync_core.clock import StageClock
from lipsync_core.generators.viseme.hearing import AUDIBLE_DB, heard_speech
from lipsync_core.media.mixing import channel_rows
from lipsync_core.media.sound import AudioCut, decode_sound
from lipsync_core.options import JobOptions

_EXCERPT_S = 6  # with the 2 s of silence before it, one window of the speech encoder
_MOST_EXCERPTS = 3
_EXCERPT_FOR_S = 10  # one for each so many seconds
_LOUD_PERCENTILE = 95
_FULL_SCALE = 0.999
_FLAT = 3  # samples in a row at full scale: the peak of a sound that only just reaches it has fewer
_FLOOR_DB = -90.0
_SILENCE = 1e-6  # of the power of the louder channel, 60 dB below it
_PAIR = 2  # channels; of more, some are meant to be silent


@dataclass(frozen=True, slots=True)
class SoundAccount:
    """What the preflight heard."""

    duration_s: Fraction  # of the part that the job uses
    channels: int
    level_db: float  # below full scale, that the loudest twentieth of its audible 10 ms exceeds; of all where none is
    peak_db: float  # below full scale, of one sample; at most -0, where no decoder exceeds it
    audible_share: float  # 0..1 of the time, loud enough for the mouth to move
    speech_share: float  # 0..1 of the time, estimated from the loudest seconds
    clipped_per_s: float  # how often it stays at full scale
    silent_channel: int | None  # of two, the number of the one that holds nothing, from 0
    inverse_share: float  # 0..1 of its seconds in which the right channel is the inverse of the left one


@dataclass(frozen=True, slots=True)
class _Channels:
    """What only the channels tell, before they are mixed."""

    count: int
    peak: float  # 1 at full scale
    clipped: int
    powers: NDArray[np.float64]  # (C,) sums of squares
    inverse_share: float


def hear(audio: Path, options: JobOptions, encoder: SpeechEncoder, clock: StageClock) -> SoundAccount:
    """Hear the part of `audio` that `options` choose.

    Raises:
        NoAudioError: no audio stream, or no sample inside the cut.
        InputError: the file cannot be read.
    """
    cut = AudioCut(audio, options.start_s, options.end_s, options.audio_track)
    speech = SpeechReader(audio, clock, cut.start_s, cut.end_s, track=cut.track)
    meter = LevelMeter()
    for _ in meter.measure(speech):
        pass
    levels_db = meter.levels().level_db
    is_audible = levels_db > AUDIBLE_DB
    channels = _channels_of(cut)
    return SoundAccount(
        duration_s=speech.duration_s,
        channels=channels.count,
        level_db=_loud_db(levels_db[is_audible] if is_audible.any() else levels_db),
        peak_db=float(20 * np.log10(max(channels.peak, 1e-5))),
        audible_share=float(is_audible.mean()) if len(is_audible) else 0.0,
        speech_share=_speech_share(cut, is_audible, encoder, clock),
        clipped_per_s=channels.clipped / float(speech.duration_s),
        silent_channel=_silent_channel(channels),
        inverse_share=channels.inverse_share,
    )


def _loud_db(levels_db: NDArray[np.float32]) -> float:
    return float(np.percentile(levels_db, _LOUD_PERCENTILE)) if len(levels_db) else _FLOOR_DB


def _speech_share(cut: AudioCut, is_audible: NDArray[np.bool_], encoder: SpeechEncoder, clock: StageClock) -> float:
    """The share of all time in which somebody speaks, were all that is heard like the loudest seconds of each part."""
    spoken = audible = 0
    for first_s in _loudest_starts(is_audible):
        start_s = cut.start_s + first_s
        end_s = start_s + _EXCERPT_S if cut.end_s is None else min(cut.end_s, start_s + _EXCERPT_S)
        meter = LevelMeter()
        blocks = meter.measure(SpeechReader(cut.path, clock, start_s, end_s, track=cut.track))
        with clock.stage("listen"):
            rows = np.concatenate(list(encoder.encode(blocks)))
            levels = meter.levels()
            spoken += int((heard_speech(rows, levels) > 0.5).sum())
        audible += int((levels.level_db > AUDIBLE_DB).sum())
    return float(is_audible.mean()) * min(1.0, spoken / audible) if audible else 0.0


def _loudest_starts(is_audible: NDArray[np.bool_]) -> Iterator[int]:
    """The first second of each excerpt: in every part of the sound the one of which most can be heard."""
    length_s = ceil(len(is_audible) / LEVELS_HZ)
    parts = min(_MOST_EXCERPTS, ceil(length_s / _EXCERPT_FOR_S))
    heard = np.concatenate([[0], np.cumsum(is_audible)])
    for part in range(parts):
        first, end = length_s * part // parts, length_s * (part + 1) // parts
        starts = np.arange(first, max(first + 1, end - _EXCERPT_S + 1))
        ends = np.minimum((starts + _EXCERPT_S) * LEVELS_HZ, len(is_audible))
        counts = heard[ends] - heard[starts * LEVELS_HZ]
        if counts.max() > 0:
            yield int(starts[counts.argmax()])


def _channels_of(cut: AudioCut) -> _Channels:
    powers: NDArray[np.float64] = np.zeros(0)
    peak, clipped, inverse, seconds = 0.0, 0, 0, 0
    for second in seconds_of(decode_sound(cut)):
        rows = np.abs(channel_rows(second) / _full_scale(second))  # (C, N)
        power = np.square(rows).sum(axis=1)
        powers = power if not len(powers) else powers + power
        peak = max(peak, float(rows.max(initial=0.0)))
        clipped += _flat_tops(rows)
        inverse += is_inverse(second)
        seconds += 1
    return _Channels(len(powers), peak, clipped, powers, inverse / max(1, seconds))


def _full_scale(frame: av.AudioFrame) -> float:
    dtype = frame.to_ndarray().dtype
    if dtype.kind == "f":
        return 1.0
    return float(np.iinfo(dtype.name).max // 2 + 1 if dtype.kind == "u" else np.iinfo(dtype.name).max)


def _flat_tops(rows: NDArray[np.float64]) -> int:
    """How often one of the channels (C, N) stays at full scale."""
    if rows.shape[1] < _FLAT or rows.max() < _FULL_SCALE:
        return 0
    is_full = rows >= _FULL_SCALE
    is_flat = np.logical_and.reduce([is_full[:, at : rows.shape[1] - _FLAT + 1 + at] for at in range(_FLAT)])
    begins = is_flat[:, 1:] & ~is_flat[:, :-1]
    return int(begins.sum() + is_flat[:, 0].sum())


def _silent_channel(channels: _Channels) -> int | None:
    powers = channels.powers
    if channels.count != _PAIR or powers.max() <= 0 or powers.min() > _SILENCE * powers.max():
        return None
    return int(powers.argmin())
