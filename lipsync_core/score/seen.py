"""All that was measured in the frames of a movie, or of a segment of it."""

from collections.abc import Iterable
from dataclasses import dataclass

from lipsync_core.score.motion import SeenMouths


@dataclass(frozen=True, slots=True)
class SeenRim:
    """The painted place of one frame."""

    number: int  # of the frame in the output
    seam: float  # see `seam.seam_of`
    look: tuple[int, ...]  # see `covering.look_of`


@dataclass(frozen=True, slots=True)
class SeenPair:
    """The painted place in two frames that follow each other."""

    number: int  # of the second one in the output
    flicker: float  # see `flicker.PairChange`
    held: float


@dataclass(frozen=True, slots=True)
class SeenPictures:
    """The painted places that were looked at, by ascending numbers."""

    rims: tuple[SeenRim, ...] = ()
    pairs: tuple[SeenPair, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Mouths and pictures."""

    mouths: SeenMouths
    pictures: SeenPictures

    @classmethod
    def joined(cls, parts: "Iterable[Seen]") -> "Seen":
        """Those of parts of a movie, in order."""
        listed = list(parts)
        rims = tuple(rim for part in listed for rim in part.pictures.rims)
        pairs = tuple(pair for part in listed for pair in part.pictures.pairs)
        return cls(SeenMouths.joined(part.mouths for part in listed), SeenPictures(rims, pairs))
