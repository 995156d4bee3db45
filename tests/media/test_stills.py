"""Photographs as phones and programs write them: one picture, whole, upright, in the right colours."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from lipsync_core.clock import StageClock
from lipsync_core.errors import OptionError, TruncatedMediaError, UnreadableMediaError
from lipsync_core.media.decode import decode_frames, decode_in_order
from lipsync_core.media.probe import probe, require_video
from tests.media.display_p3 import display_p3_profile, in_display_p3
from tests.media.heic_tiles import write_tiled_heic
from tests.shared_files import ROOT
from tests.thorough import first_of

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 30), (30, 30, 220), (220, 220, 30)
ORIENTATION = 0x112
ENDINGS = ("jpg", "png", "webp", "tif", "heic", "avif")

pillow_heif.register_heif_opener()


def corners(width: int = 320, height: int = 200) -> NDArray[np.uint8]:
    """(H, W, 3): a colour of its own in each quarter, soft enough for any codec."""
    rgb = np.empty((height, width, 3), np.uint8)
    top, left = slice(0, height // 2), slice(0, width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    rgb[top, left], rgb[top, right], rgb[bottom, left], rgb[bottom, right] = RED, GREEN, BLUE, YELLOW
    return rgb


def shown(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3): the still at `path` as the product decodes it, turned as a player turns the output."""
    (frame,) = decode_frames(path, StageClock())
    rgb = frame.picture.to_ndarray(format="rgb24")
    return np.rot90(rgb, require_video(path).rotation_deg // 90)


def psnr_db(one: NDArray[np.uint8], two: NDArray[np.uint8]) -> float:
    assert one.shape == two.shape
    squares = (one.astype(float) - two) ** 2
    return float(10 * np.log10(255**2 / squares.mean()))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_still_is_upright_whatever_its_orientation(ending: str, orientation: int, tmp_path: Path) -> None:
    # 2, 4, 5 and 7 came out mirrored or upside down.
    image = Image.fromarray(corners())
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"still.{ending}"
    image.save(path, exif=exif.tobytes(), quality=95)
    image.getexif()[ORIENTATION] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert psnr_db(shown(path), expected) > 30
    video = require_video(path)
    assert (video.is_still, video.is_mirrored) == (True, False)
    turned, mirrored = orientation in (3, 5, 6, 7, 8), orientation in (2, 4, 5, 7)
    if ending in ("heic", "avif") or mirrored:
        assert video.still_changes == (("mirrored",) * mirrored + ("turned",) * turned)
    else:  # players turn it
        assert (video.still_changes, video.rotation_deg != 0) == ((), turned)


@pytest.mark.parametrize("ending", ["heic", "avif"])
def test_a_picture_of_a_phone_is_a_still_and_not_a_video(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"still.{ending}"
    Image.fromarray(corners(401, 299)).save(path, quality=95)
    video = require_video(path)
    assert (video.is_still, video.width_px, video.height_px, video.frame_count) == (True, 401, 299, 1)
    frames = list(decode_in_order(path, [0, 0, 0], StageClock()))
    assert [frame.duration * frame.time_base for frame in frames] == [Fraction(1, 25)] * 3
    assert video.frame_rate == 25


@pytest.mark.parametrize("rotations", range(4))
def test_a_heic_picture_in_tiles_is_read_whole(rotations: int, tmp_path: Path) -> None:
    # The first tile was taken for the picture.
    path, rgb = tmp_path / "phone.heic", corners(600, 410)
    write_tiled_heic(path, rgb, rotations)
    assert psnr_db(shown(path), np.rot90(rgb, rotations)) > 30
    assert len(probe(path).video_tracks) == 1  # each tile was one
    with pytest.raises(OptionError, match="no video track '1'"):
        require_video(path, "1")


def test_a_sequence_of_avif_pictures_is_a_video(tmp_path: Path) -> None:
    path = tmp_path / "moving.avif"
    pictures = [Image.fromarray(np.roll(corners(), 40 * at, axis=1)) for at in range(5)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    assert not require_video(path).is_still
    assert len(list(decode_frames(path, StageClock()))) == 5


def test_reading_fails_when_a_heic_picture_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "phone.heic"
    write_tiled_heic(path, corners(600, 410))
    whole = path.read_bytes()
    start = whole.index(b"mdat") + 20
    path.write_bytes(whole[:start] + b"\xff" * (len(whole) - start))
    with pytest.raises(UnreadableMediaError, match="cannot be read as a picture"):
        require_video(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_profile_of_wide_colours_is_converted_to_srgb(ending: str, tmp_path: Path) -> None:
    rgb = corners()
    path = tmp_path / f"wide.{ending}"
    Image.fromarray(in_display_p3(rgb)).save(path, icc_profile=display_p3_profile(), quality=95)
    assert psnr_db(shown(path), rgb) > 30
    video = require_video(path)
    assert (video.colour.primaries, video.colour.transfer) == (1, 13)
    assert video.still_changes == ("colours to sRGB",)


@pytest.mark.parametrize("orientation", [5, 6])
def test_a_profile_and_an_orientation_go_together(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / "wide.jpg"
    Image.fromarray(in_display_p3(corners())).save(
        path, icc_profile=display_p3_profile(), exif=exif.tobytes(), quality=95
    )
    image = Image.fromarray(corners())
    image.getexif()[ORIENTATION] = orientation
    assert psnr_db(shown(path), np.asarray(ImageOps.exif_transpose(image))) > 30


def test_a_jpeg_with_an_srgb_profile_keeps_its_own_planes(tmp_path: Path) -> None:
    plain, tagged = tmp_path / "plain.jpg", tmp_path / "tagged.jpg"
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(corners()).save(plain)
    Image.fromarray(corners()).save(tagged, icc_profile=srgb)
    assert require_video(tagged).pix_fmt == require_video(plain).pix_fmt == "yuvj420p"
    np.testing.assert_array_equal(shown(tagged), shown(plain))


@pytest.mark.parametrize("profile", ["sRGB", "faulty"])
@pytest.mark.parametrize("ending", first_of(["jpg", "png", "webp", "tif"], 2))
def test_images_with_profiles_that_stay_with_ffmpeg_crash_nothing(ending: str, profile: str, tmp_path: Path) -> None:
    # PyAV freed the profile's name twice; the process ended some collections of garbage later.
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / f"tagged.{ending}"
    Image.fromarray(corners()).save(path, icc_profile=srgb if profile == "sRGB" else b"no profile" * 20, quality=95)
    script = (
        "import gc, pathlib, sys\n"
        "from lipsync_core.clock import StageClock\n"
        "from lipsync_core.media.decode import decode_frames\n"
        "from lipsync_core.media.probe import probe\n"
        "for _ in range(20):\n"
        "    probe(pathlib.Path(sys.argv[1]))\n"
        "    list(decode_frames(pathlib.Path(sys.argv[1]), StageClock()))\n"
        "    gc.collect()\n"
    )
    subprocess.run([sys.executable, "-c", script, path], check=True, timeout=120, cwd=ROOT)
    assert psnr_db(shown(path), corners()) > 30


def test_a_profile_with_faults_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "faulty.jpg"
    Image.fromarray(corners()).save(path, icc_profile=b"no profile" * 20, quality=95)
    assert psnr_db(shown(path), corners()) > 30


@pytest.mark.parametrize(("mode", "options"), [("RGB", {"compression": "jpeg"}), ("YCbCr", {})])
def test_a_tiff_that_ffmpeg_misreads_is_read_right(mode: str, options: dict[str, str], tmp_path: Path) -> None:
    """Pictures of JPEGs came out black, those of YCbCr with too much contrast."""
    path = tmp_path / "still.tiff"
    Image.fromarray(corners()).convert(mode).save(path, **options)
    assert psnr_db(shown(path), corners()) > 30


@pytest.mark.parametrize("is_progressive", [False, True])
def test_a_jpeg_that_was_cut_off_is_refused(is_progressive: bool, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jpg", tmp_path / "cut.jpg"
    noise = np.random.default_rng(3).integers(0, 255, (200, 320, 3), np.uint8)
    Image.fromarray(noise).save(whole, quality=90, progressive=is_progressive)
    data = whole.read_bytes()
    for share in (0.5, 0.8, 0.97):
        cut.write_bytes(data[: int(len(data) * share)])
        for read in (require_video, shown):
            with pytest.raises(TruncatedMediaError, match=r"cut\.jpg is cut off"):
                read(cut)


@pytest.mark.parametrize("behind", [b"\0" * 100, b"what a phone adds " * 500])
def test_a_whole_jpeg_is_read_whatever_is_behind_it(behind: bytes, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    Image.fromarray(corners()).save(photo, quality=95)
    data = photo.read_bytes()
    assert data.endswith(b"\xff\xd9")
    photo.write_bytes(data + behind)
    np.testing.assert_allclose(shown(photo)[20, 20], RED, atol=6)
