"""Puts a picture of another shape between black bars, as players show it where pictures change inside a film."""

import av
from av.video.format import VideoFormat

from lipsync_core.media.planes import plane_samples

_PROBE_PX = 16
_SAME_SHAPE = 0.02  # a picture of nearly the same shape is stretched by so little


def chroma_steps(pix_fmt: VideoFormat) -> tuple[int, int]:
    """How many columns and rows of luma share a sample of chroma."""
    wide = VideoFormat(pix_fmt.name, _PROBE_PX, _PROBE_PX)
    return _PROBE_PX // wide.chroma_width(), _PROBE_PX // wide.chroma_height()


def has_shape(picture: av.VideoFrame, width: int, height: int) -> bool:
    """Whether `picture` has the shape of one of that size, nearly."""
    return abs(picture.width * height - picture.height * width) <= _SAME_SHAPE * picture.height * width


def fitting(picture: av.VideoFrame, width: int, height: int) -> tuple[int, int]:
    """The largest even size (width, height) of the picture's shape within that one."""
    scale = min(width / picture.width, height / picture.height)
    return max(2, int(picture.width * scale) // 2 * 2), max(2, int(picture.height * scale) // 2 * 2)


def between_bars(picture: av.VideoFrame, width: int, height: int, *, is_full_range: bool) -> av.VideoFrame:
    """`picture`, of planar YUV, in the middle of a black one of that size, with its times."""
    whole = av.VideoFrame(width, height, picture.format.name)
    depth = whole.format.components[0].bits - 8
    margins = ((width - picture.width) // 8 * 4, (height - picture.height) // 8 * 4)  # chroma begins where luma does
    for at in range(len(whole.planes)):
        inner, samples = plane_samples(picture, at), plane_samples(whole, at)
        samples[:] = (128 if at else 0 if is_full_range else 16) << depth
        step_x, step_y = chroma_steps(whole.format) if at else (1, 1)
        left, top = margins[0] // step_x, margins[1] // step_y
        samples[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    whole.pts, whole.duration = picture.pts, picture.duration
    if picture.time_base is not None:
        whole.time_base = picture.time_base
    return whole
