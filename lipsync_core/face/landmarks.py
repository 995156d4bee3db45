"""The points of the 468-point face mesh that this product keeps, by name.

The numbering is that of the canonical face model of MediaPipe Face Mesh (Kartynnik et al. 2019,
"Real-time facial surface geometry from monocular video on mobile GPUs"). A face track keeps only
the points named here: a ten-minute clip then costs 20 MB of memory instead of 100.
Lip rows run left to right in the image of an upright face.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

UPPER_INNER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_OUTER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_OUTER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)

#: Points that speech hardly moves: eye corners, nose bridge and wings, side of the face.
STABLE = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 98, 327, 122, 351)
OUTER_EYE_CORNERS = (33, 263)
MOUTH_CORNERS = (61, 291)
NOSE_TIP = 4

NOSE_BASE = (2, 98, 327, 164, 49, 279, 129, 358)
CHEEKS = (50, 280, 205, 425, 206, 426, 36, 266)
CHIN_LINE = (152, 148, 377, 176, 400, 149, 378, 150, 379, 136, 365, 172, 397)
CHIN_PAD = (199, 200, 201, 421, 208, 428, 32, 262, 211, 431)
BELOW_LIP = (18, 83, 313, 182, 406, 204, 424, 202, 422, 57, 287, 43, 273, 106, 335)

#: The five points that detectors such as SCRFD report: eye centres, nose tip, mouth corners.
FIVE_POINTS = ("left eye", "right eye", "nose tip", "left mouth corner", "right mouth corner")

#: The points that a mesh track stores, ascending; row k of a track's landmarks is KEPT[k].
KEPT: tuple[int, ...] = tuple(
    sorted(
        {
            *UPPER_INNER_LIP,
            *LOWER_INNER_LIP,
            *UPPER_OUTER_LIP,
            *LOWER_OUTER_LIP,
            *STABLE,
            *NOSE_BASE,
            *CHEEKS,
            *CHIN_LINE,
            *CHIN_PAD,
            *BELOW_LIP,
        }
    )
)
_ROW_OF = {point: row for row, point in enumerate(KEPT)}


def rows(points: Sequence[int]) -> NDArray[np.intp]:
    """The rows of a mesh track's landmarks that hold the given mesh points."""
    return np.array([_ROW_OF[point] for point in points], np.intp)
