"""What every generator must do, on a real face. New generators join GENERATORS."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lipsync_core.clock import StageClock
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.generators.contract import Generator, Painter
from lipsync_core.generators.viseme.generator import VisemeGenerator
from lipsync_core.media.decode import SourceFrame, decode_frames
from lipsync_core.media.planes import read_region
from lipsync_core.models.store import ModelStore

GENERATORS: dict[str, Callable[[], Generator]] = {"viseme": VisemeGenerator}
FRAMES = 6


@pytest.fixture(params=GENERATORS)
def generator(request: pytest.FixtureRequest) -> Generator:
    return GENERATORS[request.param]()


@pytest.fixture
def frames(clips: Path) -> list[SourceFrame]:
    return list(decode_frames(clips / "retalking_face3.mp4", StageClock(), Fraction(FRAMES, 25)))


@pytest.fixture
def painter(generator: Generator, frames: list[SourceFrame], model_store: ModelStore) -> Painter:
    observer = generator.observer()
    track = MediapipeTracker(model_store).track(frames, StageClock(), observer)
    return generator.painter(track, observer.findings() if observer else {})


def speech_blocks(seconds: float) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(2)
    for _ in range(round(seconds * 10)):
        yield rng.integers(-3000, 3000, 1600).astype(np.int16)


def edits_of(generator: Generator, count: int) -> np.ndarray:
    middles_s = (np.arange(count) + 0.5) / 25
    return generator.infer(None, generator.listen(speech_blocks(1.0)).at(middles_s))


def test_there_is_one_edit_for_every_output_frame(generator: Generator) -> None:
    for count in (1, 7, 60):  # 60 frames reach beyond the end of the sound
        assert len(edits_of(generator, count)) == count


def test_hearing_the_same_twice_gives_the_same_edits(generator: Generator) -> None:
    assert np.array_equal(edits_of(generator, 25), edits_of(generator, 25))


def test_painting_is_repeatable_and_leaves_its_input_alone(
    generator: Generator, painter: Painter, frames: list[SourceFrame]
) -> None:
    edits = edits_of(generator, FRAMES)
    for frame in frames:
        wanted = painter.region(frame.index)
        assert wanted is not None
        box = wanted.clipped(frame.picture.width, frame.picture.height)
        region = read_region(frame.picture, box)
        untouched = region.copy()
        once, again = (painter.paint(region, box, frame.index, edits[frame.index]) for _ in range(2))
        assert np.array_equal(region, untouched)
        assert np.array_equal(once.pixels, again.pixels)
        assert once.pixels.shape == region.shape
        assert once.pixels.dtype == np.uint8
        assert once.mask.shape == region.shape[:2]
        assert once.mask.dtype == np.float32
        assert 0.0 <= once.mask.min() <= once.mask.max() <= 1.0
        assert once.mask[0].max() == 0.0  # it fades before the upper edge of its region


def test_a_region_cut_by_the_frames_edge_is_painted_alike(
    generator: Generator, painter: Painter, frames: list[SourceFrame]
) -> None:
    edit = edits_of(generator, FRAMES)[0]
    wanted = painter.region(0)
    assert wanted is not None
    box = wanted.clipped(frames[0].picture.width, frames[0].picture.height)
    cut = type(box)(box.x0 + 7, box.y0 + 11, box.x1, box.y1)
    whole = painter.paint(read_region(frames[0].picture, box), box, 0, edit)
    part = painter.paint(read_region(frames[0].picture, cut), cut, 0, edit)
    inner = whole.pixels[11:, 7:].astype(int)
    assert np.abs(inner - part.pixels)[20:, 20:].mean() < 1.0
