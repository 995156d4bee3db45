"""The faces that InsightFace itself detects in ten frames, kept in a file beside this one.

Run it where the PyPI package `insightface` is installed to record the file anew:
    python -m tests.face.insightface_detect
"""

import json
import sys
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tests.shared_files import CLIPS, SCRFD

RECORD = Path(__file__).with_suffix(".json")
INPUTS_PX = (320, 640)
#: Clip and frame: one face, near and far and turned, and a group.
FRAMES = (
    ("facerec_short_hamilton_clip.mp4", 20),
    ("facerec_short_hamilton_clip.mp4", 150),
    ("facerec_short_hamilton_clip.mp4", 230),
    ("latentsync_demo1_video.mp4", 40),
    ("liveportrait_d3.mp4", 30),
    ("liveportrait_s13.mp4", 60),
    ("liveportrait_s20.mp4", 90),
    ("retalking_face1.mp4", 30),
    ("retalking_face3.mp4", 60),
    ("sadtalker_WDA_AlexandriaOcasioCortez_000.mp4", 100),
)

Detected = tuple[NDArray[np.float32], NDArray[np.float32]]  # (N, 5) x0 y0 x1 y1 score, (N, 5, 2) points


def picture_of(clip: str, index: int) -> NDArray[np.uint8]:
    """(h, w, 3) RGB, by integer arithmetic alone, so that it is the same on every machine."""
    with av.open(str(CLIPS / clip)) as container:
        frame = next(islice(container.decode(video=0), index, None))
        return cv2.cvtColor(frame.to_ndarray(format="yuv420p"), cv2.COLOR_YUV2RGB_I420)


def insightface_detects(picture: NDArray[np.uint8], input_px: int) -> Detected:
    """The answer of InsightFace's own class."""
    import onnxruntime
    from insightface.model_zoo import scrfd

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(SCRFD), options, providers=["CPUExecutionProvider"])
    detector = scrfd.SCRFD(session=session)
    detector.prepare(-1, det_thresh=0.5, nms_thresh=0.4)
    return detector.detect(np.ascontiguousarray(picture[..., ::-1]), input_size=(input_px, input_px))


def recorded() -> dict[tuple[str, int, int], Detected]:
    """The recorded faces, by clip, frame and input side."""
    rows = json.loads(RECORD.read_text(encoding="utf-8"))["detections"]
    return {
        (row["clip"], row["frame"], row["input_px"]): (
            np.array(row["boxes"], np.float32).reshape(-1, 5),
            np.array(row["points"], np.float32).reshape(-1, 5, 2),
        )
        for row in rows
    }


def _record() -> None:
    import insightface

    rows = []
    for clip, index in FRAMES:
        for input_px in INPUTS_PX:
            boxes, points = insightface_detects(picture_of(clip, index), input_px)
            row = {"clip": clip, "frame": index, "input_px": input_px}
            rows.append({**row, "boxes": boxes.round(4).tolist(), "points": points.round(4).tolist()})
    rows = [{key: _short(value) for key, value in row.items()} for row in rows]
    head = json.dumps({"made_by": f"insightface {insightface.__version__}", "model": SCRFD.name})
    lines = ",\n".join(json.dumps(row) for row in rows)
    RECORD.write_text(f'{head[:-1]}, "detections": [\n{lines}\n]}}\n', encoding="utf-8")


def _short(value: object) -> object:
    """All numbers in nested lists, rounded to four decimals."""
    if isinstance(value, list):
        return [_short(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(_record())
