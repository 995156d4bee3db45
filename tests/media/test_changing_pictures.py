"""Films whose pictures change inside: joined recordings, of which each part has a size, format and colour space."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Ffmpeg
from tests.media.shown import shown
from tests.media.untouched import write_untouched

COLOUR = (200, 80, 40)  # RGB
PART = 10  # frames
LIMITED, FULL = "tv", "pc"


def part(
    path: Path, ffmpeg: Ffmpeg, size: str, matrix: str, code_range: str = LIMITED, pix_fmt: str = "yuv420p"
) -> Path:
    """Ten pictures of one colour, coded by `matrix` and tagged so."""
    source = f"color=c=0x{bytes(COLOUR).hex()}:s={size}:r=25"
    coded = f"format=rgb24,scale=out_color_matrix={matrix}:out_range={code_range},format={pix_fmt}"
    tags = ("-colorspace", {"bt601": "smpte170m"}.get(matrix, matrix), "-color_range", code_range)
    encoding = ("-frames:v", str(PART), "-c:v", "libx264", "-crf", "4", *tags)
    ffmpeg("-f", "lavfi", "-i", source, "-vf", coded, *encoding, path)
    return path


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (("160x120", "bt601"), ()),
        (("320x240", "bt709"), ("partly converted from 320x240 yuv420p BT.709 (10 of 20 frames)",)),
        (("160x120", "bt709"), ("partly converted from 160x120 yuv420p BT.709 (10 of 20 frames)",)),
        (("80x60", "bt601", FULL), ("partly converted from 80x60 yuvj420p BT.601 full range (10 of 20 frames)",)),
        (
            ("160x120", "bt601", LIMITED, "yuv444p"),
            ("partly converted from 160x120 yuv444p BT.601 (10 of 20 frames)",),
        ),
    ],
)
def test_pictures_of_other_kinds_keep_their_colours_and_are_told(
    second: tuple[str, ...], told: tuple[str, ...], speech_wav: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    film, output = tmp_path / "joined.ts", tmp_path / "out.mp4"
    parts = [part(tmp_path / "0.ts", ffmpeg, "160x120", "bt601"), part(tmp_path / "1.ts", ffmpeg, *second)]
    film.write_bytes(b"".join(each.read_bytes() for each in parts))
    sound = tmp_path / "sound.wav"
    ffmpeg("-i", speech_wav, "-t", "0.8", sound)
    assert write_untouched(film, sound, output).changes == told
    pictures = shown(output, sound=None, folder=tmp_path).pictures
    assert pictures.shape == (2 * PART, 120, 160, 3)
    np.testing.assert_allclose(pictures[:, 20:100, 20:140].mean((1, 2)), [COLOUR] * 2 * PART, atol=3)


def test_many_kinds_of_pictures_are_not_all_named(speech_wav: Path, tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    sizes = [f"{160 + 16 * at}x120" for at in range(6)]
    parts = [part(tmp_path / f"{size}.ts", ffmpeg, size, "bt601").read_bytes() for size in sizes]
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    sound = tmp_path / "sound.wav"
    ffmpeg("-i", speech_wav, "-t", "2.4", sound)
    changes = write_untouched(tmp_path / "joined.ts", sound, tmp_path / "out.mp4").changes
    assert changes[-1] == "partly converted from 2 other kinds"
    assert len(changes) == 4


def test_a_shown_part_without_the_other_kind_says_nothing_of_it(
    speech_wav: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    parts = [part(tmp_path / f"{size}.ts", ffmpeg, size, "bt601").read_bytes() for size in ("160x120", "320x240")]
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    sound = tmp_path / "sound.wav"
    ffmpeg("-i", speech_wav, "-t", "0.4", sound)
    assert write_untouched(tmp_path / "joined.ts", sound, tmp_path / "out.mp4").changes == ()


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p10le"])
def test_a_picture_of_another_shape_stands_between_bars(
    pix_fmt: str, speech_wav: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    parts = [
        part(tmp_path / f"{size}.ts", ffmpeg, size, "bt601", pix_fmt=pix_fmt).read_bytes()
        for size in ("160x120", "90x120")
    ]
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    sound = tmp_path / "sound.wav"
    ffmpeg("-i", speech_wav, "-t", "0.8", sound)
    write_untouched(tmp_path / "joined.ts", sound, tmp_path / "out.mp4")
    last = shown(tmp_path / "out.mp4", sound=None, folder=tmp_path).pictures[-1].astype(int)
    np.testing.assert_allclose(last[10:110, 40:120].mean((0, 1)), COLOUR, atol=3)
    for bar in (last[:, :28], last[:, -30:]):
        np.testing.assert_allclose(bar.mean((0, 1)), 0, atol=3)


def test_a_crop_at_the_left_hides_what_it_hides_in_players(speech_wav: Path, tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    plain, cropped = tmp_path / "plain.mp4", tmp_path / "cropped.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x240:d=0.4", "-c:v", "libx264", "-crf", "4", plain)
    crop = "h264_metadata=crop_left=20:crop_right=10:crop_top=8:crop_bottom=2"
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", crop, cropped)
    written = write_untouched(cropped, speech_wav, tmp_path / "out.mp4")
    assert (written.width_px, written.height_px) == (290, 230)
    first = shown(tmp_path / "out.mp4", sound=None, folder=tmp_path).pictures[0].astype(int)
    wanted = shown(plain, sound=None, folder=tmp_path).pictures[0, 8:238, 20:310].astype(int)
    assert np.abs(first - wanted).mean() < 4
