import gc
import hashlib
import os
import random
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lipsync_core.clock import StageClock
from lipsync_core.errors import InputMissingError, NoVideoError, TruncatedMediaError, UnreadableMediaError
from lipsync_core.limit_errors import DurationLimitError, FrameLimitError
from lipsync_core.limits import Limits, limited
from lipsync_core.media.decode import Reading, SourceFrame, decode_frames, decode_in_order, working_format
from lipsync_core.media.planes import Box, plane_samples, read_region, write_region
from lipsync_core.media.probe import require_video
from lipsync_core.media.working import working_picture
from tests.conftest import MakeVideo, Tone
from tests.thorough import first_rows

FRAME_BYTES = 160 * 120 * 3 // 2  # of the test videos
OPEN_GOP = ("-bf", "3", "-g", "24", "-x264-params", "open-gop=1:b-pyramid=normal:scenecut=0")
HEVC = ("-x265-params", "log-level=0:open-gop=1:keyint=24:bframes=4")
VARIABLE_RATE = ("-vf", "select=not(mod(n\\,3))+eq(mod(n\\,5)\\,0)", "-fps_mode", "vfr", "-bf", "2")

#: (index, pts, duration, digest of the planes)
Seen = tuple[int, int, int, str]


def digest(picture: av.VideoFrame) -> str:
    samples = b"".join(plane_samples(picture, at).tobytes() for at in range(3))
    return hashlib.md5(samples, usedforsecurity=False).hexdigest()


def seen(frames: Iterable[SourceFrame]) -> list[Seen]:
    return [(frame.index, frame.pts, frame.duration, digest(frame.picture)) for frame in frames]


def shuffled_runs(count: int, seed: int) -> list[int]:
    """Ascending and descending runs between random frames, jumps, repeats, and the last frame frozen."""
    rng = random.Random(seed)
    order = []
    for _ in range(5):
        first, last = sorted(rng.choices(range(count), k=2))
        run = list(range(first, last + 1))
        order += run if rng.random() < 0.5 else run[::-1]
    return [*order, count - 1, count - 1, count - 1]


def pingpong(count: int, length: int) -> list[int]:
    cycle = [*range(count), *range(count - 2, 0, -1)]
    return [cycle[at % len(cycle)] for at in range(length)]


def in_order(path: Path, order: Sequence[int], budget_bytes: int, frame_pts: Sequence[int] | None = None) -> list[Seen]:
    return seen(decode_in_order(path, order, StageClock(), budget_bytes, frame_pts))


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    first_rows(
        [
            ("open.mp4", "libx264", OPEN_GOP),
            ("open.mkv", "libx264", OPEN_GOP),
            ("stream.ts", "libx264", OPEN_GOP),
            ("raw.h264", "libx264", ("-bf", "3", "-g", "24")),
            ("refresh.mp4", "libx264", ("-intra-refresh", "1", "-g", "30")),
            ("variable.mp4", "libx264", VARIABLE_RATE),
            ("hevc.mp4", "libx265", HEVC),
            ("layers.mp4", "libx265", (HEVC[0], HEVC[1] + ":temporal-layers=1")),
            ("mpeg4.mp4", "mpeg4", ("-bf", "2", "-g", "24")),
            ("mpeg4.avi", "mpeg4", ("-bf", "2", "-g", "24")),
            ("mpeg2.mpg", "mpeg2video", ("-bf", "2", "-g", "12")),
            ("vp9.webm", "libvpx-vp9", ("-cpu-used", "8", "-g", "24")),
            ("animated.gif", "gif", ()),
        ],
        7,
    ),
)
def test_any_order_is_bit_identical_to_a_full_decode(
    make_video: MakeVideo, name: str, codec: str, options: tuple[str, ...]
) -> None:
    path = make_video(name, *options, frames=80, codec=codec, pix_fmt="pal8" if codec == "gif" else "yuv420p")
    full = seen(decode_frames(path, StageClock()))
    assert [frame[0] for frame in full] == list(range(80))
    order = shuffled_runs(80, seed=1) + pingpong(80, 170)
    expected = [full[index] for index in order]
    assert in_order(path, order, 10 * FRAME_BYTES) == expected
    assert in_order(path, order[::-1], 10 * FRAME_BYTES, [frame[1] for frame in full]) == expected[::-1]


@pytest.mark.parametrize(
    "name",
    ["retalking_face1.mp4", "sadtalker_WDA_AlexandriaOcasioCortez_000.mp4", "facerec_short_hamilton_clip.mp4"],
)
def test_any_order_of_a_real_clip_is_bit_identical_to_a_full_decode(clips: Path, name: str) -> None:
    full = seen(decode_frames(clips / name, StageClock()))
    order = shuffled_runs(len(full), seed=2)
    assert in_order(clips / name, order, 16 << 20) == [full[index] for index in order]


def test_a_real_hevc_clip_plays_backwards(clips: Path) -> None:
    path = clips / "latentsync_demo1_video.mp4"
    full = seen(decode_frames(path, StageClock(), until_s=Fraction(2)))
    assert len(full) == 50
    order = pingpong(50, 98)
    assert [frame[3] for frame in in_order(path, order, 64 << 20)] == [full[index][3] for index in order]


def test_times_are_the_sources_own(clips: Path) -> None:
    """The variable frame rate of this clip comes from its file: one packet, one frame, one pts."""
    path = clips / "retalking_face1.mp4"
    with av.open(path) as container:
        stored = sorted(packet.pts for packet in container.demux(video=0) if packet.pts is not None)
    frames = list(decode_frames(path, StageClock()))
    assert [frame.pts for frame in frames] == [pts - stored[0] for pts in stored]
    assert frames[0].time_base == Fraction(1, 15360)
    assert [frame.duration for frame in frames[:-1]] == np.diff(stored).tolist()
    assert len({frame.duration for frame in frames}) > 1
    assert [frame.picture.pts for frame in frames] == [frame.pts for frame in frames]


def test_missing_times_are_guessed_from_the_frame_rate(make_video: MakeVideo) -> None:
    frames = list(decode_frames(make_video("raw.h264", "-bf", "0", frames=10, rate="30"), StageClock()))
    assert {frame.duration * frame.time_base for frame in frames} == {Fraction(1, 30)}


def test_decoding_stops_where_no_more_is_needed(make_video: MakeVideo) -> None:
    frames = list(decode_frames(make_video(frames=25), StageClock(), until_s=Fraction(9, 50)))
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]  # the fifth starts at 0.16 s


@pytest.mark.skipif(os.cpu_count() == 1, reason="on a machine with one core a decoder starts no threads")
def test_the_clock_counts_frames_and_the_threads_that_decode_a_large_picture(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(frames=12, size="1920x1080")
    monkeypatch.setattr("lipsync_core.clock.time.thread_time", lambda: 0.0)  # this thread costs nothing
    clock = StageClock()
    for _ in decode_frames(path, clock):
        pass
    timing = next(row for row in clock.timings() if row.stage == "decode")
    assert timing.items == 12
    assert timing.cpu_s > 0


@pytest.mark.parametrize("budget_frames", [1, 7, 30])
def test_going_backwards_holds_no_more_than_the_budget(make_video: MakeVideo, budget_frames: int) -> None:
    path = make_video("long_gop.mp4", "-g", "250", "-bf", "2", frames=90)
    frames = decode_in_order(path, pingpong(90, 250), StageClock(), budget_frames * FRAME_BYTES)
    gc.freeze()  # objects that exist already do not count, and are not walked through for every frame
    try:
        most = max(_pictures_alive() for _ in frames)
    finally:
        gc.unfreeze()
    # Also held: one at the consumer, one read ahead, and those that a decoder with two threads gives at its end.
    assert most <= budget_frames + 8


def _pictures_alive() -> int:
    # By type: asked for its class, a lazy module of another library among all objects warns.
    return sum(type(thing) is av.VideoFrame for thing in gc.get_objects())


def test_repeats_are_independent_copies(make_video: MakeVideo) -> None:
    path = make_video(frames=6)
    clean = digest(list(decode_frames(path, StageClock()))[3].picture)
    digests = []
    for frame in decode_in_order(path, [3, 3, 3, 2, 3], StageClock()):
        digests.append(digest(frame.picture))
        _scribble(frame.picture)
    assert digests[:3] + digests[4:] == [clean] * 4


def test_edited_frames_come_back_clean_after_the_turn(make_video: MakeVideo) -> None:
    path = make_video("gop.mp4", "-bf", "2", frames=20)
    full = seen(decode_frames(path, StageClock()))
    order = pingpong(20, 70)
    digests = []
    for frame in decode_in_order(path, order, StageClock(), 8 * FRAME_BYTES):
        digests.append(digest(frame.picture))
        _scribble(frame.picture)
    assert digests == [full[index][3] for index in order]


def _scribble(picture: av.VideoFrame) -> None:
    box = Box(0, 0, picture.width, picture.height)
    region = read_region(picture, box)
    write_region(picture, box, region, 255 - region, np.ones(region.shape[:2], np.float32))


@pytest.mark.parametrize(
    ("source", "working"),
    [
        ("yuv420p", "yuv420p"), ("yuv444p10le", "yuv444p10le"), ("yuvj422p", "yuv422p"), ("nv12", "yuv420p"),
        ("p010le", "yuv420p10le"), ("yuv420p12le", "yuv420p10le"), ("yuva444p12le", "yuv444p10le"),
        ("rgb24", "yuv420p"), ("rgba", "yuv420p"), ("pal8", "yuv420p"), ("gray", "yuv420p"), ("gbrp", "yuv420p"),
        ("yuv411p", "yuv422p"), ("yuyv422", "yuv422p"),
    ],
)  # fmt: skip
def test_the_working_format_is_the_nearest_that_x264_takes(source: str, working: str) -> None:
    assert working_format(source) == working


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le"])
def test_a_format_that_x264_takes_is_not_touched(make_video: MakeVideo, pix_fmt: str) -> None:
    path = make_video("v.mp4", frames=3, pix_fmt=pix_fmt)
    with av.open(path) as container:
        plain = [digest(picture) for picture in container.decode(video=0)]
    assert [frame[3] for frame in seen(decode_frames(path, StageClock()))] == plain


def test_full_range_is_tagged_and_its_planes_kept(make_video: MakeVideo) -> None:
    path = make_video("full.mp4", frames=3, pix_fmt="yuvj420p")
    with av.open(path) as container:
        first = next(container.decode(video=0))
    frame = next(decode_frames(path, StageClock()))
    assert (first.format.name, frame.picture.format.name, frame.picture.color_range) == ("yuvj420p", "yuv420p", 2)
    assert digest(frame.picture) == digest(first)


def test_odd_sizes_grow_by_a_copied_column_and_row(make_video: MakeVideo) -> None:
    path = make_video("odd.webm", "-cpu-used", "8", "-vf", "scale=161:91", frames=2, codec="libvpx-vp9")
    with av.open(path) as container:
        first = next(container.decode(video=0))
    picture = next(decode_frames(path, StageClock())).picture
    assert (first.width, first.height, picture.width, picture.height) == (161, 91, 162, 92)
    source, luma = plane_samples(first, 0), plane_samples(picture, 0)
    np.testing.assert_array_equal(luma[:91, :161], source)
    np.testing.assert_array_equal(luma[:91, 161], source[:, 160])
    np.testing.assert_array_equal(luma[91], luma[90])
    np.testing.assert_array_equal(plane_samples(picture, 1), plane_samples(first, 1))


@pytest.mark.parametrize(("pix_fmt", "codec"), [("rgb24", "png"), ("gray", "png"), ("pal8", "png"), ("rgba", "png")])
def test_pictures_without_chroma_planes_keep_their_colours(make_video: MakeVideo, pix_fmt: str, codec: str) -> None:
    path = make_video("still.png", "-vf", f"gblur=4,format={pix_fmt}", frames=1, codec=codec, pix_fmt=pix_fmt)
    with av.open(path) as container:
        rgb = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    picture = next(decode_frames(path, StageClock())).picture
    assert (picture.format.name, picture.colorspace, picture.color_range) == ("yuv420p", 6, 1)
    ours = read_region(picture, Box(0, 0, 160, 120)).astype(int)
    blocks = [pixels.reshape(15, 8, 20, 8, 3).mean(axis=(1, 3)) for pixels in (ours, rgb)]  # evens out the dither
    assert np.abs(blocks[0] - blocks[1]).max() < 8


def test_what_is_announced_is_what_is_decoded(make_video: MakeVideo) -> None:
    for name, codec, pix_fmt in (
        ("a.png", "png", "rgb24"),
        ("b.mp4", "libx264", "yuvj420p"),
        ("c.mkv", "ffv1", "gray"),
    ):
        path = make_video(name, frames=1, codec=codec, pix_fmt=pix_fmt, size="160x90")
        announced = working_picture(require_video(path))
        picture = next(decode_frames(path, StageClock())).picture
        assert (announced.width_px, announced.height_px) == (picture.width, picture.height)
        assert (announced.pix_fmt, announced.colour.matrix) == (picture.format.name, picture.colorspace)
        assert announced.colour.range == picture.color_range


def test_a_still_image_is_one_frame_of_a_25th_of_a_second(make_video: MakeVideo) -> None:
    path = make_video("still.jpg", frames=1, codec="mjpeg", pix_fmt="yuvj420p")
    (frame,) = decode_frames(path, StageClock())
    assert (frame.index, frame.pts, frame.duration, frame.time_base) == (0, 0, 1, Fraction(1, 25))
    assert len(list(decode_in_order(path, [0] * 40, StageClock()))) == 40


def test_a_change_of_resolution_is_scaled_to_the_first_frame(make_video: MakeVideo, tmp_path: Path) -> None:
    parts = [make_video(f"{size}.ts", frames=10, size=size) for size in ("160x120", "320x240")]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = list(decode_frames(joined, StageClock()))
    assert len(frames) == 20
    assert {(frame.picture.width, frame.picture.height) for frame in frames} == {(160, 120)}
    assert all(later.pts > earlier.pts for earlier, later in pairwise(frames))


def test_the_encoder_is_free_to_choose_its_key_frames(make_video: MakeVideo) -> None:
    assert {int(frame.picture.pict_type) for frame in decode_frames(make_video(frames=5), StageClock())} == {0}


def test_a_damaged_packet_in_the_middle_is_left_out(make_video: MakeVideo, caplog: pytest.LogCaptureFixture) -> None:
    path = make_video("damaged.mp4", "-g", "5", frames=40, codec="mpeg4")
    with av.open(path) as container:
        entry = container.streams.video[0].index_entries[17]
    data = bytearray(path.read_bytes())
    data[entry.pos : entry.pos + entry.size] = bytes(entry.size)
    path.write_bytes(data)
    frames = list(decode_frames(path, StageClock()))
    assert 38 <= len(frames) < 40
    assert all(later.pts > earlier.pts for earlier, later in pairwise(frames))
    assert "skipped a damaged picture" in caplog.text


def test_decoding_fails_when_no_picture_can_be_decoded(make_video: MakeVideo) -> None:
    path = make_video("ruined.mp4", frames=10, codec="mpeg4")
    data = bytearray(path.read_bytes())
    with av.open(path) as container:
        for entry in container.streams.video[0].index_entries:
            data[entry.pos : entry.pos + entry.size] = bytes(entry.size)
    path.write_bytes(data)
    with pytest.raises(UnreadableMediaError, match="no picture of"):
        next(decode_frames(path, StageClock()))


def test_decoding_fails_when_the_file_is_no_video(tone: Tone, tmp_path: Path) -> None:
    with pytest.raises(NoVideoError, match="holds no video"):
        next(decode_frames(tone(), StageClock()))
    with pytest.raises(InputMissingError):
        next(decode_frames(tmp_path / "absent.mp4", StageClock()))


def test_decoding_fails_when_the_file_is_cut_off(make_video: MakeVideo) -> None:
    path = make_video("cut.mp4", "-movflags", "+faststart", frames=50)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(TruncatedMediaError):
        next(decode_frames(path, StageClock()))


def test_decoding_in_order_fails_when_there_is_no_such_frame(make_video: MakeVideo) -> None:
    path = make_video(frames=5)
    with pytest.raises(UnreadableMediaError, match="frame 5 cannot be decoded"):
        list(decode_in_order(path, [3, 4, 5], StageClock()))
    with pytest.raises(UnreadableMediaError, match="cannot be decoded"):
        list(decode_in_order(path, [9, 8], StageClock()))
    with pytest.raises(ValueError, match="negative"):
        list(decode_in_order(path, [0, -1], StageClock()))


def test_stopping_early_closes_the_file(make_video: MakeVideo) -> None:
    path = make_video(frames=30)
    frames = decode_frames(path, StageClock())
    next(frames)
    assert _is_open(path)
    del frames
    gc.collect()
    assert not _is_open(path)


def _is_open(path: Path) -> bool:
    return any(link.resolve() == path.resolve() for link in Path("/proc/self/fd").iterdir() if link.exists())


def test_a_video_of_a_stored_track_starts_late_without_decoding_the_beginning(make_video: MakeVideo) -> None:
    path = make_video("late.mp4", "-g", "25", "-preset", "veryfast", frames=200)
    full = seen(decode_frames(path, StageClock()))
    late = range(190, 200)
    _destroy_packets(path, range(25, 150))
    with pytest.raises(UnreadableMediaError, match="cannot be decoded"):
        in_order(path, late, 64 << 20)  # counts its frames from the beginning
    assert in_order(path, late, 64 << 20, [frame[1] for frame in full]) == full[190:]


def _destroy_packets(path: Path, indexes: range) -> None:
    """Overwrite the contents of the packets `indexes`, in the order of the file."""
    with av.open(path) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for at, size in packets[indexes.start : indexes.stop]:
        content[at : at + size] = bytes(size)
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["shuffled.avi", "shuffled.mxf", "shuffled.wmv"])
def test_pictures_whose_file_says_when_they_are_decoded_come_in_order(name: str, make_video: MakeVideo) -> None:
    """The pts of H.264 with B-frames in these containers jump back and forth; a job sought and found other pictures."""
    path = make_video(name, "-bf", "3", "-g", "20", "-crf", "1", frames=60)
    frames = list(decode_frames(path, StageClock()))
    raw = [frame.picture.to_ndarray() for frame in frames]
    times_s = [float(frame.start_s) for frame in frames]
    np.testing.assert_allclose(times_s, np.arange(len(frames)) / 25, atol=1e-6)
    with av.open(str(path)) as container:
        stored = [frame.pts for frame in container.decode(video=0)]
        assert stored != sorted(stored)  # or the file proves nothing
    order = [*range(30, 50), *range(48, 5, -1), 17, 17, 55, 3]
    pts = [frame.pts for frame in frames]
    found = decode_in_order(path, order, StageClock(), budget_bytes=1 << 18, frame_pts=pts)
    for index, frame in zip(order, found, strict=True):
        assert (frame.index, frame.pts) == (index, frames[index].pts)
        np.testing.assert_array_equal(frame.picture.to_ndarray(), raw[index])


def test_bgr_becomes_yuv_without_a_tint(make_video: MakeVideo) -> None:
    # swscale's short cut for bgr24 made each plane darker by half a step.
    path = make_video("raw.avi", pix_fmt="bgr24", codec="rawvideo", frames=2, size="320x240")
    with av.open(str(path)) as container:
        rgb = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(float)
    (first, *_) = decode_frames(path, StageClock())
    luma = plane_samples(first.picture, 0).astype(float)
    wanted = 16 + rgb @ np.array([0.299, 0.587, 0.114]) * 219 / 255
    assert np.abs(luma - wanted).max() < 0.6


def test_decoding_ends_at_the_limits_whatever_the_header_says(make_video: MakeVideo) -> None:
    path = make_video("long.mkv", frames=50)
    with limited(Limits(max_frames=30)), pytest.raises(FrameLimitError, match="more than 30 frames"):
        list(decode_frames(path, StageClock()))
    with limited(Limits(max_duration_s=1.1)), pytest.raises(DurationLimitError, match=r"longer than 1\.1 s"):
        list(decode_frames(path, StageClock()))
    with limited(Limits(max_duration_s=1.1)):
        assert len(list(decode_frames(path, StageClock(), Fraction(1)))) == 25


@pytest.mark.parametrize(
    ("pix_fmt", "working"), [("yuv420p", "yuv420p"), ("yuvj422p", "yuv422p"), ("rgb24", "yuv420p")]
)
def test_pictures_that_are_too_large_are_scaled_in_any_order_and_keep_their_times(
    make_video: MakeVideo, pix_fmt: str, working: str
) -> None:
    codec = "png" if pix_fmt == "rgb24" else "mjpeg" if "j" in pix_fmt else "libx264"
    path = make_video("large.mov", frames=40, size="321x241", pix_fmt=pix_fmt, codec=codec)
    small = Reading(size_px=(160, 120))
    plain, scaled = (list(decode_frames(path, StageClock(), reading=reading)) for reading in (Reading(), small))
    assert [(frame.index, frame.pts, frame.duration) for frame in plain] == [
        (frame.index, frame.pts, frame.duration) for frame in scaled
    ]
    for before, after in zip(plain, scaled, strict=True):
        assert (after.picture.format.name, after.picture.width, after.picture.height) == (working, 160, 120)
        assert int(after.picture.color_range) == int(before.picture.color_range)
        luma = cv2.resize(plane_samples(before.picture, 0), (160, 120), interpolation=cv2.INTER_AREA)
        assert np.abs(luma.astype(int) - plane_samples(after.picture, 0)).mean() < 4
    order = [*range(20), *range(18, 3, -1), 30, 30, 39]
    found = seen(decode_in_order(path, order, StageClock(), 8 * 160 * 120 * 2, reading=small))
    assert found == [seen(scaled)[index] for index in order]


def test_a_smaller_picture_is_not_scaled_up(make_video: MakeVideo) -> None:
    path = make_video(frames=3)
    assert seen(decode_frames(path, StageClock(), reading=Reading(size_px=(320, 240)))) == seen(
        decode_frames(path, StageClock())
    )
