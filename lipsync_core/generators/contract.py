"""The contract of a generator: audio and a tracked face in, edited mouth pixels out.

It comes in two halves, so that a service can cut it between pools. The inferring half hears the sound, may see crops of
the face, and makes one compact row per output frame; it may hold a network and run on a GPU. The painting half turns
rows into pixels beside the blender and needs no weights. A `ModelIdentity` tells the painting half which model made the
edits.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import WHOLE_SOUND, SoundPart
from lipsync_core.execution import Provider
from lipsync_core.face.track import FaceTrack
from lipsync_core.face.tracker import ClipObserver
from lipsync_core.media.planes import Box


@dataclass(frozen=True, slots=True)
class GeneratorSpec:
    """The name, version, licence and needs of a generator."""

    name: str
    version: str
    licence: str
    needs_mesh: bool  # a five-point track is not enough
    hears_at: Literal["start", "middle"]  # the moment of a frame's time on the screen for which it is heard
    crop_px: int | None = None  # side of the face crops that `infer` takes; None when it takes none
    batch_frames: int | None = None  # number of crops that it takes at a time; None when it takes none


class Conditions(Protocol):
    """The sound as a generator needs it, for any moment."""

    def at(self, times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """(M, ...) one row per output frame, for moments `times_s` (M,), ascending, as the spec's `hears_at` says.

        Moments are seconds of the whole sound, also where a part of it was heard.

        Where the spec asks for crops, rows do not depend on each other: it is called in parts.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """An edited region."""

    pixels: NDArray[np.uint8]  # (h, w, 3) RGB
    mask: NDArray[np.float32]  # (h, w) 0..1, 0 where the source stays untouched


class Cropper(Protocol):
    """Cuts the crops for `infer` out of the frames of one clip."""

    def region(self, frame_index: int) -> Box | None:
        """The painter's box of the same frame."""

    def crop(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(crop_px, crop_px, 3) RGB of `pixels` ((h, w, 3) RGB, the source's own in the box, inside the frame)."""


class Painter(Protocol):
    """Paints edits into the frames of one clip."""

    def region(self, frame_index: int) -> Box | None:
        """The box of source pixels that `paint` needs, or None where this face cannot be painted well.

        It may reach beyond the frame; the caller clips it.
        """

    def paint(self, region: NDArray[np.uint8], box: Box, frame_index: int, edit: NDArray[Any]) -> Painted:
        """Apply one edit to `region` ((h, w, 3) RGB, the source's pixels in `box`, which lies inside the frame)."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """The model that infers a clip's edits, in plain values that cross between processes as JSON."""

    name: str
    version: str
    licence: str
    needs_mesh: bool
    crop_px: int | None
    weights_sha256: str | None  # of the file that the weights came in; None where it has none
    reason: str  # why this model was chosen

    @classmethod
    def of(cls, spec: GeneratorSpec, weights_sha256: str | None, reason: str) -> "ModelIdentity":
        """The identity of the generator of `spec`."""
        return cls(spec.name, spec.version, spec.licence, spec.needs_mesh, spec.crop_px, weights_sha256, reason)

    @property
    def label(self) -> str:
        """Name and version, such as "wav2lip/1"."""
        return f"{self.name}/{self.version}"


class Watching(Protocol):
    """The part of a generator that the track pass needs."""

    @property
    def spec(self) -> GeneratorSpec:
        """Name, version, licence and needs."""

    def observer(self) -> ClipObserver | None:
        """A fresh observer for the track pass, or None when the face track alone is enough."""


class InferringHalf(Watching, Protocol):
    """Infers the movement of the mouth from the sound."""

    @property
    def provider(self) -> Provider | None:
        """The execution provider of its network; None where it has none."""

    def part_to_hear(self, start_s: Fraction, end_s: Fraction | None) -> SoundPart:
        """The part of the sound that has to be heard for conditions within [start_s, end_s) of it.

        They are those of the whole sound. The part reaches beyond by a bounded time, however long the sound is.
        """

    def listen(self, speech: Iterable[NDArray[np.int16]], part: SoundPart = WHOLE_SOUND) -> Conditions:
        """Hear `part` of the sound: blocks of 16 kHz mono int16, consumed once, memory bounded."""

    def infer(self, crops: Iterator[NDArray[np.uint8]] | None, conditions: NDArray[np.float32]) -> NDArray[Any]:
        """(M, ...) edits, one row per output frame.

        `crops` yields (crop_px, crop_px, 3) RGB, one per output frame, when the spec asks for them. Rows do not
        depend on each other then: it is called in parts, with frames left out that are not to be edited.
        """

    def cropper(self, track: FaceTrack) -> Cropper | None:
        """The cropper for the clip of `track`; None when the spec asks for no crops."""


class PaintingHalf(Protocol):
    """Paints the edits of the inferring half of the same name and version."""

    def painter(self, track: FaceTrack, findings: dict[str, NDArray[np.generic]]) -> Painter:
        """A painter for the clip of `track`, with what the generator's observer found in it."""
