"""The pictures of a job, as the preflight sees them: the state of the followed face in each frame, and of the video."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.face.landmarks import KEPT, LOWER_OUTER_LIP, UPPER_OUTER_LIP
from lipsync_core.face.mesh import FaceMesh, crop_of_mesh
from lipsync_core.face.survey import FaceSurvey, SeenFaces, size_px
from lipsync_core.generators.viseme.geometry import sideways_turns
from lipsync_core.generators.viseme.painter import MAX_TURN
from lipsync_core.media.planes import thumbnail
from lipsync_core.media.sampling import READ_WHOLE_S, sample_frames
from lipsync_core.media.source_frame import SourceFrame
from lipsync_core.preflight.sheet import ContactSheet, Tile
from lipsync_core.source_video import SourceVideo

#: Below it the mesh loses the lips: their gap correlates by .96 with that of the full picture at 64 px on four people
#: who speak, as at 128 px, and by .88 at 32 px.
MIN_FACE_PX = 64
#: Of the face's size: the mesh draws a cut chin together. A close-up whose chin just touches the edge reaches .047, one
#: of which the edge lies halfway between lip and chin has .05 to .11.
_MAX_CHIN_OUT = 0.05
_MIN_FACE_LUMA = 20.0  # of 255: at 25 the gap of the lips is seen as by day, at 15 it correlates by .88
_MIN_BRIGHTEST_LUMA = 40.0  # of a picture without a face
_RIVAL = 0.5  # of the followed face's size: a smaller one is in the background
_TILE_PX = 320
_CHIN = 152
_LIPS = (*UPPER_OUTER_LIP, *LOWER_OUTER_LIP)
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # ITU-R BT.709


class FaceState(StrEnum):
    """Whether the followed face of a frame can be synced well; the first obstacle counts.

    A job leaves frames without a face, and with one that is turned or covered, as they are. Faces that are cut off or
    small are synced, badly.
    """

    USABLE = "usable"
    MISSING = "missing"
    TURNED = "turned"
    CUT_OFF = "cut_off"
    COVERED = "covered"
    SMALL = "small"


@dataclass(frozen=True, slots=True)
class SampledFrame:
    """What one sampled frame shows."""

    time_s: Fraction  # from the first frame
    state: FaceState
    faces: int
    rivals: int  # other faces that are nearly as large
    is_dark: bool
    size_px: float | None = None  # of the followed face, its longer side
    number: int | None = None  # of it, from the left
    roll_deg: float | None = None  # clockwise as displayed, -180..180; 0 upright


@dataclass(frozen=True, slots=True)
class PictureAccount:
    """What the preflight saw."""

    width_px: int  # as displayed
    height_px: int
    duration_s: Fraction | None  # as the file states it
    seen_until_s: Fraction  # the last sample's end
    is_whole: bool  # the samples were to reach the end of the video
    is_interlaced: bool
    frames: tuple[SampledFrame, ...]

    def share(self, state: FaceState) -> float:
        """The share of the samples in that state, 0..1."""
        return self.count(state) / max(1, len(self.frames))

    def count(self, state: FaceState) -> int:
        """The samples in that state."""
        return Counter(frame.state for frame in self.frames)[state]

    @property
    def followed(self) -> tuple[SampledFrame, ...]:
        """The samples in which the face is seen."""
        return tuple(frame for frame in self.frames if frame.number is not None)

    @property
    def most_faces(self) -> int:
        """The largest number of faces in one sample."""
        return max((frame.faces for frame in self.frames), default=0)

    @property
    def face_number(self) -> int | None:
        """The number, from the left, of the followed face where it is first seen; None if it never is."""
        return self.followed[0].number if self.followed else None

    @property
    def face_size_px(self) -> float | None:
        """The median size of the followed face."""
        sizes = [frame.size_px for frame in self.followed if frame.size_px is not None]
        return float(np.median(sizes)) if sizes else None


def look(
    video: SourceVideo, needed_s: Fraction | None, survey: FaceSurvey, sheet: ContactSheet | None, clock: StageClock
) -> PictureAccount:
    """Look at samples of the first `needed_s` of `video` (None: of all of it), and put them on the `sheet`.

    Raises:
        InputError: as `media.sampling.sample_frames`.
    """
    info = video.info
    is_whole = needed_s is None or info.duration_s is None or needed_s >= info.duration_s
    length_s = info.duration_s if is_whole else needed_s
    frames, until_s = [], Fraction(0)
    for frame in sample_frames(video.path, length_s, clock, video.reading_by_cpu):
        with clock.stage("look", items=1):
            seen = survey.look(frame)
            pixels, scale = thumbnail(frame.picture, _TILE_PX)
            sampled = _sampled(frame, seen, _luma(pixels), scale)
            frames.append(sampled)
            until_s = frame.start_s + frame.duration * frame.time_base
            if sheet is not None:
                sheet.add(Tile(sampled.time_s, sampled.state.replace("_", " "), pixels, scale, seen))
    if length_s is not None and length_s > READ_WHOLE_S and abs(until_s - READ_WHOLE_S) < 1:
        is_whole = False  # it cannot seek, and was read until there
    sides = (video.picture.width_px, video.picture.height_px)
    width_px, height_px = sides[::-1] if round(info.rotation_deg / 90) % 2 else sides
    return PictureAccount(width_px, height_px, info.duration_s, until_s, is_whole, video.is_woven, tuple(frames))


def _sampled(frame: SourceFrame, seen: SeenFaces, luma: NDArray[np.float32], scale: float) -> SampledFrame:
    mesh = seen.chosen_mesh
    if mesh is None:
        is_dark = float(np.percentile(luma, 99)) < _MIN_BRIGHTEST_LUMA
        return SampledFrame(frame.start_s, FaceState.MISSING, len(seen.meshes), 0, is_dark)
    size = size_px(mesh)
    rivals = sum(each is not mesh and size_px(each) >= _RIVAL * size for each in seen.meshes)
    return SampledFrame(
        time_s=frame.start_s,
        state=_state(mesh, frame),
        faces=len(seen.meshes),
        rivals=rivals,
        is_dark=_face_luma(luma, mesh, scale) < _MIN_FACE_LUMA,
        size_px=size,
        number=seen.chosen,
        roll_deg=(np.degrees(crop_of_mesh(mesh).roll_rad) - 90.0 * seen.quarters + 180.0) % 360.0 - 180.0,
    )


def _state(mesh: FaceMesh, frame: SourceFrame) -> FaceState:
    return next(_obstacles(mesh, frame), FaceState.USABLE)


def _obstacles(mesh: FaceMesh, frame: SourceFrame) -> Iterator[FaceState]:
    if sideways_turns(mesh.points[np.newaxis, list(KEPT)])[0] > MAX_TURN:
        yield FaceState.TURNED
    if _is_cut_off(mesh, frame.picture.width, frame.picture.height):
        yield FaceState.CUT_OFF  # what is black outside of the picture looks like a mask
    if mesh.is_covered:
        yield FaceState.COVERED
    if size_px(mesh) < MIN_FACE_PX:
        yield FaceState.SMALL


def _is_cut_off(mesh: FaceMesh, width: int, height: int) -> bool:
    """Whether a part of the lips lies outside of the picture, or much of the chin."""
    points = mesh.points[[*_LIPS, _CHIN], :2]
    outside = np.maximum(-points, points - (width - 1, height - 1)).max(axis=1)  # (L + 1,) pixels beyond an edge
    return bool(outside[:-1].max() > 0 or outside[-1] > _MAX_CHIN_OUT * size_px(mesh))


def _luma(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(h, w) 0..255 of (h, w, 3) RGB."""
    luma: NDArray[np.float32] = pixels.astype(np.float32) @ _LUMA
    return luma


def _face_luma(luma: NDArray[np.float32], mesh: FaceMesh, scale: float) -> float:
    """The mean over the face's box; `luma` is that of the picture, reduced by `scale`."""
    x0, y0, x1, y1 = np.maximum(0, np.rint(mesh.box * scale).astype(int))
    inside = luma[y0 : y1 + 1, x0 : x1 + 1]
    return float(inside.mean()) if inside.size else float(luma.mean())
