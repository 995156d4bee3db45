"""Speech in the format of the models: 16 kHz mono."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.polarity import in_phase
from lipsync_core.clock import StageClock
from lipsync_core.media.opening import reading
from lipsync_core.media.sound import AudioCut, decode_part, decode_sound, flush, no_sound_in

#: The sample rate on which the speech encoder and Wav2Lip were trained.
SPEECH_RATE_HZ = 16000
_STAGE = "audio"
_RUN_IN_S = 1  # after which a resampler gives what it gives in the middle of a sound


@dataclass(frozen=True, slots=True)
class SoundPart:
    """The part [first_s, end_s) of a sound, in whole seconds, which begin with a sample at every rate."""

    first_s: int = 0
    end_s: int | None = None


WHOLE_SOUND = SoundPart()


class SpeechReader:
    """One audio stream of any file that FFmpeg reads, as blocks of (N,) int16 at 16 kHz, mono.

    `track` is as for `media.tracks.audio_stream`. Can be iterated once; memory does not grow with the length.
    `duration_s` is known afterwards.

    By default it yields the cut [start_s, end_s) alone. With a `part`, which holds the cut, it yields that, with the
    samples that the whole sound would have there, bit for bit.
    """

    def __init__(
        self,
        path: Path,
        clock: StageClock,
        start_s: Fraction = Fraction(0),
        end_s: Fraction | None = None,
        part: SoundPart | None = None,
        track: str | None = None,
    ) -> None:
        self._cut = AudioCut(path, start_s, end_s, track)
        self._part = part
        self._clock = clock
        self._duration_s = Fraction(0)
        self._is_started = False
        self._is_finished = False

    def __iter__(self) -> Iterator[NDArray[np.int16]]:
        """Blocks in order, timed as stage "audio".

        Raises:
            NoAudioError: no audio stream, or no sample inside the cut.
            InputError: the file cannot be read.
        """
        if self._is_started:
            raise RuntimeError("a SpeechReader can be iterated once")
        self._is_started = True
        return self._clock.timed(_STAGE, self._blocks())

    @property
    def duration_s(self) -> Fraction:
        """Seconds from the cut's first sample to its end, counted in the source's own samples."""
        if not self._is_finished:
            raise RuntimeError("the duration is known once every block was read")
        return self._duration_s

    def _blocks(self) -> Iterator[NDArray[np.int16]]:
        with reading(self._cut.path):
            if self._part is None:
                yield from _resampled(self._counted(decode_sound(self._cut), self._cut.start_s))
            else:
                yield from self._blocks_of(self._part)
        self._is_finished = True

    def _blocks_of(self, part: SoundPart) -> Iterator[NDArray[np.int16]]:
        """The samples of `part`, resampled together with a second around it: the resampler looks at neighbours."""
        read_s = Fraction(max(0, part.first_s - _RUN_IN_S))
        end_s = None if part.end_s is None else Fraction(part.end_s + _RUN_IN_S)
        frames = decode_part(AudioCut(self._cut.path, read_s, end_s, self._cut.track))
        kept = _samples(0 if part.end_s is None else part.end_s - part.first_s)
        skipped = _samples(part.first_s) - round(read_s * SPEECH_RATE_HZ)
        for block in _resampled(self._counted(frames, read_s)):
            wanted = block[skipped:] if part.end_s is None else block[skipped : skipped + kept]
            skipped, kept = max(0, skipped - len(block)), kept - len(wanted)
            if len(wanted):
                yield wanted
        if not self._duration_s:
            raise no_sound_in(self._cut)

    def _counted(self, frames: Iterable[av.AudioFrame], read_s: Fraction) -> Iterator[av.AudioFrame]:
        """Count the samples of the cut among those of `frames`, which begin at `read_s`."""
        for frame in frames:
            first = (frame.pts or 0) + round(read_s * frame.sample_rate)
            start, end = self._cut.samples(frame.sample_rate)
            inside = min(first + frame.samples, first + frame.samples if end is None else end) - max(first, start)
            self._duration_s += Fraction(max(0, inside), frame.sample_rate)
            yield frame


def _resampled(frames: Iterable[av.AudioFrame]) -> Iterator[NDArray[np.int16]]:
    """The samples of `frames` as (N,) int16 at 16 kHz."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SPEECH_RATE_HZ)
    for frame in in_phase(frames):
        yield from _arrays(resampler.resample(frame))
    yield from _arrays(flush(resampler))


def _samples(seconds: int) -> int:
    return seconds * SPEECH_RATE_HZ


def _arrays(frames: list[av.AudioFrame]) -> Iterator[NDArray[np.int16]]:
    for frame in frames:
        yield frame.to_ndarray().reshape(-1).astype(np.int16, copy=False)  # (N,)
