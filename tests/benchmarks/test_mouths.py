"""Painted mouths do what their curves say, as measured on the painted frames by the product's own mesh."""

import sys
from fractions import Fraction
from pathlib import Path

import pytest

from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.models.store import ModelStore
from tests.thorough import first_of

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from mouths import MouthFigures, measure

PART_S = Fraction(4)
CLIPS = (
    "latentsync_demo1_video.mp4",
    "retalking_face1.mp4",
    "retalking_face3.mp4",
    "sadtalker_WDA_AlexandriaOcasioCortez_000.mp4",
    "liveportrait_s20.mp4",
    "liveportrait_s13.mp4",  # grins: the mesh sees closed lips, and the teeth are dim
)


@pytest.fixture(scope="module", params=first_of(CLIPS, 1))
def figures(request: pytest.FixtureRequest, clips: Path, model_store: ModelStore) -> MouthFigures:
    """Of the beginning of a real clip, most of them of people who talk all the time."""
    return measure(clips / request.param, MediapipeTracker(model_store), PART_S)


def test_the_opening_follows_the_jaw(figures: MouthFigures) -> None:
    assert figures.opening >= 0.9


def test_the_width_follows_its_curve_and_moves_as_much_as_the_widths_of_people(figures: MouthFigures) -> None:
    assert figures.width >= 0.75
    assert figures.width_sd >= 0.025  # people: .029 of the distance of the eyes


def test_lips_meet_in_closures_whatever_the_source_does(figures: MouthFigures) -> None:
    assert figures.met >= 0.95


def test_most_closed_mouths_look_like_the_closed_mouths_of_the_person(figures: MouthFigures) -> None:
    assert figures.alike >= 0.5  # the light and the turn of the head change; a mouth that stays open has 0


def test_flicker_is_bounded_by_the_movement_that_was_asked_for(figures: MouthFigures) -> None:
    assert figures.flicker <= figures.source_flicker + 2.0
