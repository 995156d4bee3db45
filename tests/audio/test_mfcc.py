"""The cepstrum against one that is written out by its definition, a number at a time."""

import math

import numpy as np
import pytest

from lipsync_core.audio.mfcc import mfcc
from tests.sounds import read_speech

SPEECH = read_speech(1.0)


def mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)


def written_out(samples: list[int], before: int) -> list[float]:
    """One row, of 400 samples."""
    sharp = [now - 0.97 * then for now, then in zip(samples, [before, *samples], strict=False)]
    spectrum = np.fft.fft(sharp + [0.0] * 112)[:257]
    power = [abs(value) ** 2 / 512 for value in spectrum]
    edges_hz = [700 * (10 ** (mel(8000) * k / 27 / 2595) - 1) for k in range(28)]
    bins = [math.floor(513 * hz / 16000) for hz in edges_hz]
    levels = []
    for low, middle, high in zip(bins, bins[1:], bins[2:], strict=False):
        rising = sum(power[k] * (k - low) / (middle - low) for k in range(low, middle))
        falling = sum(power[k] * (high - k) / (high - middle) for k in range(middle, high))
        levels.append(math.log(rising + falling))
    row = []
    for order in range(13):
        total = sum(level * math.cos(math.pi * order * (2 * k + 1) / 52) for k, level in enumerate(levels))
        scale = math.sqrt((1 if order == 0 else 2) / 26)
        row.append(total * scale * (1 + 11 * math.sin(math.pi * order / 22)))
    row[0] = math.log(sum(power))
    return row


@pytest.mark.parametrize("number", [0, 37, 97])
def test_a_row_is_that_of_the_definition(number: int) -> None:
    first = 160 * number
    before = int(SPEECH[first - 1]) if number else 0
    expected = written_out(SPEECH[first : first + 400].tolist(), before)
    np.testing.assert_allclose(mfcc(SPEECH)[number], expected, atol=1e-9)


def test_a_part_has_the_rows_of_the_whole() -> None:
    whole = mfcc(SPEECH)
    assert whole.shape == (98, 13)  # 1 + (16000 - 400) // 160
    np.testing.assert_allclose(mfcc(SPEECH[6400:], before=int(SPEECH[6399])), whole[40:], atol=1e-9)


def test_digital_silence_gives_numbers() -> None:
    assert np.isfinite(mfcc(np.zeros(800, np.int16))).all()


def test_less_than_a_window_has_no_row() -> None:
    assert mfcc(SPEECH[:399]).shape == (0, 13)
    assert mfcc(SPEECH[:400]).shape == (1, 13)
