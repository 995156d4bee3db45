"""Sound whose channels cancel each other is heard; all other sound is mixed as FFmpeg mixes it."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.audio.load import SoundPart, SpeechReader
from lipsync_core.clock import StageClock
from lipsync_core.media.sound import AudioCut, decode_sound, flush
from tests.sounds import read_speech, tone, write_sound

RATE_HZ = 16_000


def speech(duration_s: float) -> NDArray[np.int16]:
    return read_speech(duration_s) // 2


def stereo(left: NDArray[np.generic], right: NDArray[np.generic]) -> NDArray[np.int16]:
    return np.stack([left, right], axis=1).astype(np.int16)


def heard(path: Path, start_s: Fraction = Fraction(0), part: SoundPart | None = None) -> NDArray[np.int16]:
    return np.concatenate(list(SpeechReader(path, StageClock(), start_s, None, part)))


def mixed_by_ffmpeg(path: Path) -> NDArray[np.int16]:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)

    def frames() -> Iterator[av.AudioFrame]:
        for frame in decode_sound(AudioCut(path)):
            yield from resampler.resample(frame)
        yield from flush(resampler)

    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames()])


def loudness(samples: NDArray[np.generic]) -> float:
    return float(np.sqrt(np.square(samples.astype(np.float64)).mean()))


def mixes() -> Iterable[object]:
    voice, noise = speech(4.5), np.random.default_rng(5).normal(0, 2000, round(4.5 * RATE_HZ))
    yield pytest.param(stereo(voice, voice), id="the same on both sides")
    yield pytest.param(stereo(voice, np.zeros_like(voice)), id="left only")
    yield pytest.param(stereo(np.zeros_like(voice), voice), id="right only")
    yield pytest.param(stereo(voice, np.roll(voice, 300)), id="delayed")
    yield pytest.param(stereo(voice + noise, voice - noise), id="a wide room")
    yield pytest.param(stereo(noise, np.roll(noise, 5000)), id="noise that is not related")
    yield pytest.param(np.zeros((4 * RATE_HZ, 2), np.int16), id="silence")


@pytest.mark.parametrize("samples", list(mixes()))
def test_usual_stereo_is_mixed_as_ffmpeg_mixes_it(samples: NDArray[np.int16], tmp_path: Path) -> None:
    source = write_sound(tmp_path / "in.wav", "pcm_s16le", RATE_HZ, samples)
    np.testing.assert_array_equal(heard(source), mixed_by_ffmpeg(source))


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [
        ("in.wav", "pcm_s16le", 16_000),
        ("in.wav", "pcm_u8", 11_025),
        ("in.wav", "pcm_s24le", 48_000),
        ("in.wav", "pcm_f32le", 44_100),
        ("in.m4a", "aac", 44_100),
        ("in.ogg", "libopus", 48_000),
    ],
)
def test_a_channel_that_is_the_inverse_of_the_other_does_not_silence_it(
    name: str, codec: str, rate_hz: int, tmp_path: Path
) -> None:
    voice = tone(rate_hz, 1, 2.5)[:, 0] // 2
    inverted = write_sound(tmp_path / name, codec, rate_hz, stereo(voice, -voice.astype(int)))
    usual = write_sound(tmp_path / f"usual {name}", codec, rate_hz, stereo(voice, voice))
    assert loudness(mixed_by_ffmpeg(inverted)) < 0.05 * loudness(heard(usual))
    assert loudness(heard(inverted)) == pytest.approx(loudness(heard(usual)), rel=0.05)


def test_inverse_speech_is_the_speech(tmp_path: Path) -> None:
    voice = speech(4.5)
    source = write_sound(tmp_path / "in.wav", "pcm_s16le", RATE_HZ, stereo(voice, -voice))
    assert np.abs(heard(source).astype(int) - voice).max() <= 1


def test_speech_that_is_inverse_for_a_while_has_no_gap_and_no_click(tmp_path: Path) -> None:
    voice = tone(RATE_HZ, 1, 6.0, frequency_hz=100.0)[:, 0]
    right = voice.copy()
    right[2 * RATE_HZ : 4 * RATE_HZ] *= -1
    samples = heard(write_sound(tmp_path / "in.wav", "pcm_s16le", RATE_HZ, stereo(voice, right)))
    for start in range(0, len(samples), RATE_HZ // 10):
        assert loudness(samples[start : start + RATE_HZ // 10]) > 0.4 * loudness(voice)


def test_a_part_of_inverse_sound_has_the_samples_of_the_whole(tmp_path: Path) -> None:
    voice = speech(8.5)
    right = voice.copy()
    right[3 * RATE_HZ : 5 * RATE_HZ + 800] *= -1
    source = write_sound(tmp_path / "in.wav", "pcm_s16le", RATE_HZ, stereo(voice, right))
    whole = heard(source)
    for first_s in (1, 3, 4, 5, 6, 8):
        part = heard(source, Fraction(first_s), SoundPart(first_s))
        np.testing.assert_array_equal(part, whole[first_s * RATE_HZ :])


def in_channel(number: int, voice: NDArray[np.int16]) -> NDArray[np.int16]:
    channels = np.zeros((len(voice), 6), np.int16)
    channels[:, number] = voice
    return channels


def test_the_centre_of_5_1_counts(tmp_path: Path) -> None:
    voice = speech(2.0)
    samples = in_channel(2, voice)
    samples[:, 0], samples[:, 1] = voice // 5, -(voice // 5)  # what surround decoders add
    source = write_sound(tmp_path / "in.wav", "pcm_s16le", RATE_HZ, samples)
    alone = write_sound(tmp_path / "alone.wav", "pcm_s16le", RATE_HZ, in_channel(2, voice))
    assert np.corrcoef(heard(source), voice)[0, 1] > 0.999
    np.testing.assert_array_equal(heard(alone), mixed_by_ffmpeg(alone))
    assert np.abs(heard(source).astype(int) - heard(alone)).max() <= 2


def test_the_front_of_5_1_is_heard_where_its_sides_are_inverse(tmp_path: Path) -> None:
    voice = speech(2.0)
    samples = in_channel(0, voice)
    samples[:, 1] = -voice
    source = write_sound(tmp_path / "in.wav", "pcm_s16le", RATE_HZ, samples)
    assert loudness(mixed_by_ffmpeg(source)) < 2
    assert np.corrcoef(heard(source), voice)[0, 1] > 0.999
