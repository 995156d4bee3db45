"""What is delivered of any picture: the re-opened output plays everywhere, and pixels that stay have their colours."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from lipsync_core import JobOptions, Workspace, lip_sync
from lipsync_core.errors import OptionError
from lipsync_core.media.delivery import Delivery, delivery, delivery_of, reduced_size
from lipsync_core.media.hdr import hdr_light
from lipsync_core.media.planes import plane_samples
from lipsync_core.media.probe import ColourTags, require_video
from lipsync_core.media.tone_map import tone_mapped
from lipsync_core.media.working import WorkingPicture
from tests.conftest import Ffmpeg
from tests.jobs import luma_frames
from tests.media.untouched import write_untouched
from tests.thorough import first_rows, thorough

SHORT = JobOptions(end_s=Fraction(1, 5), crf=4)
PLAIN = ColourTags(1, 1, 1, 1)
HLG, PQ = 18, 16


def opened(path: Path) -> tuple[av.VideoFrame, str | None, int, str]:
    """The first picture, and the stream's profile, level and tag."""
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        picture = next(container.decode(video=0))
        return picture, codec.profile, int(codec.level), codec.codec_tag


def pixels(path: Path) -> np.ndarray:
    """(H, W, 3) RGB of the first picture."""
    return opened(path)[0].to_ndarray(format="rgb24").astype(float)


def psnr_above_the_mouth(path: Path, source: Path) -> float:
    """Of the upper quarter, which nothing edits."""
    one, other = (picture[: len(picture) // 4] for picture in (pixels(path), pixels(source)))
    return float(10 * np.log10(255**2 / max(1e-9, ((one - other) ** 2).mean())))


@pytest.mark.parametrize(
    ("name", "settings"),
    first_rows(
        [
            ("webcam.avi", ("-c:v", "mjpeg", "-pix_fmt", "yuvj422p", "-q:v", "2")),
            ("photo.jpg", ("-frames:v", "1", "-pix_fmt", "yuvj444p", "-q:v", "2")),
            ("edit.mov", ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le")),
            ("ten.mp4", ("-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-crf", "4")),
            ("full.mp4", ("-c:v", "libx264", "-pix_fmt", "yuvj420p", "-crf", "4")),
            ("whole.mkv", ("-c:v", "libx264", "-pix_fmt", "yuv444p", "-crf", "4")),
            ("screen.mkv", ("-c:v", "libx264rgb", "-crf", "4")),
            ("alpha.mov", ("-c:v", "png", "-pix_fmt", "rgba")),
            ("odd.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv444p", "-vf", "crop=601:337:0:0:exact=1")),
            ("deep.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv444p12le")),
            ("deep-rgb.mkv", ("-c:v", "ffv1", "-pix_fmt", "gbrp16le")),
        ],
        5,
    ),
)
def test_every_picture_becomes_one_that_plays_everywhere(
    name: str,
    settings: tuple[str, ...],
    face_clip: Path,
    speech_wav: Path,
    workspace: Workspace,
    tmp_path: Path,
    ffmpeg: Ffmpeg,
) -> None:
    source, output = tmp_path / name, tmp_path / "out.mp4"
    ffmpeg("-i", face_clip, "-frames:v", "8", "-an", *settings, source)
    report = lip_sync(source, speech_wav, output, SHORT, workspace)
    picture, profile, level, tag = opened(output)
    assert (profile, picture.format.name, tag) == ("High", "yuv420p", "avc1")
    assert int(picture.color_range) != 2
    assert level <= 52
    assert picture.width % 2 == picture.height % 2 == 0
    if name != "odd.mkv":  # its picture has a column more
        assert psnr_above_the_mouth(output, source) > 35
    assert report.changes


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("matrix", ["ycgco", "bt2020c"])
def test_a_matrix_that_ffmpeg_does_not_convert_is_kept(
    matrix: str, pix_fmt: str, speech_wav: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    source, output = tmp_path / "in.mkv", tmp_path / "out.mp4"
    tags = ("-vf", f"format={pix_fmt},setparams=colorspace={matrix}", "-frames:v", "6", "-c:v", "libx264", "-crf", "4")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48", *tags, source)
    write_untouched(source, speech_wav, output, JobOptions(end_s=Fraction(1, 5), crf=4))
    (before, *_), (after, *_) = opened(source), opened(output)
    assert int(after.colorspace) == int(before.colorspace) == {"ycgco": 8, "bt2020c": 10}[matrix]
    depth = before.format.components[0].bits - 8
    one, other = plane_samples(before, 0).astype(float) / (1 << depth), plane_samples(after, 0).astype(float)
    assert np.abs(one - other).mean() < 2


def test_a_picture_that_plays_everywhere_stays_as_it_is(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    report = lip_sync(face_clip, speech_wav, output, JobOptions(end_s=Fraction(1, 5), crf=0), workspace)
    one, other = luma_frames(face_clip, 1)[0], luma_frames(output, 1)[0]
    np.testing.assert_array_equal(one[: len(one) // 4], other[: len(one) // 4])
    assert report.changes == ()


def test_the_report_says_that_a_still_was_turned_as_it_was_read(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    ffmpeg("-i", face_clip, "-frames:v", "1", "-vf", "transpose=cclock_flip", tmp_path / "stored.png")
    exif = Image.Exif()
    exif[0x112] = 5  # shown mirrored and turned
    Image.open(tmp_path / "stored.png").save(tmp_path / "photo.jpg", exif=exif, quality=95)
    report = lip_sync(tmp_path / "photo.jpg", speech_wav, tmp_path / "out.mp4", SHORT, workspace)
    assert report.frames.synced == report.frames.total > 0
    assert report.changes == ("mirrored", "turned", "rgb24 to yuv420p")
    assert opened(tmp_path / "out.mp4")[0].width == 640


@pytest.mark.parametrize(("transfer", "name"), [("arib-std-b67", "HLG"), ("smpte2084", "PQ")])
def test_hdr_is_tone_mapped_unless_it_is_kept(
    transfer: str, name: str, face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    source = tmp_path / "hdr.mp4"
    screen = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    params = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:log-level=none:master-display={screen}"
    encoding = ("-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", f"{params}:max-cll=1000,400:hdr10=1")
    ffmpeg("-i", face_clip, "-frames:v", "8", "-an", *encoding, source)
    report = lip_sync(source, speech_wav, tmp_path / "out.mp4", SHORT, workspace)
    picture, profile, _, _ = opened(tmp_path / "out.mp4")
    assert (profile, picture.format.name) == ("High", "yuv420p")
    assert [int(tag) for tag in (picture.colorspace, picture.color_range, picture.color_trc)] == [1, 1, 1]
    assert report.changes == (f"{name} tone-mapped to BT.709", "10 to 8 bits")
    for options in (JobOptions(keep_depth=True, end_s=Fraction(1, 5)), JobOptions(codec="hevc", end_s=Fraction(1, 5))):
        kept = lip_sync(source, speech_wav, tmp_path / "kept.mp4", options, workspace)
        picture, profile, _, tag = opened(tmp_path / "kept.mp4")
        assert (profile, picture.format.name, tag) == ("Main 10", "yuv420p10le", "hvc1")
        assert int(picture.color_trc) == (HLG if name == "HLG" else PQ)
        assert hdr_light(picture) == hdr_light(opened(source)[0])
        light = hdr_light(picture)
        assert light is not None
        assert (light.screen, light.content) == (screen, "1000,400")
        assert kept.changes == ()


def test_tone_mapping_keeps_reference_grey_and_white() -> None:
    """Signals of BT.2408, table 1: an 18 % card at 38 %, the reference white at 75 % (HLG) and 58 % (PQ)."""
    for transfer, card, white in ((HLG, 0.38, 0.75), (PQ, 0.38, 0.58)):
        grey = np.array([[card] * 3, [white] * 3, [1.0] * 3, [0.0] * 3])
        mapped = tone_mapped(grey, transfer)
        np.testing.assert_allclose(mapped, mapped[:, :1].repeat(3, 1), atol=2e-3)  # grey stays grey
        assert mapped[0, 0] == pytest.approx((26 / 203) ** (1 / 2.4), abs=0.02)
        assert mapped[1, 0] == pytest.approx(0.92, abs=0.01)
        assert mapped[2, 0] == pytest.approx(1.0, abs=0.005)
        assert mapped[3, 0] == 0


def test_tone_mapping_never_makes_the_brighter_one_darker() -> None:
    steps = np.linspace(0, 1, 200)[:, None].repeat(3, 1)
    for transfer in (HLG, PQ):
        assert (np.diff(tone_mapped(steps, transfer)[:, 0]) >= -1e-9).all()


@pytest.fixture
def delivered(face_clip: Path) -> Callable[..., Delivery]:
    """The delivery of a plain video of another size and rate."""
    info = require_video(face_clip)

    def plan(size: tuple[int, int], rate: int = 25, **chosen: Any) -> Delivery:
        picture = WorkingPicture(*size, "yuv420p", PLAIN)
        return delivery_of(picture, replace(info, frame_rate=Fraction(rate)), JobOptions(**chosen))

    return plan


@pytest.mark.parametrize(
    ("size", "rate"),
    [
        ((4000, 3000), 25),
        ((7680, 4320), 30),
        ((3840, 2160), 120),
        ((12000, 600), 25),
        ((600, 12000), 25),
    ],
)
def test_a_picture_that_is_too_large_is_scaled_to_level_5_2(
    size: tuple[int, int], rate: int, delivered: Callable[..., Delivery]
) -> None:
    plan = delivered(size, rate)
    width, height = plan.picture.width_px, plan.picture.height_px
    blocks = -(-width // 16) * -(-height // 16)
    assert blocks <= 36_864
    assert blocks * rate <= 2_073_600
    assert max(width, height) <= 4096
    assert width % 2 == height % 2 == 0
    assert width / height == pytest.approx(size[0] / size[1], rel=0.02)
    assert plan.changes == (f"scaled from {size[0]}x{size[1]} to {width}x{height}",)


@pytest.mark.parametrize(
    ("size", "rate"), [((3840, 2160), 60), ((4096, 2304), 30), ((1080, 1920), 240), ((640, 360), 25)]
)
def test_a_picture_that_level_5_2_holds_is_not_scaled(
    size: tuple[int, int], rate: int, delivered: Callable[..., Delivery]
) -> None:
    assert delivered(size, rate).changes == ()


def test_the_largest_size_is_chosen_by_the_user(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, delivered: Callable[..., Delivery]
) -> None:
    options = JobOptions(max_size=(320, 320), end_s=Fraction(1, 5), crf=4)
    report = lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", options, workspace)
    picture = opened(tmp_path / "out.mp4")[0]
    assert (picture.width, picture.height) == (report.width_px, report.height_px) == (320, 180)
    assert report.changes == ("scaled from 640x360 to 320x180",)
    assert delivery(require_video(face_clip), JobOptions(max_size=(9000, 9000))).changes == ()
    assert delivered((8000, 6000), max_size=(9000, 9000)).changes == ()


@pytest.mark.parametrize(("turn", "size"), [("90", (640, 360)), ("-90", (640, 360)), ("180", (360, 202))])
def test_the_largest_size_is_that_of_the_picture_as_it_is_shown(
    turn: str, size: tuple[int, int], face_clip: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", turn, "-i", face_clip, "-frames:v", "3", "-c", "copy", turned)
    picture = delivery(require_video(turned), JobOptions(max_size=(360, 640))).picture
    assert (picture.width_px, picture.height_px) == size  # as it is stored


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"encoder": "x264"}, "keep-depth does not go with encoder x264"),
        ({"pix_fmt": "yuv420p"}, "keep-depth does not go with pix-fmt yuv420p"),
    ],
)
def test_the_depth_is_not_kept_in_eight_bits(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        JobOptions(keep_depth=True, **options)


@pytest.mark.parametrize(
    ("source", "chosen"), first_rows(list(product(("yuv422p10le", "yuv444p"), ("source", "yuv422p", "yuv420p10le"))), 2)
)
def test_a_format_that_is_asked_for_is_delivered(
    source: str, chosen: str, face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    video = tmp_path / "in.mkv"
    ffmpeg("-i", face_clip, "-frames:v", "8", "-an", "-c:v", "ffv1", "-pix_fmt", source, video)
    options = JobOptions(pix_fmt=chosen, end_s=Fraction(1, 5))  # type: ignore[arg-type]
    lip_sync(video, speech_wav, tmp_path / "out.mp4", options, workspace)
    assert opened(tmp_path / "out.mp4")[0].format.name == (source if chosen == "source" else chosen)


def test_options_fail_when_the_encoder_does_not_keep_the_depth() -> None:
    with pytest.raises(OptionError, match="encoder x264 does not make hevc; choose codec h264, or auto"):
        JobOptions(codec="hevc", encoder="x264")
    with pytest.raises(OptionError, match="max-size is 8x8; choose 64 pixels or more each way"):
        JobOptions(max_size=(8, 8))


def test_deep_rgb_keeps_its_depth_where_that_is_asked_for(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    source = tmp_path / "deep.mkv"
    ffmpeg("-i", face_clip, "-frames:v", "8", "-an", "-c:v", "ffv1", "-pix_fmt", "gbrp16le", source)
    options = JobOptions(keep_depth=True, end_s=Fraction(1, 5))
    lip_sync(source, speech_wav, tmp_path / "out.mp4", options, workspace)
    picture, profile, _, _ = opened(tmp_path / "out.mp4")
    assert (profile, picture.format.name) == ("Main 10", "yuv420p10le")


@pytest.mark.parametrize(("size", "rate"), [("720x480", "30000/1001"), ("720x576", "25")])
def test_raw_dv_whose_average_rate_cannot_be_keeps_its_size(
    size: str, rate: str, face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    source = tmp_path / "tape.dv"
    pix_fmt = "yuv411p" if size == "720x480" else "yuv420p"
    scaled = ("-vf", f"scale={size.replace('x', ':')},fps={rate}")
    ffmpeg("-i", face_clip, "-t", "0.8", "-an", *scaled, "-c:v", "dvvideo", "-pix_fmt", pix_fmt, source)
    lip_sync(source, speech_wav, tmp_path / "out.mp4", SHORT, workspace)
    picture = opened(tmp_path / "out.mp4")[0]
    assert f"{picture.width}x{picture.height}" == size


@pytest.mark.parametrize(("size", "rate"), [((4096, 2304), 25), ((7680, 4320), 30), ((3840, 2160), 200)])
def test_hevc_keeps_to_its_own_level_5_2(size: tuple[int, int], rate: int, delivered: Callable[..., Delivery]) -> None:
    picture = delivered(size, rate, codec="hevc").picture
    assert picture.width_px * picture.height_px <= 8_912_896
    assert picture.width_px * picture.height_px * rate <= 1_069_547_520
    assert delivered((3840, 2160), 120, codec="hevc").changes == ()


@pytest.mark.parametrize(
    ("size", "chosen", "reduced"),
    [
        ((4000, 3000), {}, (3542, 2656)),
        ((7680, 4320), {}, (4096, 2304)),
        ((4000, 3000), {"max_size": (1280, 1280)}, (1280, 960)),
        ((4000, 3000), {"max_size": (9000, 9000)}, None),  # as large as it is
        ((3840, 2160), {"max_size": (1280, 720)}, None),  # its face track serves every size
        ((3840, 2160), {}, None),
        ((640, 360), {}, None),
    ],
)
def test_a_picture_that_no_movie_holds_is_scaled_while_it_is_decoded(
    face_clip: Path, size: tuple[int, int], chosen: dict[str, Any], reduced: tuple[int, int] | None
) -> None:
    info = replace(require_video(face_clip), width_px=size[0], height_px=size[1])
    options = JobOptions(**chosen)
    assert reduced_size(info, options) == reduced
    wanted = delivery(info, options).picture
    assert reduced is None or reduced == (wanted.width_px, wanted.height_px)


@thorough
def test_a_large_picture_is_scaled_once_and_looks_as_if_scaled_at_the_end(
    face_clip: Path, speech_wav: Path, workspace: Workspace, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    photo, scaled, out = tmp_path / "photo.png", tmp_path / "scaled.png", tmp_path / "out.mp4"
    ffmpeg("-i", face_clip, "-frames:v", "1", "-vf", "scale=3888:2592", photo)
    report = lip_sync(photo, speech_wav, out, JobOptions(end_s=Fraction(1, 10), crf=4), workspace)
    size = (report.width_px, report.height_px)
    assert report.changes == ("rgb24 to yuv420p", f"scaled from 3888x2592 to {size[0]}x{size[1]}")
    assert opened(out)[0].width == size[0] < 3888
    ffmpeg("-i", photo, "-vf", f"scale={size[0]}:{size[1]}:flags=lanczos", scaled)
    assert psnr_above_the_mouth(out, scaled) > 42
