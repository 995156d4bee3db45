"""The contract of every encoder, checked on the re-opened file, and the further duties of x264."""

import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from lipsync_core.clock import StageClock
from lipsync_core.encoder_choice import compression
from lipsync_core.errors import OptionError, OutputError
from lipsync_core.media.encode import Encoder, EncoderOptions, FFmpegEncoder, PictureSpec
from lipsync_core.media.encoder_trial import try_encoder
from lipsync_core.media.encoders import ENCODERS, find_encoder
from lipsync_core.media.output import MUXERS
from lipsync_core.media.planes import plane_samples
from lipsync_core.media.probe import ColourTags
from lipsync_core.media.working import WorkingPicture
from lipsync_core.option_specs import PRESETS
from lipsync_core.options import JobOptions
from lipsync_core.threads import threads_limited
from tests.thorough import first_of, first_rows

WIDTH, HEIGHT = 192, 128  # NVENC takes no width below 145
BT709_LIMITED = ColourTags(matrix=1, range=1, primaries=1, transfer=1)
BT2020_FULL = ColourTags(matrix=9, range=2, primaries=9, transfer=16)

HEVC = ("x265", "hevc_nvenc")


def skips(name: str) -> list[pytest.MarkDecorator]:
    """A mark that skips the encoder where this machine's hardware does not have it; those on the CPU always run."""
    if not name.endswith("_nvenc"):
        return []
    try:
        usual = WorkingPicture(WIDTH, HEIGHT, "yuv420p", BT709_LIMITED)
        try_encoder(find_encoder(name), usual, EncoderOptions(name))
    except OutputError as exc:
        return [pytest.mark.skip(reason=f"{name} does not work here: {exc.message}")]
    return []


encoders = pytest.mark.parametrize(
    "encoder", [pytest.param(encoder, marks=skips(name), id=name) for name, encoder in ENCODERS.items()]
)


def spec(
    pix_fmt: str = "yuv420p",
    time_base: Fraction = Fraction(1, 25),
    frame_rate: Fraction = Fraction(25),
    colour: ColourTags = BT709_LIMITED,
    sample_aspect_ratio: Fraction = Fraction(1),
    rotation_deg: int = 0,
) -> PictureSpec:
    return PictureSpec(WIDTH, HEIGHT, pix_fmt, time_base, frame_rate, sample_aspect_ratio, rotation_deg, colour)


def picture(index: int, pix_fmt: str = "yuv420p", width_px: int = WIDTH, height_px: int = HEIGHT) -> av.VideoFrame:
    """A smooth pattern that moves two pixels a picture."""
    across = np.arange(width_px)[None, :] + 2 * index
    down = np.arange(height_px)[:, None]
    grey = 128 + 60 * np.sin(across / 9.0) * np.cos(down / 7.0)
    rgb = np.stack([grey, 255 - grey, np.full_like(grey, 90)], axis=2).astype(np.uint8)  # (H, W, 3)
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)


def encode(path: Path, encoder: type[Encoder], of: PictureSpec, times: list[tuple[int, int]], crf: int = 20) -> Path:
    """A movie with one picture for each (pts, duration)."""
    with av.open(str(path), "w") as container:
        opened = encoder.open(container, of, EncoderOptions(encoder.name, crf), StageClock())
        for index, (pts, duration) in enumerate(times):
            container.mux(opened.encode(picture(index, of.pix_fmt), pts, duration))
        container.mux(opened.flush())
    return path


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def steady(count: int) -> list[tuple[int, int]]:
    return [(index, 1) for index in range(count)]


@encoders
def test_every_picture_arrives_once_and_in_order(tmp_path: Path, encoder: type[Encoder]) -> None:
    frames = decoded(encode(tmp_path / "out.mp4", encoder, spec(), steady(70)))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(index, 25) for index in range(70)]


@encoders
@pytest.mark.parametrize(
    ("time_base", "times"),
    [
        (Fraction(1001, 30000), [(index, 1) for index in range(40)]),
        (Fraction(1, 30000), [(index * 1001, 1001) for index in range(40)]),
        (Fraction(1, 90000), [(0, 4321), (4321, 1), (4322, 90000), (94322, 3003), (97325, 45000)]),
        (Fraction(1, 1000), [(0, 33), (33, 34), (67, 700), (767, 33)]),
        (Fraction(1, 1_000_000), [(0, 16683), (16683, 16684), (33367, 16683)]),
    ],
    ids=["ntsc frames", "ntsc ticks", "variable", "milliseconds", "microseconds"],
)
def test_times_are_exact(
    tmp_path: Path, encoder: type[Encoder], time_base: Fraction, times: list[tuple[int, int]]
) -> None:
    frames = decoded(encode(tmp_path / "out.mp4", encoder, spec(time_base=time_base), times))
    assert [frame.pts * frame.time_base for frame in frames] == [pts * time_base for pts, _ in times]


@encoders
@pytest.mark.parametrize("count", range(1, 13))
def test_the_last_picture_keeps_its_duration(tmp_path: Path, encoder: type[Encoder], count: int) -> None:
    """Lost at first whenever the last picture in decoding order was not the last one shown."""
    times = [*steady(count - 1), (count - 1, 9)]
    with av.open(str(encode(tmp_path / "out.mp4", encoder, spec(), times))) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == Fraction(count + 8, 25)


@encoders
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"])
@pytest.mark.parametrize("colour", [BT709_LIMITED, BT2020_FULL], ids=["limited", "full"])
def test_format_and_colour_tags_survive(
    tmp_path: Path, encoder: type[Encoder], pix_fmt: str, colour: ColourTags
) -> None:
    if encoder.name.endswith("_nvenc"):
        try:  # 4:2:2 and some depths are beyond most cards
            try_encoder(encoder, WorkingPicture(WIDTH, HEIGHT, pix_fmt, colour), EncoderOptions(encoder.name))
        except OutputError as exc:
            pytest.skip(f"{encoder.name} does not take {pix_fmt} here: {exc.message}")
    path = encode(tmp_path / "out.mp4", encoder, spec(pix_fmt, colour=colour), steady(3))
    frame = decoded(path)[0]
    assert frame.format.name.replace("yuvj", "yuv") == pix_fmt
    tags = (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
    assert tags == (colour.matrix, colour.range, colour.primaries, colour.transfer)


@encoders
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, -90])
def test_rotation_survives(tmp_path: Path, encoder: type[Encoder], rotation_deg: int) -> None:
    frame = decoded(encode(tmp_path / "out.mp4", encoder, spec(rotation_deg=rotation_deg), steady(2)))[0]
    assert (frame.rotation - rotation_deg) % 360 == 0
    assert (frame.width, frame.height) == (WIDTH, HEIGHT)  # the player rotates; the pixels are not changed


@encoders
def test_sample_aspect_ratio_survives(tmp_path: Path, encoder: type[Encoder]) -> None:
    path = encode(tmp_path / "out.mp4", encoder, spec(sample_aspect_ratio=Fraction(64, 45)), steady(2))
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(64, 45)


@encoders
def test_picture_types_of_the_source_are_no_orders(tmp_path: Path, encoder: type[Encoder]) -> None:
    path = tmp_path / "out.mp4"
    with av.open(str(path), "w") as container:
        opened = encoder.open(container, spec(), EncoderOptions(encoder.name), StageClock())
        for index in range(20):
            frame = picture(index)
            frame.pict_type = PictureType.I
            container.mux(opened.encode(frame, index, 1))
        container.mux(opened.flush())
    with av.open(str(path)) as container:
        assert sum(packet.is_keyframe for packet in container.demux(video=0)) == 1


_DIGEST = """
import hashlib, sys
from dataclasses import replace
import av
from lipsync_core.clock import StageClock
from lipsync_core.media.encode import EncoderOptions
from lipsync_core.media.encoders import find_encoder
from tests.media.test_encode import picture, spec
name, width_px, pix_fmt = sys.argv[1], int(sys.argv[2]), sys.argv[3]
digest = hashlib.sha256()
with av.open("/dev/null", "w", format="mp4") as container:
    wide = replace(spec(pix_fmt), width_px=width_px, height_px=320)
    opened = find_encoder(name).open(container, wide, EncoderOptions(name), StageClock())
    for index in range(40):
        for packet in opened.encode(picture(index, pix_fmt, width_px, 320), index, 1):
            digest.update(bytes(packet))
    for packet in opened.flush():
        digest.update(bytes(packet))
print(digest.hexdigest())
"""


@encoders
@pytest.mark.parametrize(
    ("width_px", "pix_fmt"), first_rows([(576, "yuv420p"), (590, "yuv420p"), (640, "yuv420p"), (590, "yuv420p10le")], 2)
)
def test_the_same_pictures_give_the_same_stream_whatever_was_in_memory(
    encoder: type[Encoder], width_px: int, pix_fmt: str
) -> None:
    command = [sys.executable, "-c", _DIGEST, encoder.name, str(width_px), pix_fmt]
    digests = set()
    for filling in ("0", "85", "170"):  # glibc fills new memory with the complement of this
        environment = os.environ | {"MALLOC_PERTURB_": filling, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        digests.add(done.stdout)
    assert len(digests) == 1


_DECODING_TIMES = """
import sys
import av
from lipsync_core.clock import StageClock
from lipsync_core.media.encode import EncoderOptions
from lipsync_core.media.encoders import find_encoder
from tests.media.test_encode import picture, spec
name, count = sys.argv[1], int(sys.argv[2])
with av.open("/dev/null", "w", format="mp4") as container:
    opened = find_encoder(name).open(container, spec(), EncoderOptions(name), StageClock())
    packets = [packet for index in range(count) for packet in opened.encode(picture(index), index, 1)]
    for packet in packets + opened.flush():
        print(packet.pts, packet.dts)
"""


@encoders
@pytest.mark.parametrize("count", first_of([1, 2, 3], 2))
def test_a_movie_of_few_pictures_has_decoding_times_whatever_was_in_memory(encoder: type[Encoder], count: int) -> None:
    """x265 took them from memory that was never written, and now and then the movie could not be written."""
    for filling in ("0", "85", "170"):
        environment = os.environ | {"MALLOC_PERTURB_": filling, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", _DECODING_TIMES, encoder.name, str(count)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        times = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
        assert sorted(pts for pts, _ in times) == list(range(count))
        assert all(-count <= dts <= pts for pts, dts in times)
        assert [dts for _, dts in times] == sorted({dts for _, dts in times})
        assert not done.stderr  # where x265 writes its log, if it may


@encoders
def test_quality_follows_crf(tmp_path: Path, encoder: type[Encoder]) -> None:
    errors = []
    for crf in (10, 45):
        frames = decoded(encode(tmp_path / f"{crf}.mp4", encoder, spec(), steady(5), crf))
        errors.append(np.abs(frames[3].to_ndarray().astype(int) - picture(3).to_ndarray()).mean())
    assert errors[0] < 1.0 < errors[1]


@encoders
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_crf_0_is_lossless(tmp_path: Path, encoder: type[Encoder], pix_fmt: str) -> None:
    """At 10 bits x264 needs another option for that, at 8 bits x265."""
    if (encoder.name, pix_fmt) == ("h264_nvenc", "yuv420p10le"):
        pytest.skip("10 bits in H.264 are beyond most cards")
    frames = decoded(encode(tmp_path / "out.mp4", encoder, spec(pix_fmt), steady(5), crf=0))
    for index, frame in enumerate(frames):
        for plane in range(3):
            np.testing.assert_array_equal(plane_samples(frame, plane), plane_samples(picture(index, pix_fmt), plane))


@encoders
@pytest.mark.parametrize("ending", ["mp4", "m4v", "mov"])
def test_hevc_has_the_sample_entry_that_every_player_takes(tmp_path: Path, encoder: type[Encoder], ending: str) -> None:
    path = tmp_path / f"out.{ending}"
    with av.open(str(path), "w", format=MUXERS[path.suffix]) as container:
        opened = encoder.open(container, spec(), EncoderOptions(encoder.name), StageClock())
        container.mux(opened.encode(picture(0), 0, 1))
        container.mux(opened.flush())
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        entry = ("hevc", "hvc1") if encoder.name in HEVC else ("h264", "avc1")
        assert (codec.name, codec.codec_tag) == entry


@pytest.mark.parametrize("name", ["x264", "x265"])
def test_an_encoder_on_the_cpu_starts_as_many_threads_as_it_is_told(tmp_path: Path, name: str) -> None:
    started = []
    wide = PictureSpec(640, 352, "yuv420p", Fraction(1, 25), Fraction(25), Fraction(1), 0, BT709_LIMITED)
    for threads in (1, 6):
        with av.open(str(tmp_path / f"{threads}.mp4"), "w") as container:
            before = set(Path("/proc/self/task").iterdir())
            opened = find_encoder(name).open(container, wide, EncoderOptions(name, threads=threads), StageClock())
            started.append(len(set(Path("/proc/self/task").iterdir()) - before))
            container.mux(opened.encode(picture(0, width_px=640, height_px=352), 0, 1))
            container.mux(opened.flush())
    assert started[1] - started[0] >= 4


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("name", ["h264_nvenc", "hevc_nvenc"])
def test_the_format_that_nvenc_takes_holds_the_same_samples(name: str, pix_fmt: str) -> None:
    encoder = ENCODERS[name]
    assert issubclass(encoder, FFmpegEncoder)
    source = picture(5, pix_fmt)
    back = source.reformat(format=encoder.input_format(pix_fmt)).reformat(format=pix_fmt)
    for plane in range(3):
        np.testing.assert_array_equal(plane_samples(back, plane), plane_samples(source, plane))


@pytest.mark.parametrize("name", list(ENCODERS))
@pytest.mark.parametrize("crf", [0, 20])
def test_ffmpeg_knows_every_option_that_an_encoder_is_given(name: str, crf: int) -> None:
    """FFmpeg says nothing about an option that it does not know, and NVENC's are never seen to work without a card."""
    encoder = ENCODERS[name]
    assert issubclass(encoder, FFmpegEncoder)
    known = av.CodecContext.create(encoder.library, "w").supported_options
    names = {option.name for option in (*known.generic, *known.private)}
    for preset in PRESETS:
        given = encoder.settings(spec(), EncoderOptions(name, crf, preset))
        assert set(given) <= names
        for option in known.private:
            choices = {choice.name for choice in option.choices}
            if option.name in given and choices:
                assert given[option.name] in choices


@pytest.mark.parametrize("name", ["h264_nvenc", "hevc_nvenc"])
def test_nvenc_fails_in_one_line_when_it_does_not_take_the_format(tmp_path: Path, name: str) -> None:
    with av.open(str(tmp_path / "out.mp4"), "w") as container, pytest.raises(OutputError, match="yuv422p10le, but"):
        find_encoder(name).open(container, spec("yuv422p10le"), EncoderOptions(name), StageClock())


@encoders
def test_each_picture_is_timed_as_encode(tmp_path: Path, encoder: type[Encoder]) -> None:
    clock = StageClock()
    with av.open(str(tmp_path / "out.mp4"), "w") as container:
        opened = encoder.open(container, spec(), EncoderOptions(encoder.name), clock)
        for index in range(12):
            container.mux(opened.encode(picture(index), index, 1))
        container.mux(opened.flush())
    row = next(row for row in clock.timings() if row.stage == "encode")
    assert row.items == 12
    assert row.cpu_s > 0


@encoders
@pytest.mark.parametrize(
    "wrong",
    [picture(0, "yuv444p"), picture(0, width_px=WIDTH + 2), picture(0, height_px=HEIGHT + 2)],
    ids=["format", "width", "height"],
)
def test_encode_fails_when_a_picture_is_not_as_announced(
    tmp_path: Path, encoder: type[Encoder], wrong: av.VideoFrame
) -> None:
    with av.open(str(tmp_path / "out.mp4"), "w") as container:
        opened = encoder.open(container, spec(), EncoderOptions(encoder.name), StageClock())
        container.mux(opened.encode(picture(0), 0, 1))
        with pytest.raises(OutputError, match="picture at pts 1"):
            opened.encode(wrong, 1, 1)


@encoders
def test_open_fails_when_the_encoder_cannot_make_such_pictures(tmp_path: Path, encoder: type[Encoder]) -> None:
    odd = PictureSpec(97, 63, "yuv420p", Fraction(1, 25), Fraction(25), Fraction(1), 0, BT709_LIMITED)
    with av.open(str(tmp_path / "out.mp4"), "w") as container, pytest.raises(OutputError, match="97x63") as failure:
        encoder.open(container, odd, EncoderOptions(encoder.name), StageClock())
    assert failure.value.remedy


def test_find_encoder_fails_when_there_is_none_of_that_name() -> None:
    assert find_encoder("x264").name == "x264"
    with pytest.raises(OptionError, match=r"'h266'.*x264"):
        find_encoder("h266")


@pytest.mark.skipif(os.cpu_count() == 1, reason="on a machine with one core x264 starts no threads")
def test_x264_works_in_threads_of_its_own_that_are_charged_to_encode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipsync_core.clock.time.thread_time", lambda: 0.0)  # this thread costs nothing
    clock = StageClock()
    large = PictureSpec(640, 352, "yuv420p", Fraction(1, 25), Fraction(25), Fraction(1), 0, BT709_LIMITED)
    with av.open(str(tmp_path / "out.mp4"), "w") as container:
        opened = find_encoder("x264").open(container, large, EncoderOptions(preset="medium"), clock)
        for index in range(30):
            container.mux(opened.encode(picture(index, width_px=640, height_px=352), index, 1))
        container.mux(opened.flush())
        row = next(row for row in clock.timings() if row.stage == "encode")
    assert row.items == 30
    assert row.cpu_s > 0


def test_by_default_x264_holds_nine_pictures_at_most(tmp_path: Path) -> None:
    options = compression(JobOptions(), "x264")
    with av.open(str(tmp_path / "out.mp4"), "w") as container:
        opened = find_encoder("x264").open(container, spec(), replace(options, threads=1), StageClock())
        given = next(index + 1 for index in range(60) if opened.encode(picture(index), index, 1))
        opened.flush()
    assert given <= 9  # each is 3 MB at 1280x720; x264's own setting is 12


@pytest.mark.parametrize(
    ("name", "preset"), first_rows([("x264", "veryfast"), ("x264", "medium"), ("x265", "ultrafast")], 2)
)
def test_the_pictures_do_not_depend_on_the_number_of_threads(tmp_path: Path, name: str, preset: str) -> None:
    found = {}
    for count in (1, 2, 4):
        path = tmp_path / f"{count}.mp4"
        large = PictureSpec(640, 352, "yuv420p", Fraction(1, 25), Fraction(25), Fraction(1), 0, BT709_LIMITED)
        with threads_limited(count), av.open(str(path), "w") as container:
            options = compression(JobOptions(preset=preset), name)
            opened = find_encoder(name).open(container, large, options, StageClock())
            assert container.streams.video[0].codec_context.thread_count == count
            for index in range(60):
                container.mux(opened.encode(picture(index, width_px=640, height_px=352), index, 1))
            container.mux(opened.flush())
        found[count] = [frame.to_ndarray() for frame in decoded(path)]
    assert all(np.array_equal(found[1], found[count]) for count in (2, 4))


def large(width_px: int, height_px: int, is_still: bool = False) -> PictureSpec:
    plain = PictureSpec(width_px, height_px, "yuv420p", Fraction(1, 25), Fraction(25), Fraction(1), 0, BT709_LIMITED)
    return replace(plain, is_still=is_still)


def stream_of(of: PictureSpec, path: Path, count: int) -> tuple[int, int]:
    """Encode `count` pictures by default: how many were given before the first packet, and the first one's slices."""
    given, first = 0, b""
    with av.open(str(path), "w") as container:
        opened = find_encoder("x264").open(container, of, compression(JobOptions(), "x264"), StageClock())
        for index in range(count):
            packets = opened.encode(picture(index, "yuv420p", of.width_px, of.height_px), index, 1)
            if packets and not given:
                given, first = index + 1, bytes(packets[0])
            container.mux(packets)
        container.mux(opened.flush())
    return given, len(coded_slices(first))


def coded_slices(packet: bytes) -> list[int]:
    """The types of the slices in a packet of H.264 as x264 gives it (ITU-T H.264, annex B)."""
    kinds = [unit[0] & 31 for unit in packet.split(b"\0\0\1")[1:]]
    return [kind for kind in kinds if kind in (1, 5)]


@pytest.mark.parametrize(
    ("of", "most_given", "slices"),
    first_rows([(large(1280, 720), 9, 1), (large(4096, 2304, is_still=True), 3, 4), (large(4096, 2304), 6, 4)], 2),
)
def test_of_large_pictures_x264_holds_few_and_threads_by_slices(
    tmp_path: Path, of: PictureSpec, most_given: int, slices: int
) -> None:
    given, found = stream_of(of, tmp_path / "out.mp4", 16)
    assert 0 < given <= most_given + (0 if slices > 1 else 8)  # frame threads hold one more each
    assert found == slices
