"""The distances between the pictures and the sound of windows, at every shift of the one against the other."""

import numpy as np
from numpy.typing import NDArray

from lipsync_core.score_figures import SyncNetFigures
from lipsync_core.syncnet.network import FRAME_HZ

#: The largest shift that is tried, in pictures: `vshift` of the public implementation's run_syncnet.py.
REACH = 15
_SHIFTS = 2 * REACH + 1
_APART = np.float32(1e-6)  # added to each difference, as torch's pairwise_distance does
_PICTURE_MS = 1000 // FRAME_HZ


class ShiftedDistances:
    """Sums up, over stretches of windows, the distance of each window's pictures to the sounds around it.

    Only the embeddings of `_SHIFTS` windows are held, however long a stretch is. As in the public implementation
    (`calc_pdist` of its SyncNetInstance.py), zeros stand for the sound before a stretch and after it.
    """

    def __init__(self) -> None:
        self._sums = np.zeros(_SHIFTS)  # sound earlier than the pictures .. later
        self._windows = 0
        self._sounds: NDArray[np.float32] | None = None  # (n, E) from `REACH` before the first of `_lips`
        self._lips: NDArray[np.float32] | None = None  # (m, E) those whose sounds are not all there yet

    def add(self, embeddings: NDArray[np.float32]) -> None:
        """Take in the next windows of a stretch: (B, 2, E), of each its sound and its pictures."""
        sounds, lips = embeddings[:, 0], embeddings[:, 1]
        before = np.zeros((REACH, sounds.shape[1]), np.float32) if self._sounds is None else self._sounds
        self._sounds = np.concatenate([before, sounds])
        self._lips = lips if self._lips is None else np.concatenate([self._lips, lips])
        self._measure(self._sounds, self._lips)

    def end_stretch(self) -> None:
        """The next windows, if any, belong to other pictures."""
        if self._sounds is not None and self._lips is not None:
            after = np.zeros((REACH, self._sounds.shape[1]), np.float32)
            self._measure(np.concatenate([self._sounds, after]), self._lips)
        self._sounds = self._lips = None

    def figures(self) -> SyncNetFigures | None:
        """The figures of all windows of the stretches that have ended; None where there is none."""
        if not self._windows:
            return None
        means = self._sums / self._windows
        best = int(means.argmin())
        least = float(means[best])
        return SyncNetFigures(
            lse_c=float(np.median(means)) - least,
            lse_d=least,
            offset_ms=(REACH - best) * _PICTURE_MS,
            windows=self._windows,
        )

    def _measure(self, sounds: NDArray[np.float32], lips: NDArray[np.float32]) -> None:
        """Add up the pictures of `lips` all of whose sounds are there, and let go of them."""
        count = len(sounds) - _SHIFTS + 1
        if count <= 0:
            return
        for shift in range(_SHIFTS):
            apart = lips[:count] - sounds[shift : shift + count] + _APART  # (count, E)
            self._sums[shift] += np.sqrt(np.square(apart).sum(axis=1, dtype=np.float64)).sum()
        self._windows += count
        self._sounds, self._lips = sounds[count:], lips[count:]
