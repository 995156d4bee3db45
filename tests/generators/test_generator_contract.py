"""The contract of every generator, on a made and on a real face. New generators join one of the two lists."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lipsync_core.catalogue import load_painting
from lipsync_core.clock import StageClock
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.face.track import FaceTrack
from lipsync_core.generators.contract import InferringHalf, ModelIdentity, Painter
from lipsync_core.generators.viseme.generator import VisemeGenerator
from lipsync_core.generators.wav2lip import Identity, Wav2LipGenerator
from lipsync_core.generators.wav2lip_onnx import Wav2LipNetwork
from lipsync_core.media.decode import SourceFrame, decode_frames
from lipsync_core.media.planes import read_region
from lipsync_core.models.store import ModelStore
from lipsync_core.workspace import Workspace
from tests.echo_network import write_echo
from tests.wav2lip_weights import imported_wav2lip, needs_torch

FRAMES = 6


def seeded_wav2lip(folders: pytest.TempPathFactory) -> InferringHalf:
    network = Wav2LipNetwork(imported_wav2lip(folders))
    return Wav2LipGenerator(network, Identity("wav2lip", "test weights"))


def echoing_wav2lip(folders: pytest.TempPathFactory) -> InferringHalf:
    """Made with a network that needs no torch and gives its crop back."""
    network = Wav2LipNetwork(write_echo(folders.mktemp("echo") / "echo.onnx"))
    return Wav2LipGenerator(network, Identity("wav2lip", "echo"))


def viseme(_: pytest.TempPathFactory) -> InferringHalf:
    return VisemeGenerator.open(ModelStore(Workspace.default().models))


WITHOUT_CROPS = [pytest.param(viseme, id="viseme")]
WITH_CROPS = [
    pytest.param(echoing_wav2lip, id="wav2lip, echo"),
    pytest.param(seeded_wav2lip, id="wav2lip", marks=needs_torch),
]


@pytest.fixture(params=WITHOUT_CROPS + WITH_CROPS)
def generator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> InferringHalf:
    made: InferringHalf = request.param(tmp_path_factory)
    return made


@pytest.fixture
def frames(face_video: Path) -> list[SourceFrame]:
    return list(decode_frames(face_video, StageClock(), Fraction(FRAMES, 25)))


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A tracked face, and the findings of the generator's observer."""

    track: FaceTrack
    findings: dict[str, np.ndarray]


@pytest.fixture
def seen(generator: InferringHalf, frames: list[SourceFrame], model_store: ModelStore) -> Seen:
    observer = generator.observer()
    track = MediapipeTracker(model_store).track(frames, StageClock(), observer)
    return Seen(track, observer.findings() if observer else {})


@pytest.fixture
def painter(generator: InferringHalf, seen: Seen) -> Painter:
    """Made on a machine that has only the generator's identity."""
    told = json.dumps(asdict(ModelIdentity.of(generator.spec, None, "asked for")))
    return load_painting(ModelIdentity(**json.loads(told))).painter(seen.track, seen.findings)


def speech_blocks(seconds: float) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(2)
    for _ in range(round(seconds * 10)):
        yield rng.integers(-3000, 3000, 1600).astype(np.int16)


def edits_of(generator: InferringHalf, count: int) -> np.ndarray:
    heard = generator.listen(speech_blocks(1.0)).at(np.arange(count) / 25)
    side_px = generator.spec.crop_px
    if side_px is None:
        return generator.infer(None, heard)
    return generator.infer(
        iter(np.random.default_rng(3).integers(0, 256, (count, side_px, side_px, 3), np.uint8)), heard
    )


def test_there_is_one_edit_for_every_output_frame(generator: InferringHalf) -> None:
    for count in (1, 7, 60):  # 60 frames reach beyond the end of the sound
        assert len(edits_of(generator, count)) == count


@pytest.mark.parametrize("generator", WITHOUT_CROPS, indirect=True)
def test_a_generator_that_asks_for_no_crops_has_no_cropper(generator: InferringHalf, seen: Seen) -> None:
    assert generator.cropper(seen.track) is None
    assert generator.spec.crop_px is generator.spec.batch_frames is None


@pytest.mark.parametrize("generator", WITH_CROPS, indirect=True)
def test_crops_come_from_where_edits_are_painted_and_have_the_announced_size(
    generator: InferringHalf, seen: Seen, painter: Painter, frames: list[SourceFrame]
) -> None:
    cropper, side_px = generator.cropper(seen.track), generator.spec.crop_px
    assert cropper is not None
    for frame in frames:
        box = cropper.region(frame.index)
        assert box is not None
        assert box == painter.region(frame.index)
        crop = cropper.crop(read_region(frame.picture, box.clipped(frame.picture.width, frame.picture.height)))
        assert crop.shape == (side_px, side_px, 3)
        assert crop.dtype == np.uint8


@pytest.mark.parametrize("generator", WITH_CROPS, indirect=True)
def test_a_generator_that_sees_crops_infers_in_parts_what_it_infers_at_once(generator: InferringHalf) -> None:
    side_px = generator.spec.crop_px
    assert side_px is not None
    crops = np.random.default_rng(4).integers(0, 256, (7, side_px, side_px, 3), np.uint8)
    conditions, times_s = generator.listen(speech_blocks(1.0)), np.arange(7) / 25
    whole = generator.infer(iter(crops), conditions.at(times_s)).astype(int)
    parts = [generator.infer(iter(crops[part]), conditions.at(times_s[part])) for part in (slice(3), slice(3, None))]
    assert np.abs(np.concatenate(parts) - whole).max() <= 1  # float rounding differs between batch sizes


def test_hearing_the_same_twice_gives_the_same_edits(generator: InferringHalf) -> None:
    assert np.array_equal(edits_of(generator, 25), edits_of(generator, 25))


def test_painting_is_repeatable_and_leaves_its_input_alone(
    generator: InferringHalf, painter: Painter, frames: list[SourceFrame]
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


# With crops, an edit belongs to the part of the face that was cropped; another part has another edit.
@pytest.mark.parametrize("generator", WITHOUT_CROPS, indirect=True)
def test_a_region_cut_by_the_frames_edge_is_painted_alike(
    generator: InferringHalf, painter: Painter, frames: list[SourceFrame]
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
