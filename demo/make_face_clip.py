"""Makes the demo's video: a public-domain portrait, filmed as by a hand-held camera.

The portrait is NASA's photograph of the astronaut Eileen Collins, which is part of the scikit-image wheel, so nothing
is downloaded. The movement is smooth and sampled between pixels, so that a tracker gets a moving face and not a still.

    python demo/make_face_clip.py OUT.mp4 [--frames N] [--size WxH]
"""

import argparse
import math
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray
from skimage import data

# The camera's view in pixels of the 512 px portrait; at 16:9 it never leaves the picture.
_VIEW_CENTRE_PX = (252.0, 141.0)
_VIEW_WIDTH_PX = 454.0
_PAN_PX = (14.0, 5.0)
_ZOOM = 0.035
_ROLL_DEG = 0.9
_CRF = "16"


def make_face_clip(path: Path, frames: int = 280, size: tuple[int, int] = (1280, 720), rate: int = 30) -> None:
    """Write `frames` frames of `size` (width, height) at `rate` per second as H.264, BT.709, yuv420p."""
    portrait = data.astronaut()  # (512, 512, 3) uint8 RGB
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": _CRF, "preset": "veryfast"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.color_primaries = ColorPrimaries.BT709
        stream.codec_context.color_trc = ColorTrc.BT709
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_range = ColorRange.MPEG
        for index in range(frames):
            container.mux(stream.encode(_frame(portrait, index, rate, size)))
        container.mux(stream.encode(None))


def _frame(portrait: NDArray[np.uint8], index: int, rate: int, size: tuple[int, int]) -> av.VideoFrame:
    to_portrait = _camera(index / rate, size)
    view = cv2.warpAffine(
        portrait, to_portrait, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101
    )
    frame = av.VideoFrame.from_ndarray(view, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
    frame.pts, frame.time_base = index, Fraction(1, rate)
    return frame


def _camera(time_s: float, size: tuple[int, int]) -> NDArray[np.float64]:
    """(2, 3) the affine map from pixels of the clip to pixels of the portrait."""
    width, height = size
    roll = math.radians(_ROLL_DEG * _swing(time_s, 5.3))
    scale = _VIEW_WIDTH_PX * (1 - _ZOOM * _swing(time_s, 8.1)) / width
    turn = scale * np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    centre = np.array(
        [
            _VIEW_CENTRE_PX[0] + _PAN_PX[0] * _swing(time_s, 6.7),
            _VIEW_CENTRE_PX[1] + _PAN_PX[1] * _swing(time_s, 4.1),
        ]
    )
    origin = centre - turn @ np.array([(width - 1) / 2, (height - 1) / 2])
    return np.column_stack([turn, origin])


def _swing(time_s: float, period_s: float) -> float:
    return math.sin(2 * math.pi * time_s / period_s)


def _size(text: str) -> tuple[int, int]:
    width, height = (int(part) for part in text.lower().split("x"))
    return width, height


def main() -> None:
    """Read the command line and write the clip."""
    parser = argparse.ArgumentParser(description="Make the demo's face clip.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", type=int, default=280)
    parser.add_argument("--size", type=_size, default=(1280, 720), metavar="WxH")
    options = parser.parse_args()
    make_face_clip(options.out, options.frames, options.size)


if __name__ == "__main__":
    main()
