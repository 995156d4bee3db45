"""The posture of the mouth for each phone."""

from types import MappingProxyType
from typing import NamedTuple


class Viseme(NamedTuple):
    """The posture that a phone aims at."""

    jaw: float = 0.0  # 0 shut .. 1 wide open
    width: float = 0.0  # -1 rounded .. 0 neutral .. +1 spread
    closure: float = 0.0  # 0 lips free .. 1 lips pressed together
    tuck: float = 0.0  # 0 .. 1 lower lip under the upper teeth
    tongue: float = 0.0  # 0 .. 1 tip of the tongue at or between the teeth


REST = Viseme()

#: By ARPAbet label; any other label (SIL, noise) means a mouth at rest. Jaw and width come from the table
#: of the study behind this generator. Closure, tuck and tongue follow from the articulation of the sound:
#: bilabial, labiodental, (inter)dental and lateral.
VISEMES = MappingProxyType(
    {
        "AA": Viseme(1.0, 0.0),
        "AE": Viseme(0.9, 0.3),
        "AH": Viseme(0.65, 0.0),
        "AO": Viseme(0.85, -0.5),
        "AW": Viseme(0.85, -0.2),
        "AY": Viseme(0.9, 0.2),
        "EH": Viseme(0.65, 0.3),
        "ER": Viseme(0.4, -0.3),
        "EY": Viseme(0.55, 0.5),
        "IH": Viseme(0.4, 0.3),
        "IY": Viseme(0.3, 0.6),
        "OW": Viseme(0.6, -0.8),
        "OY": Viseme(0.65, -0.6),
        "UH": Viseme(0.4, -0.6),
        "UW": Viseme(0.28, -1.0),
        "P": Viseme(closure=1.0),
        "B": Viseme(closure=1.0),
        "M": Viseme(closure=1.0),
        "F": Viseme(0.1, 0.1, closure=0.6, tuck=1.0),
        "V": Viseme(0.1, 0.1, closure=0.6, tuck=1.0),
        "TH": Viseme(0.25, 0.1, tongue=1.0),
        "DH": Viseme(0.25, 0.1, tongue=1.0),
        "T": Viseme(0.22, 0.2),
        "D": Viseme(0.22, 0.2),
        "N": Viseme(0.22, 0.2),
        "L": Viseme(0.3, 0.1, tongue=0.8),
        "S": Viseme(0.15, 0.3),
        "Z": Viseme(0.15, 0.3),
        "SH": Viseme(0.2, -0.5),
        "ZH": Viseme(0.2, -0.5),
        "CH": Viseme(0.2, -0.5),
        "JH": Viseme(0.2, -0.5),
        "K": Viseme(0.28, 0.0),
        "G": Viseme(0.28, 0.0),
        "NG": Viseme(0.25, 0.1),
        "HH": Viseme(0.4, 0.0),
        "R": Viseme(0.25, -0.4),
        "W": Viseme(0.12, -1.0),
        "Y": Viseme(0.22, 0.4),
    }
)
