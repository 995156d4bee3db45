from fractions import Fraction

import click
import pytest

from lipsync_cli.values import FaceChoice, Moment


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12", Fraction(12)),
        ("0.1", Fraction(1, 10)),
        (".5", Fraction(1, 2)),
        ("12.", Fraction(12)),
        ("1:02.5", Fraction(125, 2)),
        ("01:00:00.001", 3600 + Fraction(1, 1000)),
        ("90:00", Fraction(5400)),
        ("75", Fraction(75)),
    ],
)
def test_a_moment_is_exact(text: str, seconds: Fraction) -> None:
    assert Moment().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1:60", "1:60:00", "1:2:3:4", "1,5", "nan", "1e3", "1/2", "٣", "1:"])
def test_a_moment_fails_when_it_is_no_time(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a time"):
        Moment().convert(text, None, None)


@pytest.mark.parametrize(("text", "face"), [("largest", None), ("0", 0), ("3", 3)])
def test_a_face_is_the_largest_or_counted_from_the_left(text: str, face: int | None) -> None:
    assert FaceChoice().convert(text, None, None) == face


@pytest.mark.parametrize("text", ["", "-1", "left", "1.5", "²"])
def test_a_face_fails_when_it_is_no_index(text: str) -> None:
    with pytest.raises(click.BadParameter, match="largest"):
        FaceChoice().convert(text, None, None)


@pytest.mark.parametrize("kind", [Moment(), FaceChoice()])
def test_a_number_of_thousands_of_digits_is_refused(kind: click.ParamType[object]) -> None:
    with pytest.raises(click.BadParameter):
        kind.convert("9" * 5000, None, None)
