"""The decoded sound of a file: frames without gaps. `tests/audio/test_load.py` covers it as speech."""

from __future__ import annotations  # conftest.py is no module of its own

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lipsync_core.audio.load import SpeechReader
from lipsync_core.clock import StageClock
from lipsync_core.media.sound import AudioCut, decode_sound
from tests.hostile.corpus import uneven_flac
from tests.sounds import channel_rows, many_tones, tone, write_sound
from tests.thorough import first_rows

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg

EIGHT_HZ = (300, 400, 500, 60, 700, 800, 900, 1000)  # of FL, FR, FC, LFE, BL, BR, SL, SR
SIXTEEN_HZ = tuple(range(300, 1900, 100))
MAX_FREQUENCY_ERROR_HZ = 4
ROOT = Path(__file__).parents[2]
#: Decodes a file as both of its readers do; a crash of PyAV ends this process and not the test's.
READ = """
import json, sys
from pathlib import Path
from lipsync_core.media.probe import require_audio
from tests.media.test_sound import frequencies_hz, speech_level
path = Path(sys.argv[1])
channels = require_audio(path).channels
print(json.dumps({"found": frequencies_hz(path), "speech": speech_level(path), "channels": channels}))
"""


def frequencies_hz(path: Path) -> dict[str, list[float]]:
    """The loudest frequency of each channel, by the name of the layout."""
    frames = list(decode_sound(AudioCut(path)))
    rows = np.concatenate([channel_rows(frame) for frame in frames], axis=1)[:, 4800:].astype(float)  # (C, N)
    spectra = np.abs(np.fft.rfft(rows * np.hanning(rows.shape[1])))
    return {frames[0].layout.name: list(spectra.argmax(axis=1) * frames[0].sample_rate / rows.shape[1])}


def speech_level(path: Path) -> int:
    return int(max(np.abs(block).max() for block in SpeechReader(path, StageClock())))


def read_elsewhere(path: Path) -> dict[str, Any]:
    """What `READ` finds in `path`."""
    command = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[-500:]}"
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_frames_follow_each_other_without_a_gap(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "in.mkv", "aac", 44100, tone(44100, 2, 2.0))
    expected = 0
    for frame in decode_sound(AudioCut(source, Fraction(1, 7), Fraction(3, 2))):
        assert (frame.pts, frame.time_base, frame.sample_rate) == (expected, Fraction(1, 44100), 44100)
        expected += frame.samples
    assert expected == round(Fraction(3, 2) * 44100) - round(Fraction(44100, 7))


@pytest.mark.parametrize(
    ("name", "codec", "layout", "tones_hz"),
    first_rows(
        [
            ("in.m4a", ("aac",), "7.1", EIGHT_HZ),
            ("in.opus", ("libopus",), "7.1", EIGHT_HZ),
            ("in.mka", ("libopus", "-mapping_family", "255"), "7.1", EIGHT_HZ),
            ("in.ogg", ("libvorbis",), "7.1", EIGHT_HZ),
            ("in.flac", ("flac",), "7.1", EIGHT_HZ),
            ("in.wav", ("pcm_s16le",), "7.1", EIGHT_HZ),
            ("in.wv", ("wavpack",), "7.1", EIGHT_HZ),
            ("in.wv", ("wavpack",), "hexadecagonal", SIXTEEN_HZ),
        ],
        3,
    ),
)
def test_eight_channels_and_more_are_read_without_a_crash(
    ffmpeg: Ffmpeg, tmp_path: Path, name: str, codec: tuple[str, ...], layout: str, tones_hz: tuple[int, ...]
) -> None:
    """PyAV counts nine planes of eight, and reads the ninth wherever it leads."""
    source = tmp_path / name
    ffmpeg("-f", "lavfi", "-i", many_tones(tones_hz, layout), "-c:a", *codec, source)
    answer = read_elsewhere(source)
    ((_, found_hz),) = answer["found"].items()
    assert len(found_hz) == len(tones_hz)
    assert np.abs(np.subtract(found_hz, tones_hz)).max() < MAX_FREQUENCY_ERROR_HZ
    assert answer["speech"] > 1000


@pytest.mark.parametrize("name", ["in.mov", "in.mp4"])
@pytest.mark.parametrize(
    ("own_order", "tones_hz", "layout"),
    first_rows(
        [
            ("FR+FL", (400, 300), "stereo"),
            ("FL+FR+BL+BR+FC+LFE", (300, 400, 600, 700, 500, 60), "5.1"),
            ("FC+FL+FR+SL+SR+LFE", (500, 300, 400, 600, 700, 60), "5.1(side)"),
        ],
        2,
    ),
)
def test_channels_in_an_order_of_the_files_own_are_read_in_ffmpegs_and_without_a_crash(
    ffmpeg: Ffmpeg, tmp_path: Path, name: str, own_order: str, tones_hz: tuple[int, ...], layout: str
) -> None:
    """PyAV frees the list of such channels once for each look at it: the second ended the program."""
    source = tmp_path / name
    ffmpeg("-f", "lavfi", "-i", many_tones(tones_hz, own_order), "-c:a", "pcm_s16le", source)
    answer = read_elsewhere(source)
    ((found_layout, found_hz),) = answer["found"].items()
    assert found_layout == layout
    wanted_hz = (300, 400, 500, 60, 600, 700) if len(tones_hz) == 6 else (300, 400)
    assert np.abs(np.subtract(found_hz, wanted_hz)).max() < MAX_FREQUENCY_ERROR_HZ
    assert answer["speech"] > 1000
    assert answer["channels"] == len(tones_hz)


def test_the_first_channel_of_ambisonics_is_the_sound_from_all_sides(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    """FFmpeg refuses to mix them. The mean of the four is the sound from one corner."""
    unnamed, source = tmp_path / "unnamed.mka", tmp_path / "in.mka"
    tones = many_tones((300, 400, 500, 600), "quad")
    ffmpeg("-f", "lavfi", "-i", tones, "-c:a", "libopus", "-mapping_family", "255", unnamed)
    head = bytearray(unnamed.read_bytes())
    family = head.index(b"OpusHead") + 18  # RFC 7845, 5.1
    assert head[family] == 255
    head[family] = 2  # RFC 8486: ambisonics
    source.write_bytes(head)
    ((layout, (found_hz,)),) = frequencies_hz(source).items()
    assert layout == "mono"
    assert abs(found_hz - 300) < MAX_FREQUENCY_ERROR_HZ
    assert speech_level(source) > 1000


@pytest.mark.parametrize("rate_hz", [44100, 48000])
def test_a_fragment_for_each_frame_loses_no_sound_and_puts_no_silence_into_it(
    ffmpeg: Ffmpeg, tmp_path: Path, rate_hz: int
) -> None:
    """Its times are wrong by a frame again and again, and FFmpeg's demuxer has the decoder drop what comes then."""
    source = tmp_path / "in.mp4"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=2"),
        *("-f", "lavfi", "-i", f"sine=frequency=500:sample_rate={rate_hz}:duration=2", "-c:v", "libx264", "-bf", "0"),
        *("-c:a", "aac", "-movflags", "frag_every_frame+empty_moov", source),
    )
    rows = np.concatenate([channel_rows(frame) for frame in decode_sound(AudioCut(source))], axis=1)[0]
    assert 2 * rate_hz <= rows.size <= 2.1 * rate_hz
    turned = rows * np.exp(-2j * np.pi * 500 * np.arange(rows.size) / rate_hz)
    block = rate_hz // 100  # five periods
    blocks = turned[4 * 1024 : 2 * rate_hz - 1024]
    phasors = blocks[: blocks.size // block * block].reshape(-1, block).mean(axis=1)
    assert np.abs(phasors).min() > 0.8 * np.abs(phasors).max()  # no block is silent
    assert np.abs(np.angle(phasors / phasors[0])).max() < 0.2  # and none follows another of another time


def test_a_long_frame_of_another_rate_is_converted_in_parts(tmp_path: Path) -> None:
    """65,535 samples at 4 kHz are 786,420 at 48 kHz; at other rates a frame of so many is a gigabyte.

    By its number of the frame it begins at sample 12 x 65,535, too; twelve others follow it.
    """
    path = tmp_path / "uneven.flac"
    path.write_bytes(uneven_flac(4000, 65_535))
    counts = [frame.samples for frame in decode_sound(AudioCut(path))]
    assert sum(counts) == pytest.approx(2 * 786_420 + 12 * 4096, abs=100)
    assert max(counts) <= 1 << 18
