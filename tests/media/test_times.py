from fractions import Fraction

from lipsync_core.media.times import FrameTimes

TIME_BASE = Fraction(1, 1000)


def times_of(*stored: int | None) -> FrameTimes:
    times = FrameTimes(TIME_BASE, nominal_duration=40)
    for pts in stored:
        times.append(pts)
    return times


def starts(times: FrameTimes) -> list[int]:
    return [times.pts(index) for index in range(len(times))]


def test_the_first_frame_starts_at_0() -> None:
    times = times_of(507, 540, 600)
    assert starts(times) == [0, 33, 93]
    assert [times.stored(index) for index in range(3)] == [507, 540, 600]


def test_missing_pts_follow_at_the_frame_rate() -> None:
    assert starts(times_of(None, None, None)) == [0, 40, 80]
    assert starts(times_of(100, None, 180)) == [0, 40, 80]


def test_a_frame_out_of_place_is_moved_by_as_little_as_possible() -> None:
    assert starts(times_of(0, 40, 40, 30, 120)) == [0, 40, 41, 42, 120]


def test_a_clock_that_was_reset_goes_on_from_where_it_was() -> None:
    assert starts(times_of(0, 40, 5000, 0, 40, 80)) == [0, 40, 5000, 5040, 5080, 5120]


def test_the_last_frame_lasts_as_it_says_else_the_median() -> None:
    times = times_of(0, 30, 70, 110)
    assert [times.duration(index, own=55) for index in range(4)] == [30, 40, 40, 55]
    assert times.duration(3, own=0) == 40
    assert times_of(7).duration(0, own=0) == 40


def test_a_guessed_clock_is_guessed_to_its_end() -> None:
    assert times_of(None, None).duration(1, own=33) == 40


def test_known_frames_need_no_decoding() -> None:
    times = times_of(507)
    times.extend([0, 33, 93])
    assert starts(times) == [0, 33, 93]
    assert times.stored(2) == 600
    times.append(640)
    assert times.pts(3) == 133


def test_a_jump_ahead_is_a_splice_only_where_timestamps_may_jump() -> None:
    stored = (0, 40, 500_040, 500_080, 509_000)
    assert starts(times_of(*stored)) == list(stored)
    times = FrameTimes(TIME_BASE, nominal_duration=40, may_jump=True)
    for pts in stored:
        times.append(pts)
    assert starts(times) == [0, 40, 80, 120, 9040]
    assert [times.stored(index) for index in range(5)] == list(stored)


def test_frames_without_a_pts_lie_before_the_first_that_has_one() -> None:
    # They were guessed from 0 on, and those that followed were squeezed into steps of one unit.
    times = FrameTimes(Fraction(1, 1000), 40)
    for stored in (None, None, None, 20, 60, 100):
        times.append(stored)
    assert [times.pts(at) for at in range(6)] == [0, 40, 80, 120, 160, 200]


def test_the_time_of_display_counts_where_it_is_not_that_of_the_file() -> None:
    times = FrameTimes(Fraction(1, 25), 1)
    for stored, shown in ((1, 1), (2, 2), (4, 3), (5, 4), (3, 5)):
        times.append(stored, shown)
    assert [times.pts(at) for at in range(5)] == [0, 1, 2, 3, 4]
    assert [times.stored(at) for at in range(5)] == [1, 2, 4, 5, 3]


def test_a_clock_that_was_reset_by_less_than_a_second_goes_on_too() -> None:
    times = FrameTimes(Fraction(1, 25), 1)
    for stored in (*range(20), *range(4)):
        times.append(stored)
    assert [times.pts(at) for at in range(24)] == list(range(24))
