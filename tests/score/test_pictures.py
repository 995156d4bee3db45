"""The pictures of a movie: which pairs are looked at, and how they are judged."""

import numpy as np
import pytest

from lipsync_core.score.motion import SeenMouths
from lipsync_core.score.pictures import PictureMeter, judge_pictures, pairs_to_look_at
from lipsync_core.score.seen import Seen, SeenPair, SeenPictures, SeenRim
from tests.score.regions import brighter, painted, skin

TIMES_S = (np.arange(200) + 0.5) / 25
BEGINS = pairs_to_look_at(np.ones(200, np.bool_), 25)


def seen(frames: range, fault: range = range(0)) -> SeenPictures:
    """What a meter sees of frames of a movie, of which those in `fault` are brighter by turns."""
    meter = PictureMeter(BEGINS)
    for number in filter(meter.wants, frames):
        region = painted(skin(number % 5, seed=number))
        levels = (3 if number % 2 else -3) if number in fault else 0
        meter.look(number, brighter(region, levels))
    return meter.taken()


def test_pairs_begin_with_even_and_odd_frames_by_turns_and_are_painted() -> None:
    firsts = np.flatnonzero(BEGINS)
    assert firsts[:4].tolist() == [0, 13, 24, 37]
    is_synced = np.ones(200, np.bool_)
    is_synced[[14, 24]] = False
    assert np.flatnonzero(pairs_to_look_at(is_synced, 25))[:2].tolist() == [0, 37]
    assert not pairs_to_look_at(np.zeros(0, np.bool_), 25).any()
    assert pairs_to_look_at(np.ones(3, np.bool_), 1).tolist() == [True, False, False]


def test_a_good_movie_has_no_fault() -> None:
    figures = judge_pictures(seen(range(200)), TIMES_S)
    assert figures is not None
    assert figures.faults == ()
    assert figures.frames == len(np.flatnonzero(BEGINS))
    assert figures.covered is None
    assert figures.account.startswith("picture good: seam ")


def test_a_second_with_a_fault_is_found() -> None:
    figures = judge_pictures(seen(range(200), fault=range(95, 130)), TIMES_S)
    assert figures is not None
    assert figures.faults == ("seam", "flicker")
    assert 90 <= figures.flicker.frame <= 115
    assert figures.flicker.start_s == pytest.approx(TIMES_S[figures.flicker.frame])
    assert figures.flicker.typical < 0.5 < 4.0 < figures.flicker.worst
    assert "faulty (seam, flicker): " in figures.account


def test_segments_see_what_the_whole_does_but_for_a_pair_that_a_join_parts() -> None:
    whole, parts = seen(range(200)), [seen(range(50)), seen(range(50, 133)), seen(range(133, 200))]
    mouths = SeenMouths.joined(())
    joined = Seen.joined([Seen(mouths, part) for part in parts]).pictures
    assert joined == whole
    parted = Seen.joined([Seen(mouths, seen(range(14))), Seen(mouths, seen(range(14, 200)))]).pictures
    assert parted.rims == whole.rims
    assert parted.pairs == tuple(pair for pair in whole.pairs if pair.number != 14)


def test_covered_mouths_are_told_with_their_frames() -> None:
    bare, covered = (190, 150, 130) * 36, (60, 90, 190) * 36
    firsts = np.flatnonzero(BEGINS)
    rims = [SeenRim(int(number), 0.0, covered if 50 <= number < 90 else bare) for number in firsts]
    pairs = [SeenPair(int(number) + 1, 0.0, 0.0) for number in firsts]
    figures = judge_pictures(SeenPictures(tuple(rims), tuple(pairs)), TIMES_S)
    assert figures is not None and figures.covered is not None
    assert (figures.covered.first_frame, figures.covered.last_frame) == (61, 85)
    assert figures.covered.share == pytest.approx(3 / len(rims))
    assert figures.faults == ()


def test_a_few_frames_tell_nothing() -> None:
    assert judge_pictures(seen(range(35)), TIMES_S) is None
