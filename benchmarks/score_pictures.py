"""Picture checks: seams, flicker, held patches and covered mouths, injected into whole jobs on their way to the meter.

A job of `viseme` is run once for each video and sound; every case sees its painted places with a fault of its own. No
person is in two of the sets. The limits were chosen with the set `chosen`, and `tested` was run after that.
"""

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from score_faults import DEMO, made_portrait, read_sound, write_wav

from lipsync_core import pipeline
from lipsync_core.movie_scorer import MovieScorer
from lipsync_core.options import JobOptions
from lipsync_core.pipeline import lip_sync
from lipsync_core.render import EditedRegion
from lipsync_core.score.pictures import PictureMeter, judge_pictures
from lipsync_core.score_figures import PictureFigures

Picture = NDArray[np.uint8]
Fault = Callable[[int, EditedRegion, "dict[int, EditedRegion]"], EditedRegion]

PICTURE_SETS = {
    "chosen": (
        (
            "latentsync_demo1_video.mp4",
            "retalking_face3.mp4",
            "sadtalker_WDA_AlexandriaOcasioCortez_000.mp4",
            "liveportrait_s20.mp4",
        ),
        ("sadtalker_imagine.wav", "mv2", "d20"),
    ),
    "tested": (
        ("retalking_face1.mp4", "liveportrait_d3.mp4", "liveportrait_s13.mp4", DEMO),
        ("latentsync_demo1_audio.wav", "retalking_audio1.wav", "obama", "mead_W040", "rt4"),
    ),
    "microphone": (("facerec_short_hamilton_clip.mp4",), ("latentsync_demo1_audio.wav", "sadtalker_imagine.wav")),
}
_OPTIONS = JobOptions(model="viseme", preset="ultrafast", provenance=False)
_BACK = 10  # frames between a face and the patch of another moment
_PATCH_PX = 96  # side of the patches of a network
_COVERED = (0.4, 0.7)  # of the movie, by a drawn cover
#: The painted region of `viseme` in distances of the eyes, and the place of the mouth in it.
_WIDTH, _HEIGHT, _MOUTH = 1.457, 1.386, (0.5, 0.28)


def as_painted(number: int, region: EditedRegion, before: dict[int, EditedRegion]) -> EditedRegion:
    """No fault."""
    return region


def patch_of_a_network(number: int, region: EditedRegion, before: dict[int, EditedRegion]) -> EditedRegion:
    """No fault: a patch of fewer pixels that a soft mask joins, as networks make them."""
    mask = np.zeros_like(region.mask)
    height, width = mask.shape
    mask[height // 6 : -(height // 6), width // 8 : -(width // 8)] = 1.0
    mask = cv2.GaussianBlur(mask, (0, 0), height / 25)
    mask[mask < 0.02] = 0.0
    small = cv2.resize(region.before, (_PATCH_PX, _PATCH_PX), interpolation=cv2.INTER_AREA)
    return replace(region, after=mixed(region.before, cv2.resize(small, (width, height)), mask), mask=mask)


def unblended(number: int, region: EditedRegion, before: dict[int, EditedRegion]) -> EditedRegion:
    """The mouth of another moment, pasted without a soft rim."""
    other = before.get(number - _BACK, before[min(before)]).after
    pasted = cv2.resize(other, region.mask.shape[::-1])
    return replace(region, after=np.where(region.mask[..., None] > 0, pasted, region.before))


def stepped(levels: int, edge: float = 0.0) -> Fault:
    """A fault: all that was painted is brighter by so many levels, where the mask is above `edge`."""

    def fault(number: int, region: EditedRegion, before: dict[int, EditedRegion]) -> EditedRegion:
        return replace(region, after=brighter(region.after, levels * (region.mask > edge)))

    return fault


def flickering(levels: int) -> Fault:
    """A fault: brighter and darker by turns, softly joined."""

    def fault(number: int, region: EditedRegion, before: dict[int, EditedRegion]) -> EditedRegion:
        soft = cv2.GaussianBlur(region.mask, (0, 0), 4.0).clip(0, 1) * (region.mask > 0)
        return replace(region, after=brighter(region.after, (levels if number % 2 else -levels) * soft))

    return fault


def held(number: int, region: EditedRegion, before: dict[int, EditedRegion]) -> EditedRegion:
    """Every second frame shows the painted place of the frame before, where that was in the picture."""
    last = before.get(number - 1)
    if last is None or number % 2 == 0:
        return region
    move = np.array([[1, 0, last.box.x0 - region.box.x0], [0, 1, last.box.y0 - region.box.y0]], np.float32)
    size = region.mask.shape[::-1]
    pixels = cv2.warpAffine(last.after, move, size, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(last.mask, move, size)
    return replace(region, after=mixed(region.before, pixels, mask), mask=mask)


def stale(number: int, region: EditedRegion, before: dict[int, EditedRegion]) -> EditedRegion:
    """Every second frame shows the patch of the frame before, where the face is now."""
    last = before.get(number - 1)
    if last is None or number % 2 == 0:
        return region
    pixels = cv2.resize(last.after, region.mask.shape[::-1])
    return replace(region, after=mixed(region.before, pixels, region.mask))


def covered_by(kind: str) -> Fault:
    """Something in front of the mouth."""

    def fault(number: int, region: EditedRegion, before: dict[int, EditedRegion]) -> EditedRegion:
        return replace(region, before=with_cover(region.before, kind), after=with_cover(region.after, kind))

    return fault


GOOD: dict[str, Fault] = {"good": as_painted, "good, 96 px patch": patch_of_a_network}
SEAMS: dict[str, Fault] = {
    "unblended": unblended,
    "step of 3": stepped(3),
    "step of 6": stepped(6),
    "step of 6 inside": stepped(6, 0.5),
}
FLICKERS: dict[str, Fault] = {"flicker +-1": flickering(1), "flicker +-2": flickering(2)}
HELD: dict[str, Fault] = {"held in place": held, "stale, moved along": stale}
COVERS: dict[str, Fault] = {kind: covered_by(kind) for kind in ("cup", "sheet", "microphone", "hand")}
CASES = {**GOOD, **SEAMS, **FLICKERS, **HELD, **COVERS}


def brighter(pixels: Picture, levels: NDArray[np.floating] | NDArray[np.integer]) -> Picture:
    """The pixels, brighter by (h, w) `levels`."""
    return np.rint(pixels + levels[..., None]).clip(0, 255).astype(np.uint8)


def mixed(pixels: Picture, others: Picture, mask: NDArray[np.float32]) -> Picture:
    """`others` where the mask is 1, `pixels` where it is 0."""
    share = mask[..., None]
    return np.rint(pixels * (1 - share) + others * share).astype(np.uint8)


def with_cover(pixels: Picture, kind: str) -> Picture:
    """A region of `viseme` with a cover over its mouth, a little soft at its edge."""
    height, width = pixels.shape[:2]
    lines, columns = np.mgrid[:height, :width].astype(np.float32)
    x, y = (columns / width - _MOUTH[0]) * _WIDTH, (lines / height - _MOUTH[1]) * _HEIGHT
    shape, colour = _COVERS[kind](x, y, pixels)
    soft = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), max(0.8, 0.007 * width))
    return mixed(pixels, np.broadcast_to(colour, pixels.shape).clip(0, 255).astype(np.uint8), soft)


def _cup(x: NDArray, y: NDArray, pixels: Picture) -> tuple[NDArray, NDArray]:
    shade = (1 - 0.55 * (x / 0.36) ** 2)[..., None]
    colour = np.where(((y > 0.3) & (y < 0.5))[..., None], (170, 40, 40), (225, 222, 215)) * shade
    return (np.abs(x) < 0.36) & (y > -0.14) & (y < 0.95), colour


def _sheet(x: NDArray, y: NDArray, pixels: Picture) -> tuple[NDArray, NDArray]:
    return (np.abs(x) < 0.5) & (y > -0.2) & (y < 0.8), np.full(3, 200)


def _microphone(x: NDArray, y: NDArray, pixels: Picture) -> tuple[NDArray, NDArray]:
    ball, grip = x**2 + (y - 0.12) ** 2 < 0.2**2, (np.abs(x - 0.15 * (y - 0.12)) < 0.075) & (y > 0.12)
    light = 40 + 45 * np.clip(1 - ((x + 0.06) ** 2 + (y - 0.06) ** 2) / 0.04, 0, 1)
    return ball | grip, light[..., None]


def _hand(x: NDArray, y: NDArray, pixels: Picture) -> tuple[NDArray, NDArray]:
    """Four fingers of the skin's own colour, from the right."""
    height, width = pixels.shape[:2]
    skin = np.median(pixels[: height // 5, width // 8 : -(width // 8)].reshape(-1, 3), axis=0)
    apart = np.abs((y + 0.1 - 0.1 * x + 0.075) % 0.15 - 0.075)
    shape = (x > -0.45) & (y > -0.18) & (y < 0.45)
    return shape, skin * (1 - 0.35 * (apart / 0.075) ** 2)[..., None] * (1.03, 0.97, 0.95)


_COVERS = {"cup": _cup, "sheet": _sheet, "microphone": _microphone, "hand": _hand}


@dataclass(slots=True, eq=False)
class FaultyMeters:
    """Implements `EditWatch` and stands in for a job's meter of pictures: one meter for each case."""

    usual: PictureMeter
    meters: dict[str, PictureMeter] = field(init=False)
    _seen: dict[int, EditedRegion] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.meters = {case: PictureMeter(self.usual.begins_pair) for case in CASES}

    def wants(self, number: int) -> bool:
        """All: faults need the frames before."""
        return True

    def look(self, number: int, region: EditedRegion) -> None:
        """Hand the place to every meter, each with its fault."""
        self._seen[number] = replace(region, before=region.before.copy())
        self._seen.pop(number - _BACK - 1, None)
        if self.usual.wants(number):
            for case, meter in self.meters.items():
                first, end = (share * len(self.usual.begins_pair) for share in _COVERED)
                is_faulty = case not in COVERS or first <= number < end
                changed = CASES[case](number, region, self._seen) if is_faulty else region
                meter.look(number, changed)

    def taken(self) -> object:
        """Nothing of its own."""
        return self.usual.taken()


def picture_job(source: Path, audio: Path, out: Path) -> dict[str, PictureFigures | None]:
    """The figures of all cases, by one job."""
    found: list[MovieScorer] = []
    usual = pipeline.open_scorer

    def opened(*given):  # type: ignore[no-untyped-def]
        scorer = usual(*given)
        scorer.meter.pictures = FaultyMeters(scorer.meter.pictures)
        found.append(scorer)
        return scorer

    pipeline.open_scorer = opened
    try:
        lip_sync(source, audio, out, _OPTIONS)
    finally:
        pipeline.open_scorer = usual
    times_s = found[0].expected.times_s
    meters = found[0].meter.pictures.meters
    return {case: judge_pictures(meter.taken(), times_s) for case, meter in meters.items()}


def measure_pictures(clips: Path, mouths: Path, chosen: str) -> None:
    """Print the figures of every case: the worst second's, of all movies."""
    figures: dict[str, list[PictureFigures]] = {case: [] for case in CASES}
    videos, sounds = PICTURE_SETS[chosen]
    with tempfile.TemporaryDirectory() as folder:
        for name in sounds:
            audio = write_wav(Path(folder) / "sound.wav", read_sound(name, clips, mouths))
            for video in videos:
                source = made_portrait(Path(folder)) if video == DEMO else clips / video
                for case, found in picture_job(source, audio, Path(folder) / "out.mp4").items():
                    if found is not None:
                        figures[case].append(found)
                good = figures["good"][-1]
                told = f"{good.account}; seam {good.seam.worst:.2f} flicker {good.flicker.worst:.2f}"
                print(f"{video[:24]:26}{name[:22]:24}{told} held {good.held.worst:.2f}", flush=True)
    print_pictures(figures)


def print_pictures(figures: dict[str, list[PictureFigures]]) -> None:
    """Print the spread of each figure, and how many movies are said to have a fault, or a covered mouth."""
    print(f"{'':20}{'movies':>7}{'seam':>20}{'flicker':>18}{'held':>18}{'faults':>8}{'covered':>9}{'of those':>9}")
    for case, found in figures.items():
        spreads = [_spread([getattr(each, name).worst for each in found]) for name in ("seam", "flicker", "held")]
        faults = sum(bool(each.faults) for each in found)
        covered = [each.covered.share for each in found if each.covered]
        share = f"{statistics.mean(covered):9.0%}" if covered else f"{'':9}"
        print(
            f"{case:20}{len(found):7}{spreads[0]:>20}{spreads[1]:>18}{spreads[2]:>18}{faults:8}{len(covered):9}{share}"
        )


def _spread(values: list[float]) -> str:
    return f"{min(values):.2f} {statistics.median(values):.2f} {max(values):.2f}"
