"""Sound with lost packets, wrong times, other rates inside and edits: what is left of it stays where it was."""

from __future__ import annotations  # conftest.py is no module of its own

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.media.edit_lists import Edit, with_edits
from tests.media.sweep import RATE_HZ, heard, heard_at, sweep
from tests.media.untouched import write_untouched
from tests.sounds import write_sound

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg

SWEEP_S = 2.0
PICTURE = ("-f", "lavfi", "-i", f"testsrc2=s=64x48:r=25:d={SWEEP_S}")
PRIMING_S = 1024 / RATE_HZ


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    samples = (sweep(SWEEP_S) * 32767).astype(np.int16)
    return write_sound(tmp_path / "sweep.wav", "pcm_s16le", RATE_HZ, samples[:, None])


@pytest.fixture
def film(tmp_path: Path, ffmpeg: Ffmpeg) -> Path:
    path = tmp_path / "film.mp4"
    ffmpeg(*PICTURE, "-c:v", "libx264", "-preset", "ultrafast", path)
    return path


def dubbed(film: Path, sound: Path, folder: Path) -> tuple[np.ndarray, str]:
    """The sound of the whole result, and how it was written."""
    written = write_untouched(film, sound, folder / "out.mp4")
    return heard(folder / "out.mp4"), written.audio_note


@pytest.mark.parametrize(
    ("name", "codec", "lost"),
    [
        ("lost.mkv", ("libopus",), "eq(n,40)+eq(n,41)"),
        ("lost.mkv", ("libmp3lame",), "eq(n,30)+eq(n,31)"),
        ("lost.mkv", ("ac3",), "eq(n,25)"),
        ("lost.mkv", ("aac",), "eq(n,40)+eq(n,41)"),
        ("lost.mp4", ("aac",), "eq(n,40)"),
        ("lost.ts", ("aac",), "eq(n,40)+eq(n,41)"),
    ],
)
def test_lost_packets_move_no_other_sound(
    name: str, codec: tuple[str, ...], lost: str, wav: Path, film: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    whole, sound = tmp_path / f"whole{Path(name).suffix}", tmp_path / name
    ffmpeg("-i", wav, "-c:a", *codec, "-b:a", "192k", whole)
    ffmpeg("-i", whole, "-c", "copy", "-bsf:a", f"noise=drop='{lost}'", sound)
    rows, _ = dubbed(film, sound, tmp_path)
    late_s = [heard_at(rows, moment_s) - moment_s for moment_s in (0.3, 1.2, 1.7)]
    np.testing.assert_allclose(late_s, late_s[0], atol=0.005)


@pytest.mark.parametrize("change", [("-ar", "22050"), ("-ac", "2"), ("-ar", "44100", "-ac", "6")])
def test_aac_that_changes_within_is_encoded_as_it_sounds(
    change: tuple[str, ...], wav: Path, film: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    sound = tmp_path / "chained.aac"
    with sound.open("wb") as file:
        for number, settings in enumerate([("-ar", "48000"), change]):
            part = tmp_path / f"{number}.aac"
            ffmpeg("-ss", str(number), "-t", "1", "-i", wav, "-c:a", "aac", *settings, part)
            file.write(part.read_bytes())
    rows, note = dubbed(film, sound, tmp_path)
    assert note.startswith("aac ")
    first_s, *second_s = (heard_at(rows, moment_s) - moment_s for moment_s in (0.5, 1.2, 1.7))
    assert abs(first_s) < 0.03
    assert 0 < second_s[0] < 0.15  # each part has its priming and padding
    assert abs(second_s[0] - second_s[1]) < 0.005


@pytest.mark.parametrize("time", ["PREV_INPTS", "PTS-1440"])
@pytest.mark.parametrize("ending", ["mkv", "flv"])
def test_aac_with_a_time_that_falls_back_is_encoded(
    time: str, ending: str, wav: Path, film: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    whole, sound = tmp_path / "whole.m4a", tmp_path / f"back.{ending}"
    ffmpeg("-i", wav, "-c:a", "aac", whole)
    ffmpeg("-i", whole, "-c", "copy", "-bsf:a", f"setts=ts='if(eq(N\\,40)\\,{time}\\,PTS)'", sound)
    rows, note = dubbed(film, sound, tmp_path)
    assert note.startswith("aac ")
    late_s = [heard_at(rows, moment_s) - moment_s for moment_s in (0.3, 1.2, 1.7)]
    np.testing.assert_allclose(late_s, late_s[0], atol=0.005)


EDITS: dict[str, tuple[list[Edit], list[tuple[float, float]]]] = {
    "two parts": ([(0.8, 0.2), (0.8, 1.1)], [(0.5, 0.3), (1.4, 1.1)]),
    "in another order": ([(0.8, 1.1), (0.8, 0.2)], [(1.4, 0.3), (0.5, 1.1)]),
    "nothing in the middle": ([(0.6, 0.0), (0.4, None), (1.0, 0.6)], [(0.3, 0.3), (1.2, 1.6)]),
}


@pytest.mark.parametrize(("edits", "moments"), EDITS.values(), ids=EDITS)
def test_edits_of_the_sound_are_heard_as_they_are_listed(
    edits: list[Edit], moments: list[tuple[float, float]], wav: Path, film: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    """`moments` of the sweep, and where they are heard."""
    both = tmp_path / "edited.mp4"
    ffmpeg("-i", film, "-i", wav, "-c:v", "copy", "-c:a", "aac", both)
    primed: list[Edit] = [(length_s, None if at_s is None else at_s + PRIMING_S) for length_s, at_s in edits]
    with_edits(both, [(SWEEP_S, 0.0)], primed)
    rows, _ = dubbed(both, both, tmp_path)
    found = [heard_at(rows, moment_s) for moment_s, _ in moments]
    np.testing.assert_allclose(found, [at_s for _, at_s in moments], atol=0.025)  # an edit begins with a packet
