"""The trial of an encoder: one picture of a job's kind, which is encoded and decoded again."""

import io
from fractions import Fraction

import av
import numpy as np

from lipsync_core.clock import StageClock
from lipsync_core.errors import OutputError
from lipsync_core.media.encode import Encoder, EncoderOptions, PictureSpec
from lipsync_core.media.ffmpeg_log import error_log, reasons
from lipsync_core.media.planes import plane_samples
from lipsync_core.media.working import WorkingPicture

_RATE = Fraction(25)
#: Of the whole range of brightness, on the average; at crf 51 x264 is off by .03, and another picture by .2.
_LARGEST_ERROR = 0.1


def try_encoder(encoder: type[Encoder], picture: WorkingPicture, options: EncoderOptions) -> None:
    """Encode one picture of the size and format of `picture`, decode the stream and compare.

    The trial may start a GPU: call it in the process that encodes, not in one that forks.

    Raises:
        OutputError: the encoder does not start, or the picture is not in its stream; with FFmpeg's own reason.
    """
    with error_log() as lines:
        try:
            decoded = _decoded(_encoded(encoder, picture, options))
        except av.FFmpegError as exc:
            raise OutputError(reasons(lines) or str(exc.strerror)) from exc
        except OutputError as exc:
            raise OutputError(reasons(lines) or exc.message) from exc
    if decoded is None or _error(decoded, _ramp(picture)) > _LARGEST_ERROR:
        raise OutputError("it encoded a picture, but the stream does not hold it")


def _encoded(encoder: type[Encoder], picture: WorkingPicture, options: EncoderOptions) -> io.BytesIO:
    spec = PictureSpec(
        width_px=picture.width_px,
        height_px=picture.height_px,
        pix_fmt=picture.pix_fmt,
        time_base=1 / _RATE,
        frame_rate=_RATE,
        sample_aspect_ratio=Fraction(1),
        rotation_deg=0,
        colour=picture.colour,
    )
    movie = io.BytesIO()
    with av.open(movie, "w", format="mp4") as container:
        opened = encoder.open(container, spec, options, StageClock())
        container.mux(opened.encode(_ramp(picture), 0, 1))
        container.mux(opened.flush())
    return movie


def _decoded(movie: io.BytesIO) -> av.VideoFrame | None:
    movie.seek(0)
    with av.open(movie, "r") as container:
        container.streams.video[0].codec_context.thread_count = 1  # see `stream.PictureStream.restart`
        return next(container.decode(video=0), None)


def _ramp(picture: WorkingPicture) -> av.VideoFrame:
    """A picture that brightens from left to right."""
    across = np.linspace(0, 255, picture.width_px).astype(np.uint8)
    rgb = np.broadcast_to(across[None, :, None], (picture.height_px, picture.width_px, 3))  # (H, W, 3) uint8
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format=picture.pix_fmt)


def _error(picture: av.VideoFrame, expected: av.VideoFrame) -> float:
    """The mean difference in brightness, 0..1; 1 where the pictures differ in size or format."""
    if (picture.width, picture.height) != (expected.width, expected.height):
        return 1.0
    whole = (1 << expected.format.components[0].bits) - 1
    luma, wanted = plane_samples(picture, 0).astype(float), plane_samples(expected, 0).astype(float)
    return float(np.abs(luma - wanted).mean() / whole)
