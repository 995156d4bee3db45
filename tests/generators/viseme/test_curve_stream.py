"""Curves that are made piece by piece, against those of the whole sound at once."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.audio.load import WHOLE_SOUND
from lipsync_core.audio.loudness import LevelMeter, Levels
from lipsync_core.audio.speech_encoder import MODEL, SpeechEncoder
from lipsync_core.generators.viseme.curve_stream import CurveStream
from lipsync_core.generators.viseme.curves import Curve
from lipsync_core.models.store import ModelStore
from lipsync_core.threads import no_thread_pools
from tests.sounds import read_speech
from tests.thorough import first_rows

RATE_HZ = 16_000
TAIL = 40  # curves after the end of the sound
REACH = 45  # rows on either side that a moment of `hear` depends on


def hear(rows: NDArray[np.float32], levels: Levels) -> NDArray[np.float32]:
    """Two features and the level, averaged over REACH rows on either side; -1 after the end of the sound."""
    count = len(levels.level_db)
    assert -(-count // 2) == len(rows)
    fine = np.repeat(rows[:, 0, :2], 2, axis=0)[:count]
    features = np.column_stack([fine, levels.level_db]).astype(np.float64)
    padded = np.pad(features, ((2 * REACH, 2 * REACH), (0, 0)), mode="edge")
    means = np.stack([padded[k : k + 4 * REACH + 1].mean(axis=0) for k in range(count)])
    curves = np.zeros((count + TAIL, len(Curve)), np.float32)
    curves[:count, :3] = means
    curves[count:] = -1
    return curves


@pytest.fixture
def stream(model_store: ModelStore) -> Iterator[CurveStream]:
    with no_thread_pools():
        yield CurveStream(encoder_of(model_store), hear, margin_s=1)


def encoder_of(models: ModelStore) -> SpeechEncoder:
    return SpeechEncoder.open(models.verify(MODEL).path("encoder"))


def blocks_of(sound: NDArray[np.int16], size: int = 1024) -> Iterator[NDArray[np.int16]]:
    for start in range(0, len(sound), size):
        yield sound[start : start + size]


@pytest.mark.parametrize("duration_s", [0.001, 0.5, 3.99, 4.0, 4.005, 5.0, 12.0, 22.73])
def test_pieces_give_what_the_whole_gives(stream: CurveStream, duration_s: float, model_store: ModelStore) -> None:
    sound = read_speech(duration_s)
    meter = LevelMeter()
    rows = np.concatenate(list(encoder_of(model_store).encode(meter.measure(blocks_of(sound)))))
    curves = stream.curves(blocks_of(sound))
    assert curves.first == 0
    np.testing.assert_allclose(curves.samples, hear(rows, meter.levels()), atol=1e-5)


def test_curves_do_not_depend_on_where_blocks_are_cut(stream: CurveStream) -> None:
    sound = read_speech(14.2)
    once = stream.curves([sound])
    for size in (777, 16_000):
        np.testing.assert_array_equal(stream.curves(blocks_of(sound, size)).samples, once.samples)


@pytest.mark.parametrize(
    ("start_s", "end_s"),
    first_rows(
        [
            (Fraction(0), Fraction(2)),
            (Fraction(3), Fraction(5)),
            (Fraction(61, 3), Fraction(25)),
            (Fraction(29), None),
            (Fraction(16), Fraction(99)),
        ],
        3,
    ),
)
def test_an_excerpt_has_the_curves_of_the_whole(stream: CurveStream, start_s: Fraction, end_s: Fraction | None) -> None:
    sound = read_speech(36.6)
    whole = stream.curves(blocks_of(sound), WHOLE_SOUND)
    part = stream.part_to_hear(start_s, end_s)
    stop = None if part.end_s is None else part.end_s * RATE_HZ
    curves = stream.curves(blocks_of(sound[part.first_s * RATE_HZ : stop]), part)
    times_s = np.arange(float(start_s) + 0.02, min(36.6, float(end_s or 99)), 0.04)
    np.testing.assert_array_equal(curves.at(times_s), whole.at(times_s))


def test_an_excerpt_of_a_long_sound_hears_a_bounded_part(stream: CurveStream) -> None:
    for start_s in range(0, 3600, 7):
        part = stream.part_to_hear(Fraction(start_s), Fraction(start_s + 2))
        assert part.end_s is not None
        assert part.end_s - part.first_s <= 2 + 2 * (1 + 4 + 1 + 8)


def test_hearing_fails_when_there_is_no_sound(stream: CurveStream) -> None:
    with pytest.raises(ValueError, match="no sound"):
        stream.curves([])
