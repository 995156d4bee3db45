"""An excerpt hears what the whole sound hears at the same moments, and not much more than itself."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.audio.load import WHOLE_SOUND, SoundPart
from lipsync_core.audio.loudness import LevelMeter, Levels
from lipsync_core.audio.speech_encoder import MODEL, ROWS_HZ, SpeechEncoder, first_row, surroundings
from lipsync_core.clock import StageClock
from lipsync_core.generators.contract import InferringHalf
from lipsync_core.generators.viseme.generator import VisemeGenerator
from lipsync_core.generators.wav2lip import Identity, Wav2LipGenerator
from lipsync_core.generators.wav2lip_onnx import Wav2LipNetwork
from lipsync_core.listening import HeardSpeech, listen
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.threads import no_thread_pools
from tests.echo_network import write_echo
from tests.sounds import read_speech, write_sound
from tests.thorough import first_rows

CUTS = [
    (Fraction(0), Fraction(2)),
    (Fraction(3), Fraction(5)),
    (Fraction(61, 3), Fraction(25)),
    (Fraction(59), None),
    (Fraction(58), Fraction(99)),
]


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    rows: NDArray[np.float32]
    levels: Levels
    first_row: int
    first_level: int
    samples: int


class Ears:
    """The part of a generator that hears: rows of the speech encoder, and levels."""

    def __init__(self, encoder: SpeechEncoder) -> None:
        self._encoder = encoder

    def part_to_hear(self, start_s: Fraction, end_s: Fraction | None) -> SoundPart:
        return surroundings(start_s, end_s)

    def listen(self, speech: Iterable[NDArray[np.int16]], part: SoundPart = WHOLE_SOUND) -> Heard:
        meter, samples = LevelMeter(), 0

        def counted() -> Iterator[NDArray[np.int16]]:
            nonlocal samples
            for block in speech:
                samples += len(block)
                yield block

        rows = np.concatenate(list(self._encoder.encode(meter.measure(counted()), part.first_s)))
        return Heard(rows, meter.levels(), first_row(part.first_s), part.first_s * 100, samples)


@pytest.fixture
def ears(model_store: ModelStore) -> Iterator[Ears]:
    with no_thread_pools():
        yield Ears(SpeechEncoder.open(model_store.verify(MODEL).path("encoder")))


@pytest.fixture(scope="module", params=["in.wav", "in.m4a"])
def minute(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 s of speech that grows louder, at 44.1 kHz in stereo."""
    speech = np.resize(np.repeat(read_speech(9.0), 3), 60 * 44_100).astype(np.float64)  # nearly its own speed
    louder = (speech * np.linspace(0.1, 1.0, len(speech))).astype(np.int16)
    codec = "pcm_s16le" if request.param.endswith("wav") else "aac"
    folder = tmp_path_factory.mktemp("minute")
    return write_sound(folder / request.param, codec, 44_100, np.stack([louder, louder // 2], axis=1))


def heard(generator: InferringHalf, sound: Path, start_s: Fraction, end_s: Fraction | None) -> HeardSpeech:
    return listen(generator, sound, JobOptions(start_s=start_s, end_s=end_s), StageClock())


def test_an_excerpt_has_the_rows_and_levels_of_the_whole(ears: Ears, minute: Path) -> None:
    whole = heard(ears, minute, Fraction(0), None)
    for start_s, end_s in CUTS:
        part = heard(ears, minute, start_s, end_s)
        assert part.end_s == min(whole.end_s, end_s or whole.end_s)
        begin, end = int(start_s * ROWS_HZ), int(part.end_s * ROWS_HZ)
        conditions, all_of_it = part.conditions, whole.conditions
        np.testing.assert_array_equal(
            conditions.rows[begin - conditions.first_row : end - conditions.first_row], all_of_it.rows[begin:end]
        )
        place = slice(2 * begin - conditions.first_level, 2 * end - conditions.first_level)
        excerpt, wanted = conditions.levels.level_db[place], all_of_it.levels.level_db
        np.testing.assert_array_equal(excerpt, wanted[2 * begin : 2 * end])


def test_an_excerpt_hears_its_length_and_16_seconds_at_most(ears: Ears, minute: Path) -> None:
    for start_s, end_s in CUTS:
        part = heard(ears, minute, start_s, end_s)
        assert part.conditions.samples <= (part.end_s - start_s + 16) * 16_000


def test_an_excerpt_has_the_mouth_curves_of_the_whole(model_store: ModelStore, minute: Path) -> None:
    with no_thread_pools():
        generator = VisemeGenerator.open(model_store)
        whole = heard(generator, minute, Fraction(0), None)
        for start_s, end_s in CUTS:
            part = heard(generator, minute, start_s, end_s)
            times_s = np.arange(float(start_s) + 0.02, float(part.end_s), 0.04)
            curves = part.conditions.at(times_s)
            assert curves.any()
            np.testing.assert_array_equal(curves, whole.conditions.at(times_s))


@pytest.mark.parametrize(("start_s", "end_s"), first_rows(CUTS, 4))
def test_an_excerpt_has_the_mel_chunks_of_the_whole(
    start_s: Fraction, end_s: Fraction | None, minute: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra neural is not installed")
    generator = Wav2LipGenerator(Wav2LipNetwork(write_echo(tmp_path / "echo.onnx")), Identity("wav2lip", "echo"))
    whole, part = heard(generator, minute, Fraction(0), None), heard(generator, minute, start_s, end_s)
    times_s = np.arange(float(start_s), float(part.end_s), 0.04)
    np.testing.assert_allclose(part.conditions.at(times_s), whole.conditions.at(times_s), atol=1e-5)
