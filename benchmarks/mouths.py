"""Measures painted mouths against the curves that they were painted from, on real clips, by the product's own mesh.

Each clip is painted with made curves (opening, width and closures that do not depend on each other), in memory, without
an encoder. The table shows the correlation of the measured opening and width with their curves, the spread of the width
beside the source's own, the share of the closures whose lips meet, and the flicker beside the source's own.

The mesh sees closed lips up to a tenth of the mouth's width apart, in untouched frames too. So closures are judged in
three ways. By dark and teeth: between the lips, teeth are at most 2 % of the mouth's width high, and the dark at most
10 %, which the line between closed lips with its shadow reaches in untouched frames. An upper lip in shadow fails it,
and dim teeth pass. By the look (`alike`): the lips look like the clip's own closed lips; a turned or newly lit mouth
fails it. And by the mesh: its inner lips are at most 2 % apart. The column beside it shows what the mesh says of the
source's own closed frames.

    python benchmarks/mouths.py [--seconds N] [CLIP ...]
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.blend.feather import FeatherBlender
from lipsync_core.catalogue import load_tracking
from lipsync_core.clock import StageClock
from lipsync_core.face.landmarks import MOUTH_CORNERS, OUTER_EYE_CORNERS, rows
from lipsync_core.face.track import FaceTrack, TrackedFace
from lipsync_core.face.tracker import FaceTracker
from lipsync_core.generators.contract import Painter
from lipsync_core.generators.viseme.curves import Curve
from lipsync_core.generators.viseme.exemplar import MouthObserver
from lipsync_core.generators.viseme.likeness import ClosedLook
from lipsync_core.generators.viseme.lips import lip_picture
from lipsync_core.generators.viseme.mouth_crop import MouthCrop, crop_mouth
from lipsync_core.generators.viseme.painter import VisemePainting
from lipsync_core.generators.viseme.seam import Seam, find_seam
from lipsync_core.media.decode import SourceFrame, decode_frames
from lipsync_core.media.planes import read_region, write_region
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.workspace import Workspace

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests import shared_files

CLIPS = (
    "latentsync_demo1_video.mp4",
    "retalking_face1.mp4",
    "retalking_face3.mp4",
    "liveportrait_d3.mp4",
    "sadtalker_WDA_AlexandriaOcasioCortez_000.mp4",
    "liveportrait_s20.mp4",
    "liveportrait_s13.mp4",
)
MOST_GAP = 0.02  # of the mouth's width: closed
MOST_DARK = 0.10
LEAST_LIKENESS = 0.5
_INNER_MIDDLES, _CORNERS, _EYES = rows((13, 14)), rows(MOUTH_CORNERS), rows(OUTER_EYE_CORNERS)
_MOUTH_LINES, _MOUTH_COLUMNS = slice(70, 160), slice(60, 196)  # of a canonical crop
_CLOSURE_EVERY_S, _CLOSURE_S, _CLOSING_S = 0.7, 0.16, 0.06
_ROW = "{:<46}{:>6}{:>9}{:>8}{:>8}{:>8}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}"


@dataclass(frozen=True, slots=True)
class MouthFigures:
    """The figures of one painted clip."""

    frames: int
    opening: float  # correlation of the measured opening with the jaw curve
    width: float  # correlation of the measured width with the width curve
    width_sd: float  # in eye distances
    source_width_sd: float
    met: float  # share of the closures whose lips meet, by dark and teeth
    alike: float  # and of those that look like the clip's own closed lips; NaN where it shows none
    met_by_mesh: float
    source_met_by_mesh: float  # of the source's frames whose lips meet by the picture; NaN without any
    flicker: float  # mean difference of a mouth crop from its neighbours' mean, in code values
    source_flicker: float


class _Watcher:
    """A `ClipObserver` that measures lips and flicker."""

    def __init__(self, look: ClosedLook | None = None) -> None:
        self._look = look
        self.indexes: list[int] = []
        self.seams: list[Seam] = []  # each with its likeness, where there is a look
        self._crops: list[NDArray[np.float32]] = []
        self._differences: list[float] = []

    def observe(self, frame: SourceFrame, face: TrackedFace) -> None:
        """Measure one frame."""
        crop = crop_mouth(frame, face.landmarks)
        self.indexes.append(face.frame_index)
        seam = find_seam(crop.pixels, crop.points)
        likeness = 1.0 if self._look is None else self._look.likeness(crop.pixels, seam.line)
        self.seams.append(replace(seam, likeness=likeness))
        self._compare(crop)

    def findings(self) -> dict[str, NDArray[np.generic]]:
        """None are kept."""
        return {}

    @property
    def flicker(self) -> float:
        """Mean absolute difference of a frame's mouth from the mean of its neighbours', in code values."""
        return float(np.mean(self._differences)) if self._differences else float("nan")

    def _compare(self, crop: MouthCrop) -> None:
        self._crops = [*self._crops[-2:], crop.pixels[_MOUTH_LINES, _MOUTH_COLUMNS].astype(np.float32)]
        if len(self._crops) == 3:
            before, here, after = self._crops
            self._differences.append(float(np.abs(here - (before + after) / 2).mean()))


class _Both:
    """Two observers of one pass."""

    def __init__(self, first: MouthObserver, second: _Watcher) -> None:
        self._observers = (first, second)

    def observe(self, frame: SourceFrame, face: TrackedFace) -> None:
        """Show the frame to both."""
        for observer in self._observers:
            observer.observe(frame, face)

    def findings(self) -> dict[str, NDArray[np.generic]]:
        """Those of the first."""
        return self._observers[0].findings()


def made_edits(times_s: NDArray[np.float64]) -> NDArray[np.float32]:
    """(M, len(Curve)) an opening, a width and closures at `times_s` (M,)."""
    edits = np.zeros((len(times_s), len(Curve)), np.float32)
    opening = 0.45 - 0.35 * np.cos(2 * np.pi * 2.3 * times_s) + 0.20 * np.sin(2 * np.pi * 0.9 * times_s)
    edits[:, Curve.WIDTH] = 0.9 * np.sin(2 * np.pi * 1.4 * times_s + 1.0)
    off_s = np.abs((times_s % _CLOSURE_EVERY_S) - _CLOSURE_EVERY_S / 2) - _CLOSURE_S / 2
    edits[:, Curve.CLOSURE] = (1.0 - off_s / _CLOSING_S).clip(0.0, 1.0)
    edits[:, Curve.JAW] = opening.clip(0.0, 1.0) * (1.0 - edits[:, Curve.CLOSURE])
    return edits


def measure(video: Path, tracker: FaceTracker, until_s: Fraction | None = None) -> MouthFigures:
    """Paint `video`, or its first `until_s`, with made curves and measure the result."""
    clock, observer, watched = StageClock(), MouthObserver(), _Watcher()
    source = tracker.track(decode_frames(video, clock, until_s), clock, _Both(observer, watched))
    painter = VisemePainting().painter(source, observer.findings())
    picture = lip_picture(observer.findings())
    look = ClosedLook(picture) if picture.is_closed else None
    painted = _Watcher(look)
    edits = made_edits(source.frame_pts.astype(np.float64) * float(source.time_base))
    track = tracker.track(_painted(video, source, painter, edits, until_s), clock, painted)
    kept = [k for k in painted.indexes if painter.region(k) is not None]
    closed = [k for k in kept if edits[k, Curve.CLOSURE] == 1.0]
    seams = dict(zip(painted.indexes, painted.seams, strict=True))
    own = [(k, seam) for k, seam in zip(watched.indexes, watched.seams, strict=True) if seam.is_closed]
    shadow = float(np.percentile([seam.dark for _, seam in own], 95)) if own else 0.0
    most_dark = max(MOST_DARK, shadow + MOST_GAP)
    met = [seams[k].teeth <= MOST_GAP and seams[k].dark <= most_dark for k in closed]
    alike = [seams[k].likeness > LEAST_LIKENESS for k in closed] if look is not None else [float("nan")]
    openings, widths = _openings(track), _widths(track)
    return MouthFigures(
        frames=len(kept),
        opening=float(np.corrcoef(openings[kept], edits[kept, Curve.JAW])[0, 1]),
        width=float(np.corrcoef(widths[kept], edits[kept, Curve.WIDTH])[0, 1]),
        width_sd=float(widths[kept].std()),
        source_width_sd=float(_widths(source)[kept].std()),
        met=float(np.mean(met)),
        alike=float(np.mean(alike)),
        met_by_mesh=float(np.mean(openings[closed] <= MOST_GAP)),
        source_met_by_mesh=float(np.mean([_openings(source)[k] <= MOST_GAP for k, _ in own])) if own else float("nan"),
        flicker=painted.flicker,
        source_flicker=watched.flicker,
    )


def _painted(
    video: Path, track: FaceTrack, painter: Painter, edits: NDArray[np.float32], until_s: Fraction | None
) -> Iterator[SourceFrame]:
    blender = FeatherBlender()
    for frame in decode_frames(video, StageClock(), until_s):
        wanted = painter.region(frame.index) if track.has_face[frame.index] else None
        if wanted is not None:
            box = wanted.clipped(frame.picture.width, frame.picture.height)
            region = read_region(frame.picture, box)
            painted = painter.paint(region, box, frame.index, edits[frame.index])
            frame.picture.make_writable()
            write_region(frame.picture, box, region, blender.blend(region, painted), painted.mask)
        yield frame


def _openings(track: FaceTrack) -> NDArray[np.float64]:
    """(N,) distance of the inner lips over the width of the mouth."""
    return _distances(track, _INNER_MIDDLES) / _distances(track, _CORNERS)


def _widths(track: FaceTrack) -> NDArray[np.float64]:
    """(N,) width of the mouth over the distance of the eyes' outer corners."""
    return _distances(track, _CORNERS) / _distances(track, _EYES)


def _distances(track: FaceTrack, pair: NDArray[np.intp]) -> NDArray[np.float64]:
    across = track.landmarks[:, pair[0]].astype(np.float64) - track.landmarks[:, pair[1]]
    lengths: NDArray[np.float64] = np.linalg.norm(across, axis=1)
    return lengths


def _print_row(name: str, figures: MouthFigures) -> None:
    rates = (figures.opening, figures.width)
    spreads = (figures.width_sd, figures.source_width_sd)
    shares = (figures.met, figures.alike, figures.met_by_mesh, figures.source_met_by_mesh)
    flickers = (figures.flicker, figures.source_flicker)
    texts = [f"{rate:.3f}" for rate in rates] + [f"{spread:.3f}" for spread in spreads]
    texts += [f"{share:.2f}" for share in shares] + [f"{flicker:.2f}" for flicker in flickers]
    print(_ROW.format(name, figures.frames, *texts), flush=True)


def main() -> int:
    """Read the command line, run, print the table."""
    parser = argparse.ArgumentParser(description="Measure painted mouths against their curves.")
    parser.add_argument("clips", nargs="*", type=Path, help="videos; default: the clips for tests")
    parser.add_argument("--seconds", type=Fraction, default=None, help="of each clip; default: all")
    options = parser.parse_args()
    clips = options.clips or [shared_files.CLIPS / name for name in CLIPS]
    if not clips[0].is_file():
        print(f"mouths: skipped, {clips[0]} is absent; see tests/README.md")
        return 0
    cv2.setNumThreads(1)
    tracker = load_tracking(JobOptions(), ModelStore(Workspace.default().models))
    heads = ("frames", "opening", "width", "sd", "own sd", "met", "alike", "by mesh", "own mesh", "flicker", "own")
    print(_ROW.format("clip", *heads))
    for clip in clips:
        _print_row(clip.name, measure(clip, tracker, options.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
