"""Synthetic speech with known sounds in many languages, and what the speech encoder hears in it.

    python -m training.hearing.speech TEXTS OUT

TEXTS is a folder with one UTF-8 text file a language (`de.txt`: one sentence a line); the card tells which were used.
OUT gets one `.npz` a language with the arrays of `Spoken`. eSpeak NG (Debian `espeak-ng`) speaks each language
in several voices, speeds and pitches; flite's four English voices (Debian `flite`) speak besides. Seeds are fixed.
"""

import ctypes
import logging
import shutil
import subprocess
import sys
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import SPEECH_RATE_HZ
from lipsync_core.audio.loudness import LevelMeter
from lipsync_core.audio.speech_encoder import MODEL, SpeechEncoder
from lipsync_core.models.store import ModelStore
from lipsync_core.workspace import Workspace
from training.hearing.records import ArrayRecord

_log = logging.getLogger(__name__)

_SENTENCES = 60  # a language, eSpeak
_FLITE_SENTENCES = 60  # a voice
_PAUSE_S = (0.2, 0.9)  # between sentences
_VARIANTS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5", "klatt", "klatt2", "klatt4")
_SHORTEST, _LONGEST = 12, 110  # letters of a sentence

# espeak-ng/speak_lib.h
_RETRIEVAL, _PHONEME_EVENTS, _PHONEME_IPA, _UTF8 = 2, 1, 2, 1
_PHONEME, _RATE, _PITCH, _RANGE = 7, 1, 3, 4

#: flite names sounds by ARPAbet in small letters; the letters of the alphabet for those that `visemes` has not.
_FLITE_MORE = {"ax": "ə", "pau": "", "axr": "ɚ"}


@dataclass(frozen=True, slots=True, eq=False)
class Spoken(ArrayRecord):
    """Speech of one language, and its sounds."""

    language: str
    rows: NDArray[np.float16]  # (N, 2, 384) of the speech encoder, 50 Hz
    level_db: NDArray[np.float32]  # (M,) 100 Hz
    starts_s: NDArray[np.float64]  # (P,)
    ends_s: NDArray[np.float64]  # (P,)
    labels: NDArray[np.str_]  # (P,) IPA; "" for silence
    voices: NDArray[np.str_]  # (P,) the voice of each sound


@dataclass(frozen=True, slots=True, eq=False)
class Sentence:
    """The sound of one sentence, and the sounds it is made of."""

    samples: NDArray[np.int16]  # (N,) 16 kHz
    sounds: tuple[tuple[float, float, str], ...]  # start and end in seconds, IPA
    voice: str


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """eSpeak NG's library, which tells the time of each sound."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        self._rate_hz: int = self._library.espeak_Initialize(_RETRIEVAL, 0, None, _PHONEME_EVENTS | _PHONEME_IPA)
        self._blocks: list[NDArray[np.int16]] = []
        self._events: list[tuple[int, str]] = []
        self._callback = _Callback(self._take)  # the library keeps no reference of its own
        self._library.espeak_SetSynthCallback(self._callback)

    def speaks(self, voice: str) -> bool:
        """Whether there is such a voice; it speaks from now on."""
        return bool(self._library.espeak_SetVoiceByName(voice.encode()) == 0)

    def say(self, text: str, voice: str, words_a_minute: int, pitch: int) -> Sentence:
        """One sentence by a voice that is there."""
        self._library.espeak_SetVoiceByName(voice.encode())
        for parameter, value in ((_RATE, words_a_minute), (_PITCH, pitch), (_RANGE, 50)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._blocks.clear()
        self._events.clear()
        spoken = text.encode()
        self._library.espeak_Synth(spoken, len(spoken) + 1, 0, 1, 0, _UTF8, None, None)
        sound = np.concatenate([*self._blocks, np.zeros(1, np.int16)])
        marks = [*self._events, (len(sound), "")]
        seconds = [sample / self._rate_hz for sample, _ in marks]
        sounds = tuple(
            (start, end, label)
            for (_, label), start, end in zip(marks, seconds, seconds[1:], strict=False)
            if end > start and not label.startswith("(")
        )
        return Sentence(_resampled(sound, self._rate_hz), sounds, voice)

    def _take(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[_Event]") -> int:
        if count:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while (event := events[index]).type:
            if event.type == _PHONEME:
                label = bytes(event.id.string).split(b"\0")[0].decode("utf-8", "ignore")
                self._events.append((event.sample, label))
            index += 1
        return 0


def flite(text: str, voice: str) -> Sentence:
    """One English sentence by flite."""
    program = shutil.which("flite")
    if program is None:
        raise FileNotFoundError("flite")
    with TemporaryDirectory() as folder:
        target = Path(folder) / "sentence.wav"
        told = subprocess.run(  # noqa: S603 (a list of arguments)
            [program, "-voice", voice, "-psdur", "-t", text, "-o", str(target)], check=True, capture_output=True
        ).stdout.decode()
        with wave.open(str(target)) as sound:
            rate_hz = sound.getframerate()
            samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
    sounds, start = [], 0.0
    for label, end in (part.split(":") for part in told.split()):
        sounds.append((start, float(end), _FLITE_MORE.get(label, label.upper())))
        start = float(end)
    return Sentence(_resampled(samples, rate_hz), tuple(sounds), f"flite {voice}")


def joined(sentences: Iterator[Sentence], seed: int) -> tuple[NDArray[np.int16], list[tuple[float, float, str, str]]]:
    """The sentences with pauses between them, each at a level of its own: samples (N,), and the sounds with voices."""
    random = np.random.default_rng(seed)
    blocks: list[NDArray[np.int16]] = []
    sounds: list[tuple[float, float, str, str]] = []
    length = 0
    for sentence in sentences:
        pause = np.zeros(int(random.uniform(*_PAUSE_S) * SPEECH_RATE_HZ), np.int16)
        peak = max(1, int(np.abs(sentence.samples.astype(np.int32)).max(initial=1)))
        level = 10 ** (random.uniform(-18, -3) / 20) * 32767 / peak
        length += len(pause)
        begin_s = length / SPEECH_RATE_HZ
        sounds += [(begin_s + start, begin_s + end, label, sentence.voice) for start, end, label in sentence.sounds]
        blocks += [pause, (sentence.samples * level).astype(np.int16)]
        length += len(sentence.samples)
    return np.concatenate([*blocks, np.zeros(SPEECH_RATE_HZ // 2, np.int16)]), sounds


def heard(language: str, sentences: Iterator[Sentence], encoder: SpeechEncoder, seed: int) -> Spoken:
    """What the encoder hears in the sentences of one language."""
    samples, sounds = joined(sentences, seed)
    meter = LevelMeter()
    rows = np.concatenate(list(encoder.encode(meter.measure([samples]))))
    starts, ends, labels, voices = zip(*sounds, strict=True)
    return Spoken(
        language,
        rows.astype(np.float16),
        meter.levels().level_db,
        np.array(starts),
        np.array(ends),
        np.array(labels),
        np.array(voices),
    )


def _espeak_sentences(espeak: Espeak, language: str, texts: list[str], seed: int) -> Iterator[Sentence]:
    random = np.random.default_rng(seed)
    for text in random.permutation(texts)[:_SENTENCES]:
        voice = f"{language}+{random.choice(_VARIANTS)}"
        yield espeak.say(str(text), voice, int(random.integers(125, 215)), int(random.integers(30, 70)))


def _resampled(samples: NDArray[np.int16], rate_hz: int) -> NDArray[np.int16]:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SPEECH_RATE_HZ)
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = rate_hz
    parts = [part.to_ndarray().reshape(-1) for part in (*resampler.resample(frame), *resampler.resample(None))]
    whole: NDArray[np.int16] = np.concatenate(parts)
    return whole


def _texts(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text().splitlines())
    return sorted({line for line in lines if _SHORTEST <= len(line) <= _LONGEST})


def main(texts: Path, out: Path) -> None:
    """Speak each language of `texts` that eSpeak NG has a voice for."""
    out.mkdir(parents=True, exist_ok=True)
    models = ModelStore(Workspace.default().models)
    encoder = SpeechEncoder.open(models.open_usable(MODEL).path("encoder"))
    espeak = Espeak()
    for seed, path in enumerate(sorted(texts.glob("*.txt"))):
        if not espeak.speaks(path.stem):
            _log.info("%s: no voice", path.stem)
            continue
        lines = _texts(path)
        heard(path.stem, _espeak_sentences(espeak, path.stem, lines, seed), encoder, seed).save(
            out / f"espeak_{path.stem}.npz"
        )
        _log.info("%s: spoken", path.stem)
    for seed, voice in enumerate(("slt", "rms", "awb", "kal16")):
        lines = [str(text) for text in np.random.default_rng(seed).permutation(_texts(texts / "en.txt"))]
        spoken = (flite(text, voice) for text in lines[:_FLITE_SENTENCES])
        heard("en", spoken, encoder, seed).save(out / f"flite_{voice}.npz")
        _log.info("flite %s: spoken", voice)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
