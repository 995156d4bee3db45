"""Fits the mesh of a face that was just found, the right way up, and tells whether it is still that face.

The track pass and the preflight judge faces by these functions alike.
"""

from dataclasses import replace

import av
import numpy as np

from lipsync_core.face.identity import is_near
from lipsync_core.face.mesh import FaceCrop, FaceMesh, MeshFitter, crop_of_mesh

#: A mesh with a lower presence is no face.
MIN_PRESENCE = 0.5
_SETTLED_RAD = 0.05
_OTHER_WAYS_UP_RAD = (np.pi, np.pi / 2, -np.pi / 2)
#: Meshes that were the right way up had logits of 20 to 60, profiles 5; the others' had 8 at most.
_DOUBTFUL_LOGIT = 12.0
_TURNED_RAD = np.pi / 6  # a mesh that has settled less far from another stands the same way up
_MAX_FITS = 12  # enough for a face that lies on its side; an upright face needs one or two
#: A mesh that moves further than this share of its size from one frame to the next, or grows by more
#: than this factor, has probably slipped off the face.
_MAX_STEP = 0.5
_MAX_GROWTH = 1.5


def settled(fitter: MeshFitter, picture: av.VideoFrame, crop: FaceCrop) -> FaceMesh:
    """Fit the mesh again until the crop no longer turns: the detector misjudges the roll of a tilted head."""
    for _ in range(_MAX_FITS):
        mesh = fitter.fit(picture, crop)
        if mesh.presence < MIN_PRESENCE:
            break
        before, crop = crop.roll_rad, crop_of_mesh(mesh)
        if abs(_angle(crop.roll_rad - before)) < _SETTLED_RAD:
            break
    return fitter.fit(picture, crop) if mesh.presence >= MIN_PRESENCE else mesh


def right_way_up(fitter: MeshFitter, picture: av.VideoFrame, mesh: FaceMesh) -> FaceMesh:
    """`mesh`, or the one that fits better when the face is taken to lie on its side or to stand on its head.

    Detector and mesh also find such faces, now and then with the mouth on the forehead.
    """
    crop = crop_of_mesh(mesh)
    turns_rad = _OTHER_WAYS_UP_RAD if mesh.logit < _DOUBTFUL_LOGIT else _OTHER_WAYS_UP_RAD[:1]
    crops = (replace(crop, roll_rad=crop.roll_rad + turn_rad) for turn_rad in turns_rad)
    turned = max((fitter.fit(picture, each) for each in crops), key=lambda each: each.logit)
    if turned.logit <= mesh.logit:
        return mesh
    other = settled(fitter, picture, crop_of_mesh(turned))
    is_other_way_up = abs(_angle(crop_of_mesh(other).roll_rad - crop.roll_rad)) > _TURNED_RAD
    return other if is_other_way_up and other.logit > mesh.logit else mesh


def is_same_mesh(mesh: FaceMesh, before: FaceMesh) -> bool:
    """Whether `mesh`, fitted where a face was one frame before, is still on that face."""
    return mesh.presence >= MIN_PRESENCE and is_near(mesh.box, before.box, _MAX_STEP, _MAX_GROWTH)


def _angle(turn_rad: float) -> float:
    """The same turn as a number from -pi to pi."""
    return float(np.angle(np.exp(1j * turn_rad)))
