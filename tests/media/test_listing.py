"""Packets tell the frames of most files; where they do not, the frames of a part end early instead of being others."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from lipsync_core.clock import StageClock
from lipsync_core.media.decode import Reading, decode_frames
from lipsync_core.media.listing import decode_listed, list_frames
from tests.conftest import Ffmpeg, MakeVideo
from tests.media.test_decode import HEVC, OPEN_GOP, VARIABLE_RATE, Seen, seen
from tests.thorough import first_of

FRAMES = 150
#: Name, codec, options.
TOLD = {
    "open groups": ("a.mp4", "libx264", OPEN_GOP),
    "HEVC": ("a.mp4", "libx265", HEVC),
    "variable rate": ("a.mp4", "libx264", VARIABLE_RATE),
    "one group": ("a.mov", "libx264", ("-g", "600", "-bf", "2")),
    "VP9 with hidden pictures": (
        "a.webm",
        "libvpx-vp9",
        ("-auto-alt-ref", "1", "-lag-in-frames", "16", "-b:v", "200k"),
    ),
    "MPEG-4": ("a.mp4", "mpeg4", ("-bf", "2", "-g", "40")),
    "fragments": ("a.mp4", "libx264", ("-bf", "2", "-movflags", "frag_keyframe", "-g", "40")),
}
NOT_TOLD = {
    "times that may jump": ("a.ts", "libx264", ("-bf", "2", "-g", "40")),
    "times of decoding": ("a.avi", "mpeg4", ("-bf", "2", "-g", "40")),
    "missing packets, it seems": ("a.mkv", "libx264", VARIABLE_RATE),
    "a still image": ("a.png", "png", ("-frames:v", "1", "-update", "1")),
}


def decoded(path: Path) -> list[Seen]:
    return seen(decode_frames(path, StageClock()))


def listed(path: Path, frames: range) -> list[Seen]:
    return seen(decode_listed(path, frames, list_frames(path, Reading()).pts, StageClock(), Reading()))


@pytest.mark.parametrize("kind", first_of(list(TOLD), 4))
def test_the_frames_from_any_frame_on_are_those_of_the_whole(kind: str, make_video: MakeVideo) -> None:
    name, codec, options = TOLD[kind]
    path = make_video(name, *options, frames=FRAMES, codec=codec)
    whole = decoded(path)
    assert list_frames(path, Reading()).pts == tuple(pts for _, pts, _, _ in whole)
    edges = [0, 1, 30, 66, 100, len(whole) - 3, len(whole)]
    for first, stop in pairwise(edges):
        assert listed(path, range(first, stop)) == whole[first:stop]


@pytest.mark.parametrize("kind", NOT_TOLD)
def test_nothing_is_listed_where_packets_do_not_tell_frames(kind: str, make_video: MakeVideo) -> None:
    name, codec, options = NOT_TOLD[kind]
    path = make_video(name, *options, codec=codec)
    assert list_frames(path, Reading()).pts == ()
    assert len(decoded(path)) >= 1


def test_what_an_edit_list_leaves_out_is_not_listed(make_video: MakeVideo, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    ffmpeg("-ss", "2.2", "-i", make_video("a.mp4", "-g", "50", "-bf", "2", frames=FRAMES), "-c", "copy", path)
    whole, told = decoded(path), list_frames(path, Reading()).pts
    assert told in ((), tuple(pts for _, pts, _, _ in whole))


def test_the_part_ends_in_which_a_picture_is_missing(make_video: MakeVideo, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    """A packet that is damaged gives no picture: a part that is shorter than its list shows the list to be wrong."""
    whole = make_video("a.mkv", "-g", "25", "-bf", "0", frames=FRAMES)
    path = tmp_path / "damaged.mkv"
    ffmpeg("-i", whole, "-c", "copy", "-bsf:v", "noise=amount='eq(n,90)*1':drop=0", path)
    told = list_frames(path, Reading()).pts
    assert (len(told), len(decoded(path))) == (FRAMES, FRAMES - 1)
    found = {part: len(listed(path, range(*part))) for part in pairwise([0, 40, 80, 120, FRAMES])}
    assert found[80, 120] < 40


def test_pictures_that_depend_on_those_before_are_not_taken_from_a_part(
    make_video: MakeVideo, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    """A damaged picture is mended from what was decoded before it, which after a seek is something else."""
    path = tmp_path / "damaged.mkv"
    ffmpeg(
        "-i",
        make_video("a.mkv", "-g", "250", "-bf", "2", frames=FRAMES),
        "-c",
        "copy",
        "-bsf:v",
        "noise=amount=30000",
        path,
    )
    whole, told = decoded(path), list_frames(path, Reading()).pts
    for first, stop in pairwise([0, 40, 80, 120, len(told)]):
        found = listed(path, range(first, stop))
        assert found == whole[first:stop] or len(found) != stop - first


def test_no_frames_are_listed_where_a_packet_is_missing(make_video: MakeVideo, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    path = tmp_path / "lost.mkv"
    whole = make_video("a.mkv", "-g", "50", "-bf", "0", frames=FRAMES)
    ffmpeg("-i", whole, "-c", "copy", "-bsf:v", "noise=drop='eq(n,70)'", path)
    assert len(list_frames(whole, Reading()).pts) == FRAMES
    assert list_frames(path, Reading()).pts == ()


def test_no_more_is_listed_than_is_needed(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", "-g", "25", "-bf", "2", frames=300)
    whole, some = list_frames(path, Reading()).pts, list_frames(path, Reading(), Fraction(4)).pts
    assert 100 < len(some) < 200
    assert some == whole[: len(some)]


def test_a_list_that_is_too_short_gives_one_frame_more(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", "-g", "25", frames=FRAMES)
    told = list_frames(path, Reading()).pts
    assert len(seen(decode_listed(path, range(100, 140), told[:140], StageClock(), Reading()))) == 41
    assert len(seen(decode_listed(path, range(100, 140), told, StageClock(), Reading()))) == 40


@pytest.mark.parametrize("shift", [1, 20])
def test_a_list_of_other_times_gives_fewer_frames(shift: int, make_video: MakeVideo) -> None:
    path = make_video("a.mp4", "-g", "25", frames=FRAMES)
    told = list(list_frames(path, Reading()).pts)
    wrong = [*told[:110], *(pts + shift for pts in told[110:])]
    assert len(seen(decode_listed(path, range(100, 140), wrong, StageClock(), Reading()))) < 40
    assert len(seen(decode_listed(path, range(120, 140), wrong, StageClock(), Reading()))) < 20
