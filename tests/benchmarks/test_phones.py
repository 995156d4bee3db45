"""The phone recogniser on real speech, on silence and noise, and at the seams of long streams."""

import tracemalloc
import wave
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import phones
import pocketsphinx
import pytest
from numpy.typing import NDArray
from phones import FRAME, RATE_HZ, Phone, PhoneRecogniser

from lipsync_core.errors import ModelMissingError
from tests.thorough import thorough

SPEECH = Path(__file__).parents[2] / "demo" / "speech.wav"


@pytest.fixture(scope="module")
def speech() -> NDArray[np.int16]:
    with wave.open(str(SPEECH)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def recognise(samples: NDArray[np.int16], block: int = 4096) -> list[Phone]:
    return list(PhoneRecogniser().recognise(blocks(samples, block)))


def blocks(samples: NDArray[np.int16], block: int) -> Iterator[NDArray[np.int16]]:
    return (samples[start : start + block] for start in range(0, len(samples), block))


def noise(seconds: float, level_db: float) -> NDArray[np.int16]:
    samples = np.random.default_rng(1).normal(0, 32768 * 10 ** (level_db / 20), int(seconds * RATE_HZ))
    return samples.astype(np.int16)


def test_the_spoken_sentence_is_heard(speech: NDArray[np.int16]) -> None:
    labels = " ".join(phone.label for phone in recognise(speech))
    assert "M AY M" in labels  # "My mouth"
    assert "OW P IY" in labels  # "spoke these": K and DH are weak, the labial is not
    assert labels.count("SIL") >= 3


def test_phones_follow_each_other_without_a_gap(speech: NDArray[np.int16]) -> None:
    phones = recognise(speech)
    assert phones[0].start_s == 0
    assert phones[-1].end_s == len(speech) / RATE_HZ
    assert all(a.end_s == b.start_s for a, b in pairwise(phones))


def test_the_same_sound_gives_the_same_phones_in_any_blocks_and_after_other_sound(speech: NDArray[np.int16]) -> None:
    recogniser = PhoneRecogniser()
    first = list(recogniser.recognise(blocks(speech, 1024)))
    list(recogniser.recognise([noise(1, -20)]))
    assert list(recogniser.recognise(blocks(speech, 7777))) == first


def test_models_that_were_opened_beforehand_serve_one_sound_and_change_nothing(
    speech: NDArray[np.int16], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recognise(speech)
    phones.open_beforehand()
    with monkeypatch.context() as patch:
        patch.setattr(pocketsphinx, "Decoder", None)  # no sound may open one now
        assert recognise(speech) == wanted
    assert recognise(speech) == wanted  # by another one: a decoder remembers what it has heard


@pytest.mark.parametrize("samples", [0, 1, 100, 409, 410, 411, 600, 1210])
def test_sound_of_a_few_samples_is_silence(samples: int) -> None:
    phones = recognise(np.zeros(samples, np.int16))
    assert [(phone.label, phone.end_s) for phone in phones] == ([("SIL", samples / RATE_HZ)] if samples else [])


@pytest.mark.parametrize("level_db", [-96, -66, -40, -20])
def test_silence_and_noise_hold_no_speech(level_db: float) -> None:
    assert {phone.label for phone in recognise(noise(3, level_db))} <= {"SIL", "SPN", "NSN"}


def test_full_scale_clipping_does_not_wrap_around() -> None:
    square = np.where(np.arange(RATE_HZ) // 80 % 2, 32767, -32768).astype(np.int16)
    assert recognise(square)[-1].end_s == 1.0


def test_long_speech_is_cut_in_its_pauses_at_exact_offsets(speech: NDArray[np.int16]) -> None:
    long = np.tile(speech, 7)  # 65 s: three utterances
    phones = recognise(long)
    assert phones[-1].end_s == len(long) / RATE_HZ
    assert all(a.end_s == b.start_s for a, b in pairwise(phones))
    starts_s = {phone.start_s for phone in recognise(speech) if phone.label in {"P", "B", "M"}}
    period_s = len(speech) / RATE_HZ
    late = [phone.start_s % period_s for phone in phones if phone.label in {"P", "B", "M"} and phone.start_s > 40]
    near = [start_s for start_s in late if min(abs(start_s - known) for known in starts_s) < 0.05]
    assert len(near) >= 0.8 * len(late) > 10


@thorough
def test_memory_does_not_grow_with_the_length() -> None:
    more_bytes = peak_bytes(95) - peak_bytes(65)  # the first to hold two utterances of 30 s is the shorter one
    assert more_bytes < 500_000  # the samples of 30 s would be 960,000


def peak_bytes(seconds: int) -> int:
    second = noise(1, -60)
    tracemalloc.start()
    try:
        for _ in PhoneRecogniser().recognise(second.copy() for _ in range(seconds)):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_phone_fails_when_it_ends_before_it_starts() -> None:
    with pytest.raises(ValueError, match="phone AA"):
        Phone("AA", 1.0, 1.0)


def test_recognising_fails_when_the_models_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pocketsphinx, "get_model_path", lambda *parts: str(tmp_path.joinpath(*filter(None, parts))))
    with pytest.raises(ModelMissingError, match="reinstall the package pocketsphinx"):
        list(PhoneRecogniser().recognise([np.zeros(FRAME, np.int16)]))
