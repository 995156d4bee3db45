from fractions import Fraction
from math import ceil

import numpy as np
import pytest

from lipsync_core.errors import OptionError
from lipsync_core.face.track import FaceTrack
from lipsync_core.limit_errors import FrameLimitError, FrameRateLimitError
from lipsync_core.limits import Limits, limited
from lipsync_core.options import JobOptions
from lipsync_core.timeline import Timeline, plan_timeline, source_s_needed

NTSC = Fraction(1, 30000)


def track_of(durations: list[int], time_base: Fraction = Fraction(1, 25), score: float = 0.0) -> FaceTrack:
    """A track whose frames last `durations`, without faces unless there is a `score`."""
    count = len(durations)
    return FaceTrack(
        tracker="none/1",
        frame_pts=(np.cumsum(durations) - durations).astype(np.int64),
        time_base=time_base,
        last_duration=durations[-1] if durations else 0,
        is_complete=True,
        boxes=np.full((count, 4), np.nan, np.float32),
        scores=np.full(count, score, np.float32),
        landmarks=np.full((count, 5, 3), np.nan, np.float32),
        covered=np.zeros(count, bool),
    )


def shown(timeline: Timeline) -> list[int]:
    return timeline.source_indexes.tolist()


def test_pingpong_shows_the_end_frames_once_at_each_turn() -> None:
    timeline = plan_timeline(track_of([1, 1, 1, 1]), Fraction(11, 25), JobOptions())
    assert shown(timeline) == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]
    assert timeline.pts.tolist() == list(range(11))
    assert timeline.duration_s == Fraction(11, 25)


def test_loop_jumps_back_to_the_first_frame() -> None:
    timeline = plan_timeline(track_of([1, 1, 1]), Fraction(7, 25), JobOptions(extend="loop"))
    assert shown(timeline) == [0, 1, 2, 0, 1, 2, 0]


def test_freeze_repeats_the_last_frame_at_the_median_duration() -> None:
    timeline = plan_timeline(track_of([4, 4, 4, 9]), Fraction(30, 25), JobOptions(extend="freeze"))
    assert shown(timeline) == [0, 1, 2, 3, 3, 3, 3]
    assert timeline.pts.tolist() == [0, 4, 8, 12, 21, 25, 29]
    assert timeline.last_duration == 2  # the longest time that nothing may move, beyond the end of the sound


@pytest.mark.parametrize("extend", ["pingpong", "loop", "freeze"])
def test_a_still_is_repeated_at_its_own_duration(extend: str) -> None:
    timeline = plan_timeline(track_of([1]), Fraction(3), JobOptions(extend=extend))
    assert len(timeline) == 75
    assert set(shown(timeline)) == {0}
    assert timeline.duration_s == 3


def test_variable_frame_times_are_kept_on_the_way_there_and_back() -> None:
    durations = [3, 7, 2, 5]
    timeline = plan_timeline(track_of(durations), Fraction(30, 25), JobOptions())
    steps = np.diff(timeline.pts, append=timeline.pts[-1] + timeline.last_duration)
    assert steps.tolist()[:-1] == [durations[index] for index in shown(timeline)][:-1]
    assert timeline.duration_s == Fraction(
        31, 25
    )  # the last frame's 5/25 s end with the sound, or 1/20 s after it began


@pytest.mark.parametrize("extend", ["pingpong", "loop", "freeze"])
@pytest.mark.parametrize("seed", range(8))
def test_the_output_lasts_as_long_as_the_audio_to_within_one_frame(extend: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    durations = rng.integers(1, 900, rng.integers(1, 40)).tolist()
    audio_s = Fraction(int(rng.integers(1, 400_000)), 44_100)
    timeline = plan_timeline(track_of(durations, Fraction(1, 15_360)), audio_s, JobOptions(extend=extend))
    last_start_s = int(timeline.pts[-1]) * timeline.time_base
    assert last_start_s < audio_s <= timeline.duration_s
    assert (np.diff(timeline.pts) > 0).all()


def test_one_hour_at_30000_1001_does_not_drift() -> None:
    timeline = plan_timeline(track_of([1001] * 153, NTSC), Fraction(3600), JobOptions())
    frames = -(-3600 * 30_000 // 1001)
    assert len(timeline) == frames == 107_893
    assert int(timeline.pts[-1]) == (frames - 1) * 1001
    assert timeline.duration_s == frames * Fraction(1001, 30_000)
    assert timeline.duration_s - 3600 < Fraction(1001, 30_000)


def test_length_video_lasts_as_long_as_the_video() -> None:
    track = track_of([2, 3, 4])
    for audio_s in (Fraction(1, 25), Fraction(100)):
        timeline = plan_timeline(track, audio_s, JobOptions(length="video"))
        assert shown(timeline) == [0, 1, 2]
        assert timeline.duration_s == track.duration_s


def test_a_longer_video_is_cut_where_the_audio_ends() -> None:
    timeline = plan_timeline(track_of([1] * 100), Fraction(101, 1000), JobOptions())
    assert shown(timeline) == [0, 1, 2]  # 0.101 s at 25 frames/s: the third frame starts at 0.08 s


def test_an_excerpt_is_what_the_full_result_shows_then() -> None:
    track = track_of([1] * 10)
    full = plan_timeline(track, Fraction(2), JobOptions())
    cut = plan_timeline(track, Fraction(2), JobOptions(start_s=Fraction(12, 25), end_s=Fraction(30, 25)))
    assert shown(cut) == shown(full)[12:30]
    assert cut.pts.tolist() == list(range(18))
    assert cut.duration_s == Fraction(18, 25)


def test_an_excerpt_that_starts_inside_a_frame_keeps_the_rest_of_it() -> None:
    cut = plan_timeline(track_of([10, 10, 10]), Fraction(30, 25), JobOptions(start_s=Fraction(14, 25)))
    assert shown(cut) == [1, 2]
    assert cut.pts.tolist() == [0, 6]
    assert cut.duration_s == Fraction(16, 25)


def test_an_excerpt_inside_one_frame_lasts_until_its_end() -> None:
    options = JobOptions(start_s=Fraction(14, 25), end_s=Fraction(15, 25))
    cut = plan_timeline(track_of([10, 10, 10]), Fraction(30, 25), options)
    assert shown(cut) == [1]
    assert (cut.pts.tolist(), cut.last_duration, cut.missed) == ([0], 1, 4)


def test_an_excerpt_fails_when_it_starts_behind_the_end() -> None:
    for length in ("audio", "video"):
        with pytest.raises(OptionError, match="after the end"):
            plan_timeline(track_of([1] * 25), Fraction(1), JobOptions(length=length, start_s=Fraction(1)))


def test_planning_fails_when_the_track_or_the_audio_is_empty() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        plan_timeline(track_of([]), Fraction(1), JobOptions())
    with pytest.raises(ValueError, match="audio of 0 s"):
        plan_timeline(track_of([1]), Fraction(0), JobOptions())


def test_middles_and_starts_are_those_of_each_frames_time_on_the_screen() -> None:
    timeline = plan_timeline(track_of([10, 20, 5]), Fraction(35, 25), JobOptions())
    np.testing.assert_allclose(timeline.middles_s(), [5 / 25, 20 / 25, 32.5 / 25])
    np.testing.assert_allclose(timeline.starts_s(), [0, 10 / 25, 30 / 25])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (JobOptions(), Fraction(5)),
        (JobOptions(end_s=Fraction(2)), Fraction(2)),
        (JobOptions(end_s=Fraction(9)), Fraction(5)),
        (JobOptions(length="video"), None),
        (JobOptions(length="video", end_s=Fraction(9)), Fraction(9)),
    ],
)
def test_only_as_much_video_is_needed_as_can_be_shown(options: JobOptions, expected: Fraction | None) -> None:
    assert source_s_needed(Fraction(5), options) == expected


def test_a_track_of_only_what_is_needed_gives_the_same_plan() -> None:
    options = JobOptions(end_s=Fraction(3))
    needed_s = source_s_needed(Fraction(5), options)
    assert needed_s is not None
    whole, part = track_of([1] * 500), track_of([1] * int(needed_s * 25))
    plans = [plan_timeline(track, Fraction(5), options) for track in (whole, part)]
    assert shown(plans[0]) == shown(plans[1])
    assert plans[0].duration_s == plans[1].duration_s == 3


def test_a_timeline_fails_when_its_columns_differ_in_length() -> None:
    with pytest.raises(ValueError, match="source indexes"):
        Timeline(np.zeros(2, np.int32), np.zeros(3, np.int64), NTSC, 1)


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 90), (50, 100), (53, 100), (53, 54), (7, 8), (100, None)],
)
def test_the_frames_of_an_excerpt_are_heard_at_the_moments_of_the_whole(start: int, end: int | None) -> None:
    track = track_of([7, 3, 11, 5, 9], Fraction(1, 30))
    full = plan_timeline(track, Fraction(6), JobOptions())
    options = JobOptions(start_s=Fraction(start, 30), end_s=None if end is None else Fraction(end, 30))
    cut = plan_timeline(track, Fraction(6), options)
    first = int(np.searchsorted(full.pts, start, side="right")) - 1
    place = slice(first, first + len(cut))
    assert shown(cut) == shown(full)[place]
    np.testing.assert_array_equal(cut.middles_s()[:-1], full.middles_s()[place][:-1])
    np.testing.assert_array_equal(cut.starts_s(), full.starts_s()[place])
    assert cut.middles_s()[-1] <= full.middles_s()[place][-1]  # a long frame without a face ends with the excerpt


def steps(timeline: Timeline) -> list[int]:
    return np.diff(timeline.pts, append=timeline.pts[-1] + timeline.last_duration).tolist()


def test_a_face_that_is_held_is_shown_as_several_frames() -> None:
    track = track_of([40, 500, 66, 50, 1000], Fraction(1, 1000), score=1.0)
    timeline = plan_timeline(track, Fraction(1), JobOptions())
    assert shown(timeline) == [0] + 10 * [1] + 2 * [2] + [3] + 7 * [4]
    assert steps(timeline) == [40] + 10 * [50] + [33, 33, 50] + 7 * [50]
    assert timeline.duration_s == Fraction(1006, 1000)
    assert timeline.frame_rate == pytest.approx(21 / 1.006, abs=0.01)


def test_frames_of_usual_rates_are_not_cut() -> None:
    for rate in (20, 24, 25, 30, 60):
        timeline = plan_timeline(track_of([1] * 50, Fraction(1, rate), score=1.0), Fraction(1), JobOptions())
        assert len(timeline) == rate
        assert (timeline.time_base, timeline.frame_rate) == (Fraction(1, rate), None)


def test_a_coarse_unit_of_times_becomes_finer_where_a_frame_is_cut() -> None:
    timeline = plan_timeline(track_of([1] * 7, Fraction(1, 7), score=1.0), Fraction(1), JobOptions())
    assert shown(timeline) == sorted(3 * list(range(7)))
    assert timeline.duration_s == 1
    assert max(steps(timeline)) * timeline.time_base <= Fraction(1, 20)


def test_a_long_frame_without_a_face_is_kept_and_ends_with_the_sound() -> None:
    timeline = plan_timeline(track_of([1, 100]), Fraction(2), JobOptions())
    assert shown(timeline) == [0, 1]
    assert timeline.duration_s == 2


@pytest.mark.parametrize("extend", ["pingpong", "loop", "freeze"])
def test_a_late_picture_is_shown_from_the_beginning(extend: str) -> None:
    track, options = track_of([1] * 5, score=1.0), JobOptions(extend=extend)
    plain, late = (plan_timeline(track, Fraction(1), options, Fraction(lead, 25)) for lead in (0, 3))
    assert shown(late)[:5] == [0, 0, 0, 0, 1]
    assert shown(late) == [0, 0, 0, *shown(plain)][: len(plain)]
    assert late.duration_s == plain.duration_s
    full = plan_timeline(track, Fraction(1), JobOptions(length="video"), Fraction(3, 25))
    assert full.duration_s == Fraction(8, 25)


def test_an_excerpt_of_held_frames_is_the_part_of_the_whole() -> None:
    track = track_of([400, 35, 900, 40], Fraction(1, 1000), score=1.0)
    full = plan_timeline(track, Fraction(3), JobOptions())
    for start, end in ((0, 1000), (410, 1200), (777, 2100), (2101, 2102)):
        options = JobOptions(start_s=Fraction(start, 1000), end_s=Fraction(end, 1000))
        cut = plan_timeline(track, Fraction(3), options)
        first = int(np.searchsorted(full.pts, start, side="right")) - 1
        place = slice(first, first + len(cut))
        assert shown(cut) == shown(full)[place]
        np.testing.assert_array_equal(cut.middles_s(), full.middles_s()[place])


def test_a_rate_shows_the_frame_of_each_moment() -> None:
    track = track_of([10, 90, 20, 80], Fraction(1, 100), score=1.0)
    timeline = plan_timeline(track, Fraction(2), JobOptions(fps=Fraction(10)))
    assert shown(timeline) == [0] + 9 * [1] + 2 * [2] + 8 * [3]
    assert steps(timeline) == 20 * [1]
    assert timeline.time_base == 1 / timeline.frame_rate == Fraction(1, 10)


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(60)])
def test_a_rate_neither_loses_nor_repeats_frames_of_the_same_rate(rate: Fraction) -> None:
    track = track_of([round(90000 / rate)] * 700, Fraction(1, 90000), score=1.0)
    timeline = plan_timeline(track, Fraction(10), JobOptions(fps=rate))
    assert shown(timeline) == list(range(ceil(10 * rate)))


def test_a_timeline_fails_when_it_would_have_too_many_frames() -> None:
    with limited(Limits(max_frames=50)), pytest.raises(FrameLimitError, match="the result has more than 50 frames"):
        plan_timeline(track_of([1]), Fraction(3), JobOptions())
    with limited(Limits(max_frames=50)), pytest.raises(FrameLimitError):
        plan_timeline(track_of([1] * 9), Fraction(3), JobOptions(fps=Fraction(100)))
    with limited(Limits(max_frames=50)), pytest.raises(FrameLimitError):
        plan_timeline(track_of([100], score=1.0), Fraction(3), JobOptions())  # a face that is held is cut into pieces
    with limited(Limits(max_frames=75)):
        assert len(plan_timeline(track_of([1]), Fraction(3), JobOptions())) == 75


def test_a_timeline_fails_when_it_would_have_too_many_frames_a_second() -> None:
    with pytest.raises(FrameRateLimitError, match="more than 1000"):
        plan_timeline(track_of([1, 1, 1], Fraction(1, 10**9)), Fraction(1, 10**5), JobOptions())
    assert len(plan_timeline(track_of([1], Fraction(1, 1000)), Fraction(1), JobOptions())) == 1000


def test_a_late_picture_adds_no_frame_to_a_result_as_long_as_the_video() -> None:
    # A lead of 3.4 units became 3, and the result was thought to be .4 units longer than the frames.
    options = JobOptions(length="video")
    timeline = plan_timeline(track_of([1] * 5), Fraction(1), options, Fraction(34, 250))
    assert shown(timeline) == [0, 1, 2, 3, 4]
    assert timeline.pts.tolist() == [0, 4, 5, 6, 7]
