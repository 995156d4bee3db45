"""Mouth curves: they open for vowels, close for labials, and do not move without speech."""

import wave
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.audio.loudness import Levels
from lipsync_core.audio.phones import RATE_HZ, Phone, PhoneRecogniser
from lipsync_core.generators.viseme.curves import CURVES_HZ, LEAD_S, Curve, MouthCurves, curves_of, mouth_curves
from tests.shared_files import ROOT

SPEECH = ROOT / "demo" / "speech.wav"
OPEN_VOWELS = {"AA", "AE", "AH", "AO", "AY", "AW"}
BILABIALS = {"P", "B", "M"}
RATES_HZ = (24, 25, 30, 50)


@pytest.fixture(scope="module")
def speech() -> NDArray[np.int16]:
    with wave.open(str(SPEECH)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


@pytest.fixture(scope="module")
def phones(speech: NDArray[np.int16]) -> list[Phone]:
    return list(PhoneRecogniser().recognise([speech]))


@pytest.fixture(scope="module")
def curves(speech: NDArray[np.int16]) -> MouthCurves:
    return mouth_curves(blocks(speech))


def blocks(samples: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
    return (samples[start : start + 4096] for start in range(0, len(samples), 4096))


def frame_middles_s(duration_s: float, rate_hz: float, phase: float = 0.5) -> NDArray[np.float64]:
    return (np.arange(int(duration_s * rate_hz)) + phase) / rate_hz


def spoken(*timed: tuple[str, float]) -> list[Phone]:
    """Phones of the given labels and lengths in seconds, one after the other."""
    ends_s = np.cumsum([length_s for _, length_s in timed]).round(2)
    starts_s = [0.0, *ends_s[:-1].tolist()]
    return [Phone(label, start, end) for (label, _), start, end in zip(timed, starts_s, ends_s.tolist(), strict=True)]


def evenly_loud(phones: Sequence[Phone]) -> Levels:
    """Speech at -20 dBFS, its silences at -70, vowels neither open nor close by their formants."""
    level_db = np.full(round(phones[-1].end_s * CURVES_HZ), -20.0, np.float32)
    for phone in phones:
        if phone.label == "SIL":
            level_db[round(phone.start_s * CURVES_HZ) : round(phone.end_s * CURVES_HZ)] = -70.0
    return Levels(level_db, np.full(len(level_db), -2.5, np.float32))


def test_open_vowels_open_and_silence_shuts(curves: MouthCurves, phones: list[Phone]) -> None:
    for phone in phones:
        inside_s = np.arange(phone.start_s, phone.end_s, 0.01) - LEAD_S
        jaw = curves.at(inside_s)[:, Curve.JAW]
        if phone.label in OPEN_VOWELS and phone.end_s - phone.start_s >= 0.08:
            assert jaw.max() > 0.3, phone
        if phone.label == "SIL" and phone.end_s - phone.start_s >= 0.15:
            assert jaw[len(jaw) // 2] < 0.05, phone


def test_the_widest_vowels_reach_the_intended_opening(curves: MouthCurves) -> None:
    jaw = curves.at(frame_middles_s(9.33, 30))[:, Curve.JAW]
    assert 0.8 < jaw.max() <= 1.0
    assert 0.6 < np.percentile(jaw, 95) < 0.95


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("phase", [0.0, 0.25, 0.5, 0.75])
def test_every_bilabial_closes_in_some_frame(
    curves: MouthCurves, phones: list[Phone], rate_hz: float, phase: float
) -> None:
    times_s = frame_middles_s(9.33, rate_hz, phase)
    rows = curves.at(times_s)
    bilabials = [phone for phone in phones if phone.label in BILABIALS]
    assert len(bilabials) >= 10
    for phone in bilabials:
        near = (times_s > phone.start_s - LEAD_S - 0.03) & (times_s < phone.end_s - LEAD_S + 0.03)
        assert rows[near, Curve.CLOSURE].max() >= 0.95, phone
        assert rows[near, Curve.JAW].min() < 0.05, phone


@pytest.mark.parametrize("label", sorted(BILABIALS))
@pytest.mark.parametrize("length_s", [0.03, 0.05, 0.12])
def test_a_short_bilabial_between_open_vowels_is_shut_in_its_middle(label: str, length_s: float) -> None:
    said = spoken(("SIL", 0.3), ("AA", 0.2), (label, length_s), ("AA", 0.2), ("SIL", 0.3))
    row = curves_of(said, evenly_loud(said)).at(np.array([0.5 + length_s / 2 - LEAD_S]))[0]
    assert row[Curve.CLOSURE] >= 0.95
    assert row[Curve.JAW] < 0.05


def test_the_vowels_around_a_short_bilabial_still_open() -> None:
    said = spoken(("SIL", 0.3), ("AA", 0.2), ("B", 0.05), ("AA", 0.2), ("SIL", 0.3))
    jaw = curves_of(said, evenly_loud(said)).at(np.array([0.4, 0.65]) - LEAD_S)[:, Curve.JAW]
    assert jaw.min() > 0.6


def test_a_hold_of_40_ms_falls_into_a_frame_at_any_rate() -> None:
    said = spoken(("SIL", 0.3), ("AA", 0.2), ("B", 0.03), ("AA", 0.2), ("SIL", 0.3))
    curves = curves_of(said, evenly_loud(said))
    for rate_hz in (12, 15, 24, 25, 30):
        for phase in np.linspace(0, 1, 11):
            rows = curves.at(frame_middles_s(1.0, rate_hz, float(phase)))
            assert rows[:, Curve.CLOSURE].max() >= 0.95, (rate_hz, phase)


def test_the_lips_lead_the_sound() -> None:
    said = spoken(("SIL", 0.5), ("B", 0.1), ("AA", 0.3), ("SIL", 0.5))
    times_s = np.arange(0.3, 0.8, 0.005)
    closure = curves_of(said, evenly_loud(said)).at(times_s)[:, Curve.CLOSURE]
    full = times_s[closure >= 0.95]
    assert (full[0] + full[-1]) / 2 == pytest.approx(0.55 - 0.005 - LEAD_S, abs=0.006)


def test_only_p_b_and_m_close_fully() -> None:
    for label, closed in {"P": 1.0, "B": 1.0, "M": 1.0, "PB": 0.0, "BM": 0.0, "N": 0.0, "S": 0.0, "SIL": 0.0}.items():
        said = spoken(("SIL", 0.3), ("AA", 0.2), (label, 0.1), ("AA", 0.2), ("SIL", 0.3))
        closure = curves_of(said, evenly_loud(said)).at(np.arange(0.4, 0.7, 0.01))[:, Curve.CLOSURE]
        assert closure.max() == pytest.approx(closed, abs=0.01), label


@pytest.mark.parametrize(
    ("label", "curve"), [("F", Curve.TUCK), ("V", Curve.TUCK), ("TH", Curve.TONGUE), ("L", Curve.TONGUE)]
)
def test_lip_tuck_and_tongue_belong_to_their_phones_only(label: str, curve: Curve) -> None:
    said = spoken(("SIL", 0.3), ("AA", 0.3), (label, 0.06), ("AA", 0.3), ("SIL", 0.3))
    rows = curves_of(said, evenly_loud(said)).at(np.array([0.4, 0.63]) - LEAD_S)
    assert rows[0, curve] < 0.01
    assert rows[1, curve] > 0.7
    other = Curve.TONGUE if curve == Curve.TUCK else Curve.TUCK
    assert rows[:, other].max() == 0.0


def test_rounded_vowels_round_and_spread_ones_spread() -> None:
    said = spoken(("SIL", 0.3), ("UW", 0.3), ("SIL", 0.3), ("IY", 0.3), ("SIL", 0.3))
    width = curves_of(said, evenly_loud(said)).at(np.array([0.15, 0.45, 1.05]) - LEAD_S)[:, Curve.WIDTH]
    assert abs(width[0]) < 0.1
    assert width[1] < -0.8
    assert width[2] > 0.45


def test_a_pause_of_150_ms_shuts_the_mouth() -> None:
    said = spoken(("SIL", 0.3), ("AA", 0.3), ("SIL", 0.15), ("AA", 0.3), ("SIL", 0.3))
    jaw = curves_of(said, evenly_loud(said)).at(np.array([0.45, 0.675, 0.9]) - LEAD_S)[:, Curve.JAW]
    assert jaw[0] > 0.7
    assert jaw[1] < 0.05
    assert jaw[2] > 0.7


@pytest.mark.parametrize("rate_hz", [25, 30])
def test_the_mouth_moves_smoothly(curves: MouthCurves, rate_hz: float) -> None:
    steps = np.abs(np.diff(curves.at(frame_middles_s(9.33, rate_hz)), axis=0))
    assert steps[:, Curve.JAW].max() < 0.65  # lips open this fast after a bilabial
    assert np.percentile(steps[:, Curve.JAW], 95) < 0.4
    assert steps[:, Curve.WIDTH].max() < 0.35


def test_the_mouth_rests_after_the_last_sound_and_before_the_first(speech: NDArray[np.int16]) -> None:
    cut = mouth_curves([speech[: int(1.0 * RATE_HZ)]])  # in the middle of a word
    assert cut.at(np.array([1.5, 100.0])).max() < 1e-3
    assert np.abs(cut.at(np.array([-5.0]))).max() < 0.05


def silence(level_db: float | None) -> NDArray[np.int16]:
    if level_db is None:
        return np.zeros(3 * RATE_HZ, np.int16)
    samples = np.random.default_rng(0).normal(0, 32768 * 10 ** (level_db / 20), 3 * RATE_HZ)
    return samples.astype(np.int16)


@pytest.mark.parametrize("level_db", [None, -66, -40])
def test_silence_and_noise_leave_the_mouth_at_rest(level_db: float | None) -> None:
    assert not mouth_curves([silence(level_db)]).at(frame_middles_s(3, 25)).any()


@pytest.mark.parametrize("amplitude", [300, 8000, 32767])
def test_a_220_hz_tone_leaves_the_jaw_shut(amplitude: int) -> None:
    tone = amplitude * np.sin(2 * np.pi * 220 * np.arange(3 * RATE_HZ) / RATE_HZ)
    assert mouth_curves([tone.astype(np.int16)]).at(frame_middles_s(3, 25))[:, Curve.JAW].max() == 0.0


def test_whole_clip_below_52_db_counts_as_silence(speech: NDArray[np.int16]) -> None:
    faint = (speech * 0.004).astype(np.int16)
    assert not mouth_curves([faint]).at(frame_middles_s(9, 25)).any()


@pytest.mark.parametrize("samples", [0, 1, 100, 410, 1600])
def test_very_short_sound_gives_curves(samples: int) -> None:
    curves = mouth_curves([np.full(samples, 5000, np.int16)])
    assert curves.at(np.array([0.02])).shape == (1, len(Curve))
    assert curves.at(np.zeros(0)).shape == (0, len(Curve))


def test_loudness_clipping_and_offset_hardly_change_the_mouth(speech: NDArray[np.int16], curves: MouthCurves) -> None:
    times_s = frame_middles_s(9.33, 25)
    jaw = curves.at(times_s)[:, Curve.JAW]
    quiet, hot = speech // 8, np.clip(speech.astype(np.int32) * 3, -32768, 32767)
    for changed in (quiet, hot, np.clip(speech.astype(np.int32) + 3000, -32768, 32767)):
        heard = mouth_curves([changed.astype(np.int16)]).at(times_s)[:, Curve.JAW]
        assert np.corrcoef(jaw, heard)[0, 1] > 0.8


def test_chords_do_not_break_anything() -> None:
    times_s = np.arange(3 * RATE_HZ) / RATE_HZ
    beat = np.exp(-6 * (times_s % 0.5))
    music = 9000 * beat * sum(np.sin(2 * np.pi * pitch * times_s) for pitch in (262, 330, 392))
    rows = mouth_curves([np.clip(music, -32768, 32767).astype(np.int16)]).at(frame_middles_s(3, 25))
    assert np.isfinite(rows).all()
    assert rows[:, Curve.JAW].max() <= 1.0


def test_every_value_stays_in_its_range(curves: MouthCurves) -> None:
    rows = curves.at(np.arange(-1, 11, 0.003))
    assert rows.dtype == np.float32
    others = np.delete(rows, Curve.WIDTH, axis=1)
    assert others.min() >= 0.0
    assert others.max() <= 1.0
    assert np.abs(rows[:, Curve.WIDTH]).max() <= 1.0


def test_curves_fail_when_a_column_is_missing() -> None:
    with pytest.raises(ValueError, match="curves of shape"):
        MouthCurves(np.zeros((10, 3), np.float32))
