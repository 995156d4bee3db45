"""Films of every kind through reading and writing: what the re-opened result shows is what the source shows.

`docs/formats.md` has a row for each; the films cover all pairs of containers, codecs, pixels, colours, rates, ...
"""

from __future__ import annotations  # conftest.py is no module of its own

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lipsync_core.media.tracks import mp4_language
from lipsync_core.options import JobOptions
from tests.conftest import Ffmpeg
from tests.covering import Row
from tests.format_table import check_row, labels
from tests.media.films import PICTURES, film_rows, label, make_film, says_when_decoded, voice, write_sources
from tests.media.shown import HEARD_HZ, Shown, delay_s, halved, psnr, shown
from tests.media.sound_files import LATE, make_sound, sound_label, sound_rows
from tests.media.still_files import make_still, still_label, still_rows
from tests.media.untouched import write_untouched
from tests.playable import faults
from tests.test_formats import movie_cells
from tests.thorough import first_of

FILMS = film_rows()
SOUNDS, STILLS = sound_rows(), still_rows()
SECTION = "Films"
ORDER = [label(row) for row in FILMS]
BEST = JobOptions(length="video", crf=4)
LEAST_DB = 34.0
MAX_OFFSET_S = 0.005
MAX_LEVEL_DB = 2.0
VOICE_CHANNEL = {"mono": 0, "right": 1, "5.1": 2, "7.1": 2}
WITHOUT_LATE_PICTURES = ("3gp", "m4v", "mpg", "wmv")  # FFmpeg's muxers of these write no such distance
BWDIF = "bwdif=mode=send_frame:parity=auto:deint=all"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    write_sources(folder)
    return folder


@pytest.mark.parametrize("row", first_of(FILMS, 30), ids=label)
def test_a_result_shows_and_says_what_its_film_does(row: Row, sources: Path, tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    film, output = make_film(row, sources, ffmpeg), tmp_path / "out.mp4"
    written = write_untouched(film, film, output, BEST)
    before = shown(film, filters=BWDIF if row["fields"] != "whole" else "", folder=tmp_path)
    after = shown(output, folder=tmp_path)
    assert faults(output) == []
    assert_times(before, after, row)
    assert_pictures(before, after)
    assert_sound(before, after, row)
    assert tags(output) == tags(film)
    changed = "; ".join(written.changes) or "–"
    check_row(SECTION, f"| {label(row)} | {' | '.join(movie_cells(output))} | {changed} |", ORDER)


def assert_times(before: Shown, after: Shown, row: Row) -> None:
    expected_s = before.times_s - start_s(before)
    if says_when_decoded(row):
        expected_s = np.arange(len(before.times_s)) / float(Fraction(row["rate"]))
    assert len(expected_s) in (PICTURES, PICTURES - 1)  # MXF leaves the last one to the sound
    expected_s[0] = 0.0  # a late picture is shown from the beginning
    np.testing.assert_allclose(after.times_s, expected_s, atol=0.0016)
    if row["rate"] == "varied":
        assert np.diff(expected_s[1:]).std() > 0.004
    if row["start"] == "late picture" and row["container"] not in WITHOUT_LATE_PICTURES:
        assert expected_s[1] > 0.19


def assert_pictures(before: Shown, after: Shown) -> None:
    (_, height, width, _), (_, shown_height, shown_width, _) = before.pictures.shape, after.pictures.shape
    added = (shown_height - height, shown_width - width)  # one line each way, where the size is odd, at any side
    assert added in {(0, 0), (height % 2, width % 2)}
    crops = [(top, left) for top in range(added[0] + 1) for left in range(added[1] + 1)]
    for one, other in zip(before.pictures, after.pictures, strict=True):
        halves = (halved(other[top : top + height, left : left + width]) for top, left in crops)
        assert max(psnr(halved(one), half) for half in halves) > LEAST_DB


def assert_sound(before: Shown, after: Shown, row: Row) -> None:
    """It begins where it did, to the sample nearly, in the channel in which it was, and as loud."""
    heard = [(each, int(np.square(each.sound).sum(0).argmax())) for each in (before, after)]
    placed = [placed_sound(each, channel, start_s(before) if each is before else 0.0) for each, channel in heard]
    shift_s = 0.0 if not says_when_decoded(row) else min(before.times_s[0], before.sound_s) - before.sound_s
    assert abs(delay_s(*placed) - shift_s) < MAX_OFFSET_S
    loud = [float(np.sqrt(np.square(each.sound[:, channel]).sum())) for each, channel in heard]
    assert abs(20 * np.log10(loud[1] / loud[0])) < MAX_LEVEL_DB
    if row["channels"] != "stereo":  # both channels say the same
        assert heard[0][1] == heard[1][1] == VOICE_CHANNEL[row["channels"]]


def placed_sound(each: Shown, channel: int, zero_s: float) -> NDArray[np.float32]:
    """(N,) one channel from the time `zero_s` on."""
    silence = np.zeros(max(0, round((each.sound_s - zero_s) * HEARD_HZ)), np.float32)
    return np.concatenate([silence, each.sound[:, channel]])


def start_s(each: Shown) -> float:
    """The first of both."""
    return min(float(each.times_s[0]), each.sound_s)


def tags(path: Path) -> tuple[str, str, str]:
    with av.open(str(path)) as container:
        title = {key.lower(): value for key, value in container.metadata.items()}.get("title", "")
        streams = (container.streams.video[0], container.streams.audio[0])
        return title, *(mp4_language(stream.metadata.get("language", "")) for stream in streams)


@pytest.mark.parametrize("row", first_of(SOUNDS, 20), ids=sound_label)
def test_a_result_says_what_its_sound_file_does(row: Row, sources: Path, tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    sound, output = make_sound(row, sources / "voice.raw", tmp_path, ffmpeg), tmp_path / "out.mp4"
    still = tmp_path / "still.png"
    ffmpeg("-f", "lavfi", "-i", "color=c=gray:size=64x48", "-frames:v", "1", still)
    written = write_untouched(still, sound, output, JobOptions())
    before, after = shown(sound, picture=None, folder=tmp_path), shown(output, folder=tmp_path)
    assert faults(output) == []
    channel = int(np.square(after.sound).sum(0).argmax())
    if row["channels"] != "stereo":
        assert channel == VOICE_CHANNEL[row["channels"]]
    own = before.sound[:, int(np.square(before.sound).sum(0).argmax())]
    true = voice().astype(np.float32) / 2**15 if row["kind"] not in LATE else own
    placed = placed_sound(after, channel, 0.0)
    assert abs(delay_s(true, placed)) < MAX_OFFSET_S
    assert abs(10 * np.log10(np.square(placed).sum() / np.square(own).sum())) < MAX_LEVEL_DB
    assert abs(after.times_s[-1] + 0.04 - len(true) / HEARD_HZ) < 0.08  # a picture, and the block that WMA loses
    row_cells = " | ".join(movie_cells(output))
    check_row(
        "Sound files", f"| {sound_label(row)} | {row_cells} | {written.audio_note} |", [*map(sound_label, SOUNDS)]
    )


@pytest.mark.parametrize("row", first_of(STILLS, 20), ids=still_label)
def test_a_result_shows_what_its_still_does(row: Row, speech_wav: Path, tmp_path: Path) -> None:
    still, output = make_still(row, tmp_path), tmp_path / "out.mp4"
    options = JobOptions(crf=4, end_s=Fraction(1, 5))
    written = write_untouched(still, speech_wav, output, options)
    with Image.open(still) as image:
        is_grey = image.mode == "I;16"
        plain = image.point(lambda value: value / 257).convert("L") if is_grey else image
        upright = np.asarray(ImageOps.exif_transpose(plain).convert("RGB"))
    after = shown(output, folder=tmp_path)
    assert faults(output) == []
    np.testing.assert_allclose(after.times_s, np.arange(5) / 25, atol=0.001)
    still_shown = Shown(after.times_s, np.repeat(upright[None], 5, axis=0), 0.0, after.sound)
    assert_pictures(still_shown, after)
    changed = "; ".join(written.changes) or "–"
    order = [*map(still_label, STILLS)]
    check_row("Stills", f"| {still_label(row)} | {' | '.join(movie_cells(output))} | {changed} |", order)


def test_the_tables_have_no_other_rows() -> None:
    for section, names in (
        (SECTION, ORDER),
        ("Sound files", map(sound_label, SOUNDS)),
        ("Stills", map(still_label, STILLS)),
    ):
        assert labels(section) == list(names)
