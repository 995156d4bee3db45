"""Measures the distance of the lips in each frame of a video, and how well it fits the spoken phones.

The landmarker (PFLD, 68 points) is not the product's own, and not part of the product: it serves only for this
measurement. The product's face track gives it the position of the face.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray
from phones import Phone, PhoneRecogniser

from lipsync_core.audio.load import SpeechReader
from lipsync_core.clock import StageClock
from lipsync_core.face.landmarks import OUTER_EYE_CORNERS, rows
from lipsync_core.face.track import FaceTrack
from lipsync_core.face.tracker import FaceTracker
from lipsync_core.media.decode import decode_frames

OPEN_VOWELS = frozenset({"AA", "AE", "AH", "AO", "AY", "AW"})
CLOSED = frozenset({"P", "B", "M", "SIL"})
OPEN, SHUT, NEITHER = 1, 0, -1

_CROP_PX = 112
_CROP_SCALE = 1.1  # of the face's larger side
# Points of the 68-point scheme (iBUG 300-W): opposite points of the inner lips, outer corners.
_INNER_LIPS = ((61, 67), (62, 66), (63, 65))
_CORNERS = (48, 54)


@dataclass(frozen=True, slots=True, eq=False)
class LipApertures:
    """The opening of the mouth in each frame of a video."""

    middles_s: NDArray[np.float64]  # (N,) middles of the frames, the first frame starts at 0
    values: NDArray[np.float64]  # (N,) distance of the inner lips / width of the mouth; NaN without a face

    def __post_init__(self) -> None:
        if self.middles_s.ndim != 1 or self.middles_s.shape != self.values.shape:
            raise ValueError(f"{self.values.shape} apertures at {self.middles_s.shape} times")


class Landmarker:
    """The 68-point network."""

    def __init__(self, model: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def points(self, face: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(68, 2) in 0..1 of `face`, an upright crop, (112, 112, 3) BGR."""
        batch = (face.astype(np.float32) / 255).transpose(2, 0, 1)[np.newaxis]  # (1, 3, 112, 112)
        (points,) = self._session.run(None, {self._input: batch})  # (1, 136)
        return np.asarray(points, np.float32).reshape(-1, 2)

    def aperture(self, face: NDArray[np.uint8]) -> float:
        """Mean distance of the inner lips over the width of the mouth."""
        points = self.points(face)
        gaps = [float(np.linalg.norm(points[upper] - points[lower])) for upper, lower in _INNER_LIPS]
        return float(np.mean(gaps)) / float(np.linalg.norm(points[_CORNERS[0]] - points[_CORNERS[1]]))


def lip_apertures(video: Path, tracker: FaceTracker, landmarker: Landmarker) -> LipApertures:
    """Measure every frame of `video`."""
    clock = StageClock()
    track = tracker.track(decode_frames(video, clock), clock)
    middles_s, values = [], []
    for frame in decode_frames(video, clock):
        middles_s.append(float((frame.pts + Fraction(frame.duration, 2)) * frame.time_base))
        if not track.has_face[frame.index]:
            values.append(np.nan)
            continue
        picture = np.asarray(frame.picture.to_ndarray(format="bgr24"), np.uint8)
        values.append(landmarker.aperture(_upright_face(picture, track, frame.index)))
    return LipApertures(np.array(middles_s), np.array(values))


def heard_phones(audio: Path) -> tuple[Phone, ...]:
    """The phones of any file with sound, as the product recognises them."""
    return tuple(PhoneRecogniser().recognise(SpeechReader(audio, StageClock())))


def frame_labels(phones: Iterable[Phone], times_s: NDArray[np.float64]) -> NDArray[np.int8]:
    """(N,) OPEN in an open vowel, SHUT in P, B, M or silence, else NEITHER."""
    labels = np.full(len(times_s), NEITHER, np.int8)
    for phone in phones:
        during = (times_s >= phone.start_s) & (times_s < phone.end_s)
        if phone.label in OPEN_VOWELS:
            labels[during] = OPEN
        elif phone.label in CLOSED:
            labels[during] = SHUT
    return labels


def separation(apertures: LipApertures, phones: Iterable[Phone], shift_s: float = 0.0) -> float:
    """The area under the ROC curve for telling open vowels from closures and silence by the aperture.

    1 is certain, 0.5 is chance. `shift_s` delays the sound against the picture. NaN with fewer than three frames of
    either kind.
    """
    labels = frame_labels(phones, apertures.middles_s - shift_s)
    is_measured = np.isfinite(apertures.values)
    opened = apertures.values[is_measured & (labels == OPEN)]
    shut = apertures.values[is_measured & (labels == SHUT)]
    if min(len(opened), len(shut)) < 3:
        return float("nan")
    wider = (opened[:, np.newaxis] > shut).mean()
    equal = (opened[:, np.newaxis] == shut).mean()
    return float(wider + equal / 2)


def best_lag_s(apertures: LipApertures, intended: NDArray[np.float64], most_s: float = 0.4) -> float:
    """The delay of the lips: the shift at which they correlate best with `intended`, (N,), one value for each frame."""
    is_measured = np.isfinite(apertures.values)
    times_s, values = apertures.middles_s[is_measured], apertures.values[is_measured]
    frame_s = float(np.median(np.diff(times_s)))
    lags = np.arange(-round(most_s / frame_s), round(most_s / frame_s) + 1)
    fits = [
        np.corrcoef(values, np.interp(times_s - lag * frame_s, apertures.middles_s, intended))[0, 1] for lag in lags
    ]
    return float(lags[int(np.argmax(fits))] * frame_s)


def _upright_face(picture: NDArray[np.uint8], track: FaceTrack, index: int) -> NDArray[np.uint8]:
    """(112, 112, 3): the face, turned upright, as in the network's training."""
    x0, y0, x1, y1 = track.boxes[index].tolist()
    left, right = track.landmarks[index][rows(OUTER_EYE_CORNERS)][:, :2].astype(np.float64)
    roll = np.arctan2(right[1] - left[1], right[0] - left[0])
    side_px = max(x1 - x0, y1 - y0) * _CROP_SCALE
    finer = max(1, int(side_px // _CROP_PX))  # the crop has about the face's own size, then shrinks by area
    size = _CROP_PX * finer
    scale = side_px / size
    turn = scale * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    origin = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) - turn @ np.full(2, (size - 1) / 2)
    matrix = np.column_stack([turn, origin])
    crop = cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(cv2.resize(crop, (_CROP_PX, _CROP_PX), interpolation=cv2.INTER_AREA), np.uint8)
