"""The windows of a stretch: which pictures and which sound belong together, and where they end."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.audio.mfcc import mfcc
from lipsync_core.syncnet.windows import SoundTape, Windows, stretch_windows, windows_needed
from tests.sounds import read_speech

SPEECH = read_speech(3.0)
FRAME = 640


def numbered_crops(count: int) -> Iterator[NDArray[np.uint8]]:
    """Picture k is k all over."""
    return (np.full((224, 224, 3), number, np.uint8) for number in range(count))


def taped(samples: NDArray[np.int16] = SPEECH, block: int = 1000) -> SoundTape:
    return SoundTape(samples[first : first + block] for first in range(0, len(samples), block))


def joined(windows: Iterator[Windows]) -> tuple[NDArray[np.float32], list[list[int]]]:
    """The cepstra (N, 1, 13, 20), and the numbers of the pictures of each window."""
    parts = list(windows)
    faces = np.concatenate([part.faces for part in parts])
    assert faces.shape[1:] == (3, 5, 224, 224)
    return np.concatenate([part.cepstra for part in parts]), faces[:, 0, :, 100, 100].astype(int).tolist()


@pytest.mark.parametrize("block", [100, 48_000])
def test_each_window_has_five_pictures_and_the_twenty_rows_under_them(block: int) -> None:
    count, first = 11, 30
    cepstra, pictures = joined(stretch_windows(numbered_crops(15), taped(block=block), first, count))
    assert pictures == [[number + k for k in range(5)] for number in range(count)]
    rows = mfcc(SPEECH[first * FRAME :])  # the sound begins with the stretch
    expected = [rows[4 * number : 4 * number + 20].T for number in range(count)]
    np.testing.assert_allclose(cepstra[:, 0], np.array(expected), atol=1e-4)


def test_the_last_window_of_a_stretch_is_left_out() -> None:
    assert [windows_needed(frames) for frames in (0, 4, 5, 6, 100)] == [0, 0, 0, 1, 95]


@pytest.mark.parametrize(("samples", "expected"), [(20 * FRAME, 15), (20 * FRAME - 1, 14), (6 * FRAME, 1), (FRAME, 0)])
def test_windows_end_with_the_sound(samples: int, expected: int) -> None:
    crops = numbered_crops(100)
    found = sum(map(len, stretch_windows(crops, taped(SPEECH[:samples]), 0, 95)))
    assert found == expected
    assert next(crops)[0, 0, 0] == (found + 4 if found else 0)  # no picture is taken that no window shows


def test_a_tape_gives_samples_by_their_numbers() -> None:
    tape = taped(np.arange(5000, dtype=np.int16), block=300)
    assert tape.between(10, 700).tolist() == list(range(10, 700))
    assert tape.between(400, 410).tolist() == list(range(400, 410))
    assert tape.between(4000, 4001).tolist() == [4000]
    assert tape.between(4990, 6000).tolist() == list(range(4990, 5000))
    assert tape.between(7000, 7010).tolist() == []
