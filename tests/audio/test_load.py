"""Speech in the format of the models, from all kinds of files."""

import tracemalloc
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.audio.load import SPEECH_RATE_HZ, SoundPart, SpeechReader
from lipsync_core.clock import StageClock
from lipsync_core.errors import InputMissingError, NoAudioError, UnreadableMediaError
from lipsync_core.media.sound import AudioCut, decode_sound
from tests.conftest import Ffmpeg
from tests.shared_files import CLIPS, shared_file
from tests.sounds import CLICK_S, click, sound_frame, tone, write_sound, write_sound_with_hole
from tests.thorough import first_rows

AAC_BLOCK = 1024  # samples


def read(
    path: Path, start_s: Fraction = Fraction(0), end_s: Fraction | None = None
) -> tuple[NDArray[np.int16], Fraction]:
    reader = SpeechReader(path, StageClock(), start_s, end_s)
    blocks = list(reader)
    assert all(block.dtype == np.int16 and block.ndim == 1 for block in blocks)
    return np.concatenate(blocks), reader.duration_s


def click_s(samples: NDArray[np.int16]) -> float:
    return float(np.abs(samples.astype(int)).argmax()) / SPEECH_RATE_HZ


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "channels"),
    [
        ("in.wav", "pcm_s16le", 16000, 1),
        ("in.wav", "pcm_s24le", 48000, 2),
        ("in.wav", "pcm_u8", 11025, 1),
        ("in.wav", "pcm_f32le", 44100, 2),
        ("in.wav", "pcm_s16le", 48000, 6),
        ("in.flac", "flac", 96000, 2),
        ("in.mp3", "libmp3lame", 44100, 2),
        ("in.m4a", "aac", 44100, 2),
        ("in.mp4", "aac", 8000, 1),
        ("in.mkv", "aac", 48000, 2),
        ("in.ogg", "libopus", 48000, 1),
        ("in.mov", "alac", 44100, 2),
    ],
)
def test_speech_of_any_kind_becomes_16_khz_mono(
    tmp_path: Path, name: str, codec: str, rate_hz: int, channels: int
) -> None:
    source = write_sound(tmp_path / name, codec, rate_hz, click(rate_hz, channels))
    samples, duration_s = read(source)
    assert abs(click_s(samples) - CLICK_S) < 0.001
    assert abs(len(samples) - duration_s * SPEECH_RATE_HZ) <= 2
    padding_s = Fraction(AAC_BLOCK, rate_hz) if name == "in.mkv" else Fraction(0)  # Matroska does not state where it is
    assert 2 <= duration_s <= 2 + padding_s


def test_a_tone_keeps_its_pitch_and_level(tmp_path: Path) -> None:
    samples, _ = read(write_sound(tmp_path / "in.wav", "pcm_s16le", 44100, tone(44100, 2, 1.0, frequency_hz=500.0)))
    middle = samples[2000:10000].astype(float)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert abs(spectrum.argmax() * SPEECH_RATE_HZ / len(middle) - 500.0) < 2.0
    assert abs(middle.max() - 12000) < 120


def test_the_duration_counts_the_sources_own_samples(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "in.wav", "pcm_s16le", 44100, tone(44100, 1, 1.0)[:31337])
    assert read(source)[1] == Fraction(31337, 44100)


@pytest.mark.parametrize(
    ("start_s", "end_s", "duration_s"),
    [
        (Fraction(0), Fraction(3, 2), Fraction(3, 2)),
        (Fraction(1, 4), None, Fraction(7, 4)),
        (Fraction(1, 3), Fraction(4, 3), Fraction(1)),
        (Fraction(1, 2), Fraction(50), Fraction(3, 2)),
    ],
)
def test_a_cut_is_exact_to_the_sample(
    tmp_path: Path, start_s: Fraction, end_s: Fraction | None, duration_s: Fraction
) -> None:
    source = write_sound(tmp_path / "in.wav", "pcm_s16le", 48000, click(48000, 2))
    samples, found_s = read(source, start_s, end_s)
    assert found_s == duration_s
    assert abs(click_s(samples) - (CLICK_S - float(start_s))) < 0.0002


def test_a_hole_becomes_silence_and_nothing_drifts(tmp_path: Path) -> None:
    hole = (10 * AAC_BLOCK, 30 * AAC_BLOCK)
    samples, duration_s = read(write_sound_with_hole(tmp_path / "in.m4a", 48000, click(48000, 1), hole))
    assert duration_s == 2
    assert abs(click_s(samples) - CLICK_S) < 0.001


@pytest.mark.parametrize("hole_s", [1, 30, 1000], ids=["1 s", "30 s", "1000 s"])
def test_long_holes_are_filled_but_broken_clocks_are_not(tmp_path: Path, hole_s: int) -> None:
    """A splice in a transport stream may jump by hours, which must not become hours of silence."""
    rate_hz = 8000
    with av.open(str(tmp_path / "in.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate_hz)
        stream.codec_context.layout = "mono"
        for first_s in (0, 1 + hole_s):
            container.mux(stream.encode(sound_frame(tone(rate_hz, 1, 1.0), rate_hz, first_s * rate_hz)))
    _, duration_s = read(tmp_path / "in.mkv")
    assert duration_s == (2 + hole_s if hole_s <= 60 else 2)


def test_overlapping_timestamps_lose_no_sample(tmp_path: Path) -> None:
    rate_hz = 8000
    with av.open(str(tmp_path / "in.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate_hz)
        stream.codec_context.layout = "mono"
        for pts in (0, rate_hz // 2, 2 * rate_hz):  # the second begins before the first ends, half a second is missing
            container.mux(stream.encode(sound_frame(tone(rate_hz, 1, 1.0), rate_hz, pts)))
    assert read(tmp_path / "in.mkv")[1] == Fraction(7, 2)


def test_a_delay_before_the_first_sample_is_silence(tmp_path: Path) -> None:
    rate_hz = 16000
    with av.open(str(tmp_path / "in.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate_hz)
        stream.codec_context.layout = "mono"
        container.mux(stream.encode(sound_frame(click(rate_hz, 1), rate_hz, 3 * rate_hz)))
    samples, duration_s = read(tmp_path / "in.mkv")
    assert duration_s == 5
    assert not samples[: 3 * SPEECH_RATE_HZ].any()
    assert click_s(samples) == 3 + CLICK_S


def test_damaged_packets_are_skipped(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "in.mp3", "libmp3lame", 44100, tone(44100, 2, 4.0))
    data = bytearray(source.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    source.write_bytes(data)
    _, duration_s = read(source)
    assert 3 < duration_s < Fraction(41, 10)


def test_a_switch_of_rate_and_layout_in_the_middle_is_evened_out(tmp_path: Path) -> None:
    """Broadcasts do this between programmes; ADTS allows it at any packet."""
    first = write_sound(tmp_path / "first.aac", "aac", 44100, tone(44100, 2, 1.0))
    second = write_sound(tmp_path / "second.aac", "aac", 22050, tone(22050, 1, 1.0))
    (tmp_path / "both.aac").write_bytes(first.read_bytes() + second.read_bytes())
    frames = list(decode_sound(AudioCut(tmp_path / "both.aac")))
    assert {(frame.sample_rate, frame.layout.name) for frame in frames} == {(44100, "stereo")}
    samples, duration_s = read(tmp_path / "both.aac")
    assert abs(duration_s - 2) < Fraction(3, 20)
    later = samples[-8000:-4000].astype(float)
    spectrum = np.abs(np.fft.rfft(later * np.hanning(len(later))))
    assert abs(spectrum.argmax() * SPEECH_RATE_HZ / len(later) - 440.0) < 5.0


def test_channels_without_names_are_heard(tmp_path: Path) -> None:
    """FFmpeg refuses to mix ten channels that have no names."""
    with wave.open(str(tmp_path / "in.wav"), "wb") as file:
        file.setnchannels(10)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(click(16000, 1).repeat(10, axis=1).tobytes())
    samples, duration_s = read(tmp_path / "in.wav")
    assert (duration_s, click_s(samples)) == (2, CLICK_S)
    assert samples.max() == 30000


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "long.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        for _ in range(600):
            file.writeframes(bytes(2 * 16000))
    reader = SpeechReader(tmp_path / "long.wav", StageClock())
    tracemalloc.start()
    try:
        assert sum(len(block) for block in reader) == 600 * SPEECH_RATE_HZ
        assert tracemalloc.get_traced_memory()[1] < 1_000_000  # the samples alone are 19 MB
    finally:
        tracemalloc.stop()
    assert reader.duration_s == 600


def test_reading_is_timed_as_audio(tmp_path: Path) -> None:
    clock = StageClock()
    for _ in SpeechReader(write_sound(tmp_path / "in.wav", "pcm_s16le", 44100, tone(44100, 2, 2.0)), clock):
        pass
    rows = {row.stage: row for row in clock.timings()}
    assert rows["audio"].items > 0
    assert rows["audio"].wall_s > 0


def test_a_video_serves_as_the_audio(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    sound = write_sound(tmp_path / "in.wav", "pcm_s16le", 44100, tone(44100, 2, 3.0))
    pictures = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=3")
    ffmpeg(*pictures, "-i", sound, "-c:v", "libx264", "-c:a", "aac", tmp_path / "movie.mp4")
    samples, duration_s = read(tmp_path / "movie.mp4")
    assert abs(duration_s - 3) < Fraction(1, 50)
    assert np.abs(samples.astype(int)).max() > 1000


def test_a_real_video_serves_as_the_audio() -> None:
    samples, duration_s = read(shared_file(CLIPS / "latentsync_demo1_video.mp4"))
    assert abs(duration_s - 10) < Fraction(1, 50)
    assert np.abs(samples.astype(int)).max() > 1000


def test_reading_fails_when_it_is_done_twice(tmp_path: Path) -> None:
    reader = SpeechReader(write_sound(tmp_path / "in.wav", "pcm_s16le", 16000, tone(16000, 1, 0.5)), StageClock())
    with pytest.raises(RuntimeError, match="known once"):
        _ = reader.duration_s
    list(reader)
    with pytest.raises(RuntimeError, match="once"):
        list(reader)


def test_reading_fails_when_there_is_no_sample(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "empty.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
    with pytest.raises(NoAudioError) as failure:
        read(tmp_path / "empty.wav")
    assert "empty.wav" in failure.value.message
    assert failure.value.remedy


def test_reading_fails_when_the_start_is_past_the_end(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "in.wav", "pcm_s16le", 16000, tone(16000, 1, 1.0))
    with pytest.raises(NoAudioError, match=r"from 1\.5 s on.*earlier start"):
        read(source, Fraction(3, 2))


def test_reading_fails_when_there_is_no_audio_stream(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "silent.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 64, 48
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(NoAudioError, match="no audio"):
        read(tmp_path / "silent.mp4")


def test_reading_fails_when_the_file_is_no_media(tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("these are not sounds " * 100)
    with pytest.raises(UnreadableMediaError, match="notes"):
        read(tmp_path / "notes.wav")
    with pytest.raises(InputMissingError, match="missing"):
        read(tmp_path / "missing.wav")


def voice(rate_hz: int, channels: int, duration_s: float) -> NDArray[np.int16]:
    """(N, channels) noise that changes its loudness, in every channel other noise."""
    count = round(rate_hz * duration_s)
    noise = np.random.default_rng(7).normal(0, 3000, (count, channels))
    return (noise * (1.2 + np.sin(np.arange(count) / rate_hz * 3))[:, None]).astype(np.int16)


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "channels"),
    first_rows(
        [
            ("in.wav", "pcm_s16le", 8000, 1),
            ("in.wav", "pcm_u8", 11025, 1),
            ("in.wav", "pcm_s16le", 16000, 2),
            ("in.flac", "flac", 22050, 2),
            ("in.wav", "pcm_f32le", 44100, 2),
            ("in.mp3", "libmp3lame", 44100, 2),
            ("in.m4a", "aac", 48000, 2),
            ("in.wav", "pcm_s24le", 96000, 6),
        ],
        4,
    ),
)
@pytest.mark.parametrize("part", [SoundPart(2, 5), SoundPart(1, None), SoundPart(0, 4), SoundPart(6, 99)])
def test_a_part_has_the_samples_of_the_whole(
    tmp_path: Path, name: str, codec: str, rate_hz: int, channels: int, part: SoundPart
) -> None:
    source = write_sound(tmp_path / name, codec, rate_hz, voice(rate_hz, channels, 8.3))
    whole, whole_s = read(source)
    start_s = part.first_s + Fraction(1, 3)
    end_s = None if part.end_s is None else part.end_s - Fraction(1, 7)
    reader = SpeechReader(source, StageClock(), start_s, end_s, part)
    samples = np.concatenate(list(reader))
    end = None if part.end_s is None else part.end_s * SPEECH_RATE_HZ
    np.testing.assert_array_equal(samples, whole[part.first_s * SPEECH_RATE_HZ : end])
    expected_s = min(whole_s, whole_s if end_s is None else end_s) - start_s
    assert abs(reader.duration_s - expected_s) <= Fraction(1, rate_hz)


def test_the_duration_of_a_cut_does_not_depend_on_the_part_around_it(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "in.wav", "pcm_s16le", 44100, voice(44100, 2, 9.0))
    for start_s, end_s in ((Fraction(10, 3), Fraction(31, 7)), (Fraction(4), None)):
        alone_s = read(source, start_s, end_s)[1]
        part = SoundPart(1, None if end_s is None else 6)
        reader = SpeechReader(source, StageClock(), start_s, end_s, part)
        for _ in reader:
            continue
        assert reader.duration_s == alone_s


def test_reading_a_part_fails_when_its_cut_holds_no_sample(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "in.wav", "pcm_s16le", 16000, tone(16000, 1, 1.0))
    for part in (SoundPart(0, 3), SoundPart(5, 9)):
        with pytest.raises(NoAudioError, match=r"from 1\.5 s on.*earlier start"):
            list(SpeechReader(source, StageClock(), Fraction(3, 2), Fraction(2), part))
