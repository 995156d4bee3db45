"""Listening to the sound of a job: one decode gives the generator's conditions and the exact length."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lipsync_core.audio.load import SoundPart, SpeechReader
from lipsync_core.audio.loudness import LevelMeter, Levels
from lipsync_core.clock import StageClock
from lipsync_core.generators.contract import Conditions, InferringHalf
from lipsync_core.options import JobOptions


@dataclass(frozen=True, slots=True, eq=False)
class HeardSpeech:
    """The part of a sound that the result is for."""

    conditions: Conditions
    end_s: Fraction  # its exact end, from the beginning of the whole result: samples are counted, headers lie
    levels: Levels  # of what was heard
    levels_from_s: int = 0  # when they begin, in the whole sound


def speech_of(audio: Path, options: JobOptions, clock: StageClock, part: SoundPart | None = None) -> SpeechReader:
    """The part of `audio` that `options` choose: track, start and end; `part` is as for `SpeechReader`."""
    return SpeechReader(audio, clock, options.start_s, options.end_s, part, options.audio_track)


def listen(generator: InferringHalf, audio: Path, options: JobOptions, clock: StageClock) -> HeardSpeech:
    """Have `generator` hear the part of `audio` that `options` cut out; timed as stage "listen".

    It hears the cut as the whole sound would have it, so an excerpt is the part of the whole result.

    Raises:
        NoAudioError: no audio stream, or no sample inside the cut.
        InputError: the file cannot be read.
    """
    part = generator.part_to_hear(options.start_s, options.end_s)
    speech = speech_of(audio, options, clock, part)
    meter = LevelMeter()
    with clock.stage("listen"):
        conditions = generator.listen(meter.measure(speech), part)
    return HeardSpeech(conditions, options.start_s + speech.duration_s, meter.levels(), part.first_s)
