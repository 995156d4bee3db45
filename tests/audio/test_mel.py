"""The mel spectrogram against the public implementation's, and its behaviour as a stream."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.audio.mel import MEL_SILENCE, mel_filters, mel_spectrogram
from tests.shared_files import GOLDEN, needs_golden

MELS = GOLDEN / "mel.npz"
SIGNALS = ("chirp_noise", "silence", "full_scale_square", "odd_length", "short_801_samples", "speech_9_3s")


def blocks_of(wave: NDArray[np.float32], size: int) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(wave), size):
        yield wave[start : start + size]


@needs_golden
@pytest.mark.parametrize("name", SIGNALS)
def test_matches_the_public_implementation(name: str) -> None:
    golden = np.load(MELS)
    mel = mel_spectrogram([golden[f"wave_{name}"]])
    assert mel.shape == golden[f"mel_{name}"].shape
    assert mel.dtype == np.float32
    assert np.abs(mel - golden[f"mel_{name}"]).max() < 1e-3


@pytest.mark.parametrize("size", [1, 399, 1024, 70000])
def test_does_not_depend_on_where_blocks_are_cut(size: int) -> None:
    wave = np.random.default_rng(1).normal(0.0, 0.1, 16_001).astype(np.float32)
    np.testing.assert_allclose(mel_spectrogram(blocks_of(wave, size)), mel_spectrogram([wave]), atol=1e-5)


def test_int16_gives_what_float_gives() -> None:
    coded = np.random.default_rng(2).normal(0.0, 3000.0, 16_001).astype(np.int16)
    as_float = (coded / 32768.0).astype(np.float32)
    np.testing.assert_allclose(mel_spectrogram([coded]), mel_spectrogram([as_float]), atol=1e-5)


def test_a_tone_is_loudest_in_the_band_that_holds_it() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    loudest = int(mel_spectrogram([tone])[:, 40].argmax())
    assert mel_filters()[loudest, 50] == mel_filters()[:, 50].max()  # bin 50 of 20 Hz each


@pytest.mark.parametrize(("samples", "columns"), [(0, 0), (1, 1), (2, 1), (199, 1), (200, 2), (400, 3), (401, 3)])
def test_sound_shorter_than_a_window_is_mirrored_not_refused(samples: int, columns: int) -> None:
    mel = mel_spectrogram([np.zeros(samples, np.int16)])
    assert mel.shape == (80, columns)
    assert (mel == MEL_SILENCE).all()


def test_a_long_sound_needs_memory_for_its_columns_only() -> None:
    rng = np.random.default_rng(0)
    block = rng.integers(-3000, 3000, 16000, dtype=np.int16)
    tracemalloc.start()
    mel = mel_spectrogram(block for _ in range(240))  # 4 minutes: 7.7 MB as int16, 6.1 MB of columns
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert mel.shape == (80, 240 * 80 + 1)
    assert peak_bytes < 2.5 * mel.nbytes  # the columns, and the columns joined
