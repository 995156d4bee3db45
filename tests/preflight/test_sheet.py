"""The contact sheet shows the frames that were looked at, with a box around each face."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lipsync_core import JobOptions
from lipsync_core.errors import OutputError
from lipsync_core.face.mesh import FaceMesh
from lipsync_core.face.survey import SeenFaces
from lipsync_core.models.store import ModelStore
from lipsync_core.preflight.check import check
from lipsync_core.preflight.sheet import ContactSheet, Tile
from tests.preflight.conftest import MakeInput

GREEN, ORANGE = (64, 224, 64), (255, 176, 32)


@pytest.fixture
def sheet_of(faulty_video: MakeInput, model_store: ModelStore, tmp_path: Path):  # type: ignore[no-untyped-def]
    def make(name: str, face: int | None = None) -> np.ndarray:
        sheet, path = ContactSheet(), tmp_path / "sheet.png"
        check(faulty_video(name), None, JobOptions(face=face), model_store, sheet=sheet)
        sheet.write(path)
        return np.asarray(Image.open(path))

    return make


def places(sheet: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """(N, 2) x y of the pixels of one colour."""
    return np.argwhere((sheet == colour).all(axis=2))[:, ::-1]


@pytest.mark.parametrize(("face", "is_left"), [(0, True), (1, False)])
def test_the_chosen_face_is_green_and_the_other_one_is_not(face: int, is_left: bool, sheet_of) -> None:  # type: ignore[no-untyped-def]
    sheet = sheet_of("two people", face)
    tile = sheet[:180, :320]
    assert (places(tile, GREEN)[:, 0].mean() < 160) == is_left
    assert (places(tile, ORANGE)[:, 0].mean() > 160) == is_left
    assert sheet.shape == (2 * 202, 4 * 324, 3)  # six frames


def test_a_turned_video_is_shown_as_it_is_displayed(sheet_of) -> None:  # type: ignore[no-untyped-def]
    sheet = sheet_of("sideways")
    assert sheet.shape[0] > sheet.shape[1] / 2
    box = places(sheet[:320, :180], GREEN)
    assert 30 < box[:, 0].min() < box[:, 0].max() < 180


def test_a_sheet_without_a_face_has_no_box(sheet_of) -> None:  # type: ignore[no-untyped-def]
    sheet = sheet_of("nobody")
    assert not len(places(sheet, GREEN))
    assert (sheet[:180, :320] != 24).any()


@pytest.mark.parametrize("top", [2, 40, 74])
def test_the_number_of_a_small_face_does_not_cover_it(top: int) -> None:
    points = np.zeros((468, 3), np.float32)
    points[:] = (40, top, 0)
    points[1] = (64, top + 24, 0)
    seen = SeenFaces((FaceMesh(points, 5.0),), 0, 0)
    tile = Tile(Fraction(0), "usable", np.full((100, 100, 3), 90, np.uint8), 1.0, seen).drawn()
    assert (tile[top + 2 : top + 22, 43:61] == 90).all()
    assert len(places(tile[:100], GREEN)) > 300  # the box, and the number beside it


def test_a_sheet_is_the_kind_of_file_that_its_name_says(tmp_path: Path) -> None:
    for name, kind in (("sheet.png", "PNG"), ("sheet.JPG", "JPEG"), ("sheet", "PNG")):
        ContactSheet().write(tmp_path / name)
        with Image.open(tmp_path / name) as image:
            assert image.format == kind


def test_writing_fails_where_the_folder_is_absent(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="--sheet"):
        ContactSheet().write(tmp_path / "none" / "sheet.png")
    assert not list(tmp_path.iterdir())
