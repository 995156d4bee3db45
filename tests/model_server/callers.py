"""Callers of a model server: each is a run of its own, with its own connection, clip and expected mouths."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import numpy as np
from numpy.typing import NDArray

from lipsync_core.generators.wav2lip_onnx import PATCH_SHAPE
from lipsync_core.serving.client import ServedModel
from lipsync_core.serving.patience import Patience
from lipsync_core.serving_counts import ServingCounts
from tests.model_server.backend.timed import mouths

MODEL = "wav2lip"
#: Short pauses: a test waits for a restarted server and not for a caller that sleeps.
PATIENCE = Patience(deadline_s=60, down_s=90, full_s=90, first_pause_s=0.02, longest_pause_s=0.2)


@dataclass(frozen=True, slots=True)
class Clip:
    """The inputs of one caller."""

    mel: NDArray[np.float32]  # (B, 80, 16)
    crops: NDArray[np.uint8]  # (B, 96, 96, 3) RGB

    @property
    def feeds(self) -> dict[str, NDArray[np.float32] | NDArray[np.uint8]]:
        """The inputs by name."""
        return {"crops": self.crops, "mel": self.mel}

    @property
    def mouths(self) -> NDArray[np.uint8]:
        """(B, 53, 96, 3) uint8: what the stand-in makes of them, computed here."""
        return np.asarray(mouths(self.mel, self.crops, PATCH_SHAPE[0]), np.uint8)


@dataclass(frozen=True, slots=True)
class Told:
    """What one caller got."""

    clip: Clip
    answers: tuple[NDArray[np.uint8], ...]  # one for each time that it asked
    counts: ServingCounts

    @property
    def is_right(self) -> bool:
        """Whether each answer is, bit for bit, the one for the caller's own clip."""
        expected = self.clip.mouths
        return bool(self.answers) and all(np.array_equal(each, expected) for each in self.answers)


def clip_of(seed: int, frames: int) -> Clip:
    """A clip that no other seed has."""
    draw = np.random.default_rng(seed)
    crops = draw.integers(0, 256, (frames, 96, 96, 3), np.uint8)
    return Clip(draw.uniform(-4.0, 4.0, (frames, 80, 16)).astype(np.float32), crops)


def ask(url: str, clip: Clip, times: int = 1, patience: Patience = PATIENCE, enough: Event | None = None) -> Told:
    """Open the model, and ask for the clip's mouths several times, or until it is `enough`."""
    model = ServedModel(url, MODEL, patience=patience)
    answers: list[NDArray[np.uint8]] = []
    try:
        while len(answers) < times or (enough is not None and not enough.is_set()):
            answers += model.run(clip.feeds, outputs=("patches",))
        return Told(clip, tuple(answers), model.counts)
    finally:
        model.close()


class Callers:
    """Callers that all ask at once, from threads: each several times, or until `told` if they are busy."""

    def __init__(self, url: str, count: int, frames: int, times: int = 1, is_busy: bool = False) -> None:
        self._pool = ThreadPoolExecutor(count)
        self._enough = Event()
        if not is_busy:
            self._enough.set()
        clips = [clip_of(seed, frames) for seed in range(count)]
        self._futures: list[Future[Told]] = [
            self._pool.submit(ask, url, clip, times, PATIENCE, self._enough) for clip in clips
        ]

    def told(self) -> list[Told]:
        """What they got, when all have it; the error of the first that failed."""
        self._enough.set()
        with self._pool:
            return [each.result() for each in self._futures]
