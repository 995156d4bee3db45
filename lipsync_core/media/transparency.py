"""Whether parts of a picture are transparent. No result is: H.264 and HEVC, as players show them, have no alpha."""

import av
from av.video.reformatter import VideoReformatter

from lipsync_core.media.colour import ANY_MATRIX
from lipsync_core.media.planes import plane_samples

_LOOKED_AT_PX = 512  # the larger side: a few pixels at the rim of a picture do not count
OPAQUE = 250  # of 255, or more: scaling rounds
#: Matroska's mark of a track whose codec has a second picture for alpha, which FFmpeg's decoder leaves out (VP8, VP9).
ALPHA_TAG = "alpha_mode"


def is_transparent(picture: av.VideoFrame) -> bool:
    """Whether more than a few pixels of a decoded picture are."""
    pix_fmt = picture.format
    if not pix_fmt.has_palette and not any(component.is_alpha for component in pix_fmt.components):
        return False
    scale = min(1, _LOOKED_AT_PX / max(picture.width, picture.height))
    width_px, height_px = (max(1, round(side * scale)) for side in (picture.width, picture.height))
    matrix = None if pix_fmt.is_rgb or pix_fmt.has_palette else ANY_MATRIX
    small = VideoReformatter().reformat(
        picture,
        width_px,
        height_px,
        "yuva444p",
        src_colorspace=matrix,
        dst_colorspace=matrix,
        interpolation="AREA",
        threads=1,
    )
    return int(plane_samples(small, 3).min()) < OPAQUE
