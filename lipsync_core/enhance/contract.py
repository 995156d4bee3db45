"""The contract of an enhancer, which restores the detail of a face after its mouth has been edited."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lipsync_core.execution import Provider


@dataclass(frozen=True, slots=True)
class EnhancerSpec:
    """The identity of an enhancer."""

    name: str
    version: str
    licence: str


class Enhancer(Protocol):
    """Restores faces; threads may share one enhancer."""

    @property
    def spec(self) -> EnhancerSpec:
        """Name, version, licence."""

    @property
    def provider(self) -> Provider:
        """The execution provider of its network."""

    def enhance(
        self, pixels: NDArray[np.uint8], landmarks: NDArray[np.float32], mask: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB: `pixels` (h, w, 3) with its face restored. Equal to `pixels` wherever the mask is 0.

        `landmarks` (5, 2) x y of the eye centres, the nose tip and the mouth corners, in pixels of `pixels`;
        `mask` (h, w) 0..1 is the weight of the restored pixels. `pixels` should hold the whole face and a little of its
        surroundings (`alignment.context_box`); the enhancer has to guess any missing part.

        Raises:
            ValueError: the shapes do not match, or the landmarks are no face.
        """
