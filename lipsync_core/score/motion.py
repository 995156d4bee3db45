"""The movement of a mouth over time: as it was measured in pictures, and as a sound asks for it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import LOWER_INNER_LIP, MOUTH_CORNERS, OUTER_EYE_CORNERS, UPPER_INNER_LIP, rows
from lipsync_core.generators.contract import Conditions
from lipsync_core.generators.viseme.curves import Curve

#: A frame as most films show it: no offset is told more finely.
FRAME_S = 0.04
#: The largest offset that is looked for.
REACH_S = 0.5
GRID_HZ = 100

_MIDDLE = len(UPPER_INNER_LIP) // 2
_PICKED: list[int] = [
    *OUTER_EYE_CORNERS,
    *MOUTH_CORNERS,
    *UPPER_INNER_LIP[_MIDDLE - 1 : _MIDDLE + 2],
    *LOWER_INNER_LIP[_MIDDLE - 1 : _MIDDLE + 2],
]
_LEAST_PX = 1e-6


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Motion:
    """Opening and width of a mouth, in any units."""

    times_s: NDArray[np.float64]  # (N,) ascending
    openings: NDArray[np.float64]  # (N,)
    widths: NDArray[np.float64]  # (N,) all 0 where nothing is known of it

    def __post_init__(self) -> None:
        if not self.times_s.shape == self.openings.shape == self.widths.shape or self.times_s.ndim != 1:
            raise ValueError(f"times {self.times_s.shape}, openings {self.openings.shape}, widths {self.widths.shape}")

    def __len__(self) -> int:
        return len(self.times_s)

    def at(self, times_s: NDArray[np.float64]) -> "Motion":
        """The motion at these moments, interpolated."""
        openings = np.interp(times_s, self.times_s, self.openings)
        return Motion(times_s, openings, np.interp(times_s, self.times_s, self.widths))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SeenMouths:
    """The mouth of the measured frames of a movie; openings and widths are shares of the distance of the eyes."""

    numbers: NDArray[np.int64]  # (K,) of the frames in the output, ascending
    openings: NDArray[np.float64]  # (K,)
    widths: NDArray[np.float64]  # (K,)

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def joined(cls, parts: "Iterable[SeenMouths]") -> "SeenMouths":
        """Those of parts of a movie, in order."""
        rows = [np.zeros((3, 0)), *(np.stack([part.numbers, part.openings, part.widths]) for part in parts)]
        numbers, openings, widths = np.concatenate(rows, axis=1)
        return cls(numbers.astype(np.int64), openings, widths)

    @classmethod
    def of_rows(cls, rows: "Iterable[tuple[int, float, float]]") -> "SeenMouths":
        """Those of rows of number, opening and width."""
        numbers, openings, widths = np.array(list(rows), np.float64).reshape(-1, 3).T
        return cls(numbers.astype(np.int64), openings, widths)

    def rows(self) -> list[tuple[int, float, float]]:
        """Number, opening and width of each, in plain numbers."""
        return list(zip(self.numbers.tolist(), self.openings.tolist(), self.widths.tolist(), strict=True))

    def motion(self, times_s: NDArray[np.float64]) -> Motion:
        """The same over time; `times_s` (M,) are the middles of all frames of the movie."""
        return Motion(times_s[self.numbers], self.openings, self.widths)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WantedMouth:
    """What a sound asks of a mouth, moment by moment."""

    motion: Motion
    closures: NDArray[np.float64]  # (N,) 0 lips free .. 1 pressed together


def mouths_of(points: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Opening of the lips and width of the mouth, in distances of the outer eye corners: (...) each.

    `points` (..., 468, 2 or more) are those of face meshes; their depth is left out.
    """
    return _measured(points[..., _PICKED, :2].astype(np.float64))


def tracked_mouths(landmarks: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same from the (N, len(KEPT), 3) landmarks of a face track: (N,) each, NaN without a face."""
    return _measured(landmarks[:, rows(_PICKED), :2].astype(np.float64))


def wanted_mouth(curves: Conditions, start_s: float, end_s: float) -> WantedMouth:
    """What mouth `curves` (rows with columns of `Curve`) ask for from `start_s` to `end_s`, and `REACH_S` around it."""
    count = max(2, round((end_s - start_s + 2 * REACH_S) * GRID_HZ))
    times_s = start_s - REACH_S + np.arange(count) / GRID_HZ
    rows = curves.at(times_s).astype(np.float64)  # (N, len(Curve))
    return WantedMouth(Motion(times_s, rows[:, Curve.JAW], rows[:, Curve.WIDTH]), rows[:, Curve.CLOSURE])


def _measured(picked: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Opening and width from the (..., 10, 2) points of `_PICKED`."""
    eye_px = np.maximum(_distance(picked[..., 0, :], picked[..., 1, :]), _LEAST_PX)
    gaps_px = _distance(picked[..., 4:7, :], picked[..., 7:10, :])  # (..., 3)
    return gaps_px.mean(axis=-1) / eye_px, _distance(picked[..., 2, :], picked[..., 3, :]) / eye_px


def _distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(one - other, axis=-1), np.float64)
