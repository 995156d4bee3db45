"""Speech in the format of the models: 16 kHz mono."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.media.sound import AudioCut, decode_sound, flush

#: The sample rate on which pocketsphinx's acoustic models and Wav2Lip were trained.
SPEECH_RATE_HZ = 16000
_STAGE = "audio"


class SpeechReader:
    """The first audio stream of any file that FFmpeg reads, as blocks of (N,) int16 at 16 kHz, mono.

    Can be iterated once; memory does not grow with the length. `duration_s` is known afterwards.
    """

    def __init__(
        self, path: Path, clock: StageClock, start_s: Fraction = Fraction(0), end_s: Fraction | None = None
    ) -> None:
        self._cut = AudioCut(path, start_s, end_s)
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
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SPEECH_RATE_HZ)
        for frame in decode_sound(self._cut):
            self._duration_s += Fraction(frame.samples, frame.sample_rate)
            yield from _arrays(resampler.resample(frame))
        yield from _arrays(flush(resampler))
        self._is_finished = True


def _arrays(frames: list[av.AudioFrame]) -> Iterator[NDArray[np.int16]]:
    for frame in frames:
        yield frame.to_ndarray().reshape(-1).astype(np.int16, copy=False)  # (N,)
