"""The decoded sound of a file: frames without gaps. `tests/audio/test_load.py` covers it as speech."""

from fractions import Fraction
from pathlib import Path

from lipsync_core.media.sound import AudioCut, decode_sound
from tests.sounds import tone, write_sound


def test_frames_follow_each_other_without_a_gap(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "in.mkv", "aac", 44100, tone(44100, 2, 2.0))
    expected = 0
    for frame in decode_sound(AudioCut(source, Fraction(1, 7), Fraction(3, 2))):
        assert (frame.pts, frame.time_base, frame.sample_rate) == (expected, Fraction(1, 44100), 44100)
        expected += frame.samples
    assert expected == round(Fraction(3, 2) * 44100) - round(Fraction(44100, 7))
