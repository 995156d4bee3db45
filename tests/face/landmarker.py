"""A landmarker that the product does not use, to check the tracker against (68 points, PFLD)."""

from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from lipsync_core.face.landmarks import OUTER_EYE_CORNERS, rows
from lipsync_core.face.track import FaceTrack

_SIZE_PX = 112
_CROP_SCALE = 1.1
_MOUTH_CORNERS = (48, 54)  # of the 68 points


class IndependentLandmarker:
    """Runs the network; it takes only the face's position from a face track."""

    def __init__(self, model: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def mouth_corners(self, picture: np.ndarray, track: FaceTrack, index: int) -> np.ndarray:
        """(2, 2) x y of the corners in `picture` ((h, w, 3) RGB), the left one of an upright face first."""
        box = track.boxes[index]
        left_eye, right_eye = track.landmarks[index, rows(OUTER_EYE_CORNERS), :2]
        roll = np.arctan2(right_eye[1] - left_eye[1], right_eye[0] - left_eye[0])
        step = (box[2:] - box[:2]).max() * _CROP_SCALE / _SIZE_PX
        turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]) * step
        corner = (box[:2] + box[2:]) / 2 - turn @ np.full(2, _SIZE_PX / 2)
        to_picture = np.concatenate([turn, corner[:, np.newaxis]], axis=1)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(picture[:, :, ::-1], to_picture, (_SIZE_PX, _SIZE_PX), flags=flags)
        outputs = self._session.run(None, {self._input: crop.astype(np.float32).transpose(2, 0, 1)[np.newaxis] / 255})
        points = next(each for each in reversed(outputs) if each.size == 136).reshape(68, 2) * _SIZE_PX
        return points[list(_MOUTH_CORNERS)] @ turn.T + corner
