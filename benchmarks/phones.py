"""Phones with times, from speech: pocketsphinx's phone recogniser over a stream of any length.

The acoustic and phone models are US English and come inside the pocketsphinx wheel. Other languages
give English phones of similar sound, which is enough to move a mouth.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pocketsphinx  # type: ignore[import-untyped]
from numpy.typing import NDArray

from lipsync_core.errors import ModelMissingError

RATE_HZ = 16000
FRAME = 160  # samples: the recogniser's step, 10 ms
SILENCE = "SIL"

#: The longest utterance that is decoded at once; it bounds the memory for a sound of any length.
_UTTERANCE_FRAMES = 3000
#: A cut falls on the quietest moment of the last 10 s of an utterance.
_CUT_WINDOW_FRAMES = 1000
#: A moment is as quiet as the 0.2 s around it.
_QUIET_FRAMES = 20
#: The recogniser's analysis window is 410 samples; it fails on anything shorter than one.
_SHORTEST = 410
#: Digital silence has no spectrum, and a fresh decoder takes it for the phone S; one bit of noise prevents that.
_DITHER = 1


@dataclass(frozen=True, slots=True)
class Phone:
    """One phone (ARPAbet without stress: AA, B, ...; SIL for silence; SPN, NSN for noise)."""

    label: str
    start_s: float
    end_s: float  # exclusive

    def __post_init__(self) -> None:
        if not 0.0 <= self.start_s < self.end_s:
            raise ValueError(f"phone {self.label} from {self.start_s} to {self.end_s} s")


_fresh: list[pocketsphinx.Decoder] = []  # opened beforehand, and not used yet


def open_beforehand() -> None:
    """Open the models for the next sound: a process that forks others does it once, and its children share the pages.

    Raises:
        ModelMissingError: the pocketsphinx package lacks its acoustic model.
    """
    _fresh.append(_open_decoder())


class PhoneRecogniser:
    """Recognises the phones of a speech and their times.

    The same samples give the same phones: the block lengths and earlier sounds do not matter.
    The phones follow each other without a gap from 0 to the end of the sound.
    """

    def recognise(self, blocks: Iterable[NDArray[np.int16]]) -> Iterator[Phone]:
        """Yield the phones in the 16 kHz mono int16 `blocks` ((n,) each), consumed once.

        At most about 30 s of sound are held.

        Raises:
            ModelMissingError: the pocketsphinx package lacks its acoustic model.
        """
        # A decoder keeps the mean spectrum of earlier sounds, so every sound gets a fresh decoder (0.1 s).
        decoder = _fresh.pop() if _fresh else _open_decoder()
        start = 0
        for utterance in _cut_utterances(blocks):
            yield from _decode(decoder, utterance, start)
            start += len(utterance)


def _open_decoder() -> pocketsphinx.Decoder:
    models = Path(pocketsphinx.get_model_path()) / "en-us"
    try:
        # Language weight and beams: CMU Sphinx's guide to phoneme recognition; insertion penalty: the study
        # behind the viseme generator.
        return pocketsphinx.Decoder(
            hmm=str(models / "en-us"),
            allphone=str(models / "en-us-phone.lm.bin"),
            lw=2.0,
            pip=0.3,
            beam=1e-20,
            pbeam=1e-20,
            loglevel="FATAL",
        )
    except (RuntimeError, ValueError) as exc:
        raise ModelMissingError(
            f"the speech recogniser's models cannot be read from {models}", "reinstall the package pocketsphinx"
        ) from exc


def _decode(decoder: pocketsphinx.Decoder, utterance: NDArray[np.int16], start: int) -> Iterator[Phone]:
    """The phones of one utterance that begins at sample `start`; the last one reaches to its end."""
    labels, firsts = [SILENCE], [0]
    if len(utterance) >= _SHORTEST:
        decoder.start_utt()
        decoder.process_raw(_dithered(utterance).tobytes(), full_utt=True)
        decoder.end_utt()
        segments = list(decoder.seg() or ())
        labels = [segment.word.strip("+") for segment in segments] or labels
        firsts = [segment.start_frame * FRAME for segment in segments] or firsts
    ends = [*firsts[1:], len(utterance)]
    for label, first, end in zip(labels, firsts, ends, strict=True):
        yield Phone(label, (start + first) / RATE_HZ, (start + end) / RATE_HZ)


def _dithered(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    noise = np.random.default_rng(0).integers(-_DITHER, _DITHER + 1, len(samples), np.int16)
    dithered: NDArray[np.int16] = np.clip(samples, -32768 + _DITHER, 32767 - _DITHER) + noise
    return dithered


def _cut_utterances(blocks: Iterable[NDArray[np.int16]]) -> Iterator[NDArray[np.int16]]:
    """Cut a stream into pieces of at most `_UTTERANCE_FRAMES`, each but the last a whole number of frames."""
    held: list[NDArray[np.int16]] = []
    held_samples = 0
    for block in blocks:
        held.append(block)
        held_samples += len(block)
        while held_samples >= _UTTERANCE_FRAMES * FRAME:
            joined = np.concatenate(held)
            cut = _quietest_cut(joined[: _UTTERANCE_FRAMES * FRAME])
            yield joined[:cut]
            held = [joined[cut:].copy()]
            held_samples -= cut
    if held_samples:
        yield np.concatenate(held)


def _quietest_cut(samples: NDArray[np.int16]) -> int:
    """The sample around which the sound is quietest, on the frame grid and within the window at the end."""
    window = samples[-_CUT_WINDOW_FRAMES * FRAME :].astype(np.float64).reshape(-1, FRAME)
    energy = np.square(window - window.mean()).sum(axis=1)
    around = np.convolve(energy, np.ones(_QUIET_FRAMES), mode="valid")
    frame = int(around.argmin()) + _QUIET_FRAMES // 2
    return len(samples) - (_CUT_WINDOW_FRAMES - frame) * FRAME
