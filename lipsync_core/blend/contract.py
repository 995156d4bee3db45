"""The contract of a blender: how painted pixels are joined to the source."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lipsync_core.generators.contract import Painted


class Blender(Protocol):
    """Joins a painted region to the source region."""

    @property
    def name(self) -> str:
        """The name by which options choose it."""

    def blend(self, region: NDArray[np.uint8], painted: Painted) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB: the composite. Equal to `region` wherever the mask is 0."""
