"""An excerpt of a long sound reads its own part of the file, and has the samples of the whole."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lipsync_core.audio.load import SoundPart, SpeechReader
from lipsync_core.clock import StageClock
from lipsync_core.errors import NoAudioError
from lipsync_core.media.sound import AudioCut, decode_sound
from lipsync_core.media.soundtrack import check_soundtrack
from lipsync_core.media.starts import file_starts
from tests.thorough import first_of

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg

NOISE = ("-f", "lavfi", "-i", "anoisesrc=r=44100:d=150:a=0.3:seed=5")


def samples_of(cut: AudioCut) -> np.ndarray:
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in decode_sound(cut)])


def bytes_read(work: Callable[[], object]) -> int:
    """How much the process reads from files while it does `work`."""

    def so_far() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    before = so_far()
    work()
    return so_far() - before


@pytest.mark.parametrize(
    "name", first_of(["sound.flac", "sound.wav", "sound.aiff", "sound.au", "sound.w64", "sound.mp3"], 3)
)
def test_an_excerpt_far_behind_the_start_has_the_samples_of_the_whole(
    name: str, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    path = tmp_path / name
    ffmpeg(*NOISE, path)
    whole = samples_of(AudioCut(path))
    for start_s in (Fraction(30), Fraction(899, 7), Fraction(149)):
        first = round(start_s * 44100)
        piece = samples_of(AudioCut(path, start_s, start_s + 2))
        assert np.array_equal(piece, whole[first : first + len(piece)]) and len(piece) > 44000
    with pytest.raises(NoAudioError):
        samples_of(AudioCut(path, Fraction(151)))


@pytest.mark.parametrize("name", ["sound.flac", "sound.wav"])
def test_an_excerpt_reads_a_small_part_of_the_file(name: str, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    path = tmp_path / name
    ffmpeg(*NOISE, path)
    file_starts(path)  # is looked up once
    speech = SpeechReader(path, StageClock(), Fraction(120), Fraction(121), SoundPart(118, 126))
    read = bytes_read(lambda: list(speech))
    assert speech.duration_s == 1
    assert 0 < read < path.stat().st_size / 4


def test_a_copy_of_an_excerpt_is_checked_to_its_end_alone(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    path = tmp_path / "sound.m4a"
    ffmpeg(*NOISE, "-b:a", "192k", path)
    file_starts(path)
    index_bytes = 200_000  # it is read whole
    size = path.stat().st_size
    assert (
        bytes_read(lambda: check_soundtrack(AudioCut(path, end_s=Fraction(1)), ".mp4", "copy")) < size / 4 + index_bytes
    )
    assert bytes_read(lambda: check_soundtrack(AudioCut(path), ".mp4", "copy")) > size
