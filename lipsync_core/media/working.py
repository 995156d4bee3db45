"""The working format: the planar YUV that pictures are edited and encoded in, as close to the source as x264 allows.

If the source already has such a format, its planes are used bit for bit. A full-range "yuvj" format is the plain one
with the range tagged. An odd width or height grows by one column on the right or one row at the bottom, copied from its
neighbour, because 4:2:0 codes whole pairs.
"""

from dataclasses import dataclass, replace

import av
from av.video.format import VideoFormat
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from lipsync_core.media.bars import between_bars, chroma_steps, fitting, has_shape
from lipsync_core.media.colour import ANY_MATRIX, BT601, BT709, FULL, HDR_NAMES, LIMITED, matrix_number
from lipsync_core.media.planes import plane_samples
from lipsync_core.media.probe import ColourTags, VideoInfo
from lipsync_core.media.source_frame import Shape

_FORMATS = frozenset({"yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"})
_FULL_RANGE_FORMATS = {"yuvj420p": "yuv420p", "yuvj422p": "yuv422p", "yuvj444p": "yuv444p"}
#: Without these swscale's short cuts darken some kinds of RGB (bgr24) by half a step, and tint it.
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
#: swscale's numbers of matrices by those of H.273 (libswscale/swscale.h).
_SWS_MATRICES = {BT709: 1, 4: 4, 5: 5, BT601: 5, 7: 7, 9: 9, 10: 9}
_SAMPLINGS = {(2, 2): "420", (2, 1): "422", (1, 1): "444", (4, 1): "422", (4, 4): "420", (1, 2): "444"}


@dataclass(frozen=True, slots=True)
class WorkingPicture:
    """The size, format and colour of every decoded picture of a source."""

    width_px: int
    height_px: int
    pix_fmt: str
    colour: ColourTags

    @property
    def size_bytes(self) -> int:
        """Memory of one such picture, without the padding of its rows."""
        return self.width_px * self.height_px * VideoFormat(self.pix_fmt).padded_bits_per_pixel // 8


def working_format(pix_fmt: str) -> str:
    """The working format of a source in FFmpeg's pixel format `pix_fmt`.

    8 and 10 bits and 4:2:0, 4:2:2, 4:4:4 are kept; more bits become 10; alpha is dropped; RGB, palettes and grey
    become 4:2:0.

    Raises:
        ValueError: FFmpeg knows no such format.
    """
    if pix_fmt in _FORMATS:
        return pix_fmt
    if pix_fmt in _FULL_RANGE_FORMATS:
        return _FULL_RANGE_FORMATS[pix_fmt]
    source = VideoFormat(pix_fmt)
    if _has_no_chroma_planes(source):
        depth = 8 if source.has_palette or not source.components else source.components[0].bits
        return "yuv420p" if depth <= 8 else "yuv420p10le"
    return f"yuv{_SAMPLINGS.get(chroma_steps(source), '420')}p" + ("10le" if source.components[0].bits > 8 else "")


def working_picture(info: VideoInfo) -> WorkingPicture:
    """Size, format and colour of the pictures that decoding the video of `info` yields.

    Raises:
        ValueError: FFmpeg does not know the source's pixel format.
    """
    return _target(info.width_px, info.height_px, info.pix_fmt, info.colour)


class PictureConverter:
    """Brings decoded pictures into the working format of the first one, and converts only if it must.

    Pictures larger than `size_px` (width, height; even) are scaled to it in the same step.
    """

    def __init__(self, first: av.VideoFrame, size_px: tuple[int, int] | None = None) -> None:
        self._source = _shape(first)
        target = _target(first.width, first.height, first.format.name, picture_of(first).colour)
        self._is_reduced = size_px is not None and size_px[0] * size_px[1] < target.width_px * target.height_px
        if size_px is not None and self._is_reduced:
            target = replace(target, width_px=size_px[0], height_px=size_px[1])
        self.target = target
        self._reformatter = VideoReformatter()

    def convert(self, picture: av.VideoFrame) -> av.VideoFrame:
        """`picture` in the working format; the same object if it needs no conversion."""
        source, target = self._source, self.target
        if self._is_reduced:
            picture = self.reduced(picture)
        elif self._is_other(_shape(picture)) or not keeps_planes(source.pix_fmt):
            picture = self._rescaled(picture, source.width_px, source.height_px)
        if _size_and_format(picture) != (target.width_px, target.height_px, target.pix_fmt):
            picture = _repacked(picture, target)
        picture.pict_type = PictureType.NONE  # the encoder chooses its own key frames
        _tag(picture, target.colour)
        return picture

    def other_shape(self, picture: av.VideoFrame) -> Shape | None:
        """The shape of a decoded picture where it is not that of the first one."""
        shape = _shape(picture)
        return shape if self._is_other(shape) else None

    def _is_other(self, shape: Shape) -> bool:
        """Whether a picture differs from the first one, by a matrix only if both state theirs."""
        source = self._source
        own, first = (_SWS_MATRICES.get(each.matrix) for each in (shape, source))
        is_recoded = own != first and None not in (own, first)
        is_relit = HDR_NAMES.get(shape.transfer) != HDR_NAMES.get(source.transfer)
        return is_recoded or is_relit or shape != source._replace(matrix=shape.matrix, transfer=shape.transfer)

    def reduced(self, picture: av.VideoFrame) -> av.VideoFrame:
        """`picture` at the smaller size, where it is to be scaled and has not been; with its times."""
        target = self.target
        is_done = _size_and_format(picture) == (target.width_px, target.height_px, target.pix_fmt)
        if is_done or not self._is_reduced:
            return picture
        return self._rescaled(picture, target.width_px, target.height_px)

    def _rescaled(self, picture: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        """`picture` at that size, between black bars if it has another shape than the first one."""
        if has_shape(picture, width, height):
            return self._scaled(picture, width, height)
        inner = self._scaled(picture, *fitting(picture, width, height))
        return between_bars(inner, width, height, is_full_range=self.target.colour.range == FULL)

    def _scaled(self, picture: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        target = self.target
        code_range = ColorRange.JPEG if target.colour.range == FULL else ColorRange.MPEG
        if not _has_no_chroma_planes(picture.format):
            shape = _shape(picture)
            own = matrix_number(shape.matrix, shape.height_px)
            wanted = matrix_number(target.colour.matrix, self._source.height_px)
            is_other = self._is_other(shape) and own != wanted and {own, wanted} <= set(_SWS_MATRICES)
            return self._reformatter.reformat(
                picture,
                width,
                height,
                target.pix_fmt,
                src_colorspace=_SWS_MATRICES[own] if is_other else ANY_MATRIX,
                dst_colorspace=_SWS_MATRICES[wanted] if is_other else ANY_MATRIX,
                src_color_range=ColorRange.JPEG if shape.is_full_range else ColorRange.MPEG,
                dst_color_range=code_range,
                interpolation=_EXACT if is_other else Interpolation.BICUBIC if self._is_reduced else None,
                threads=1,
            )
        is_709 = target.colour.matrix == BT709
        return self._reformatter.reformat(
            picture,
            width,
            height,
            target.pix_fmt,
            dst_colorspace=Colorspace.ITU709 if is_709 else Colorspace.ITU601,
            dst_color_range=code_range,
            interpolation=_EXACT,
            threads=1,
        )


def picture_of(frame: av.VideoFrame) -> WorkingPicture:
    """Size, format and colour of a decoded frame, by its own tags."""
    tags = ColourTags(int(frame.colorspace), int(frame.color_range), int(frame.color_primaries), int(frame.color_trc))
    return WorkingPicture(frame.width, frame.height, frame.format.name, tags)


def copied(picture: av.VideoFrame) -> av.VideoFrame:
    """An independent copy of a picture in a working format, without its times."""
    target = picture_of(picture)
    copy = _repacked(picture, target)
    _tag(copy, target.colour)
    return copy


def _shape(picture: av.VideoFrame) -> Shape:
    is_full = picture.format.name in _FULL_RANGE_FORMATS or int(picture.color_range) == FULL
    return Shape(*_size_and_format(picture), int(picture.colorspace), is_full, int(picture.color_trc))


def _size_and_format(picture: av.VideoFrame) -> tuple[int, int, str]:
    return picture.width, picture.height, picture.format.name


def _target(width: int, height: int, pix_fmt: str, tags: ColourTags) -> WorkingPicture:
    chosen = working_format(pix_fmt)
    matrix, code_range = tags.matrix, tags.range
    if _has_no_chroma_planes(VideoFormat(pix_fmt)):
        # The conversion chooses the matrix, so the matrix is tagged; the range is the one that every player expects.
        matrix, code_range = matrix_number(0, height), LIMITED
    elif pix_fmt in _FULL_RANGE_FORMATS:
        code_range = FULL
    return WorkingPicture(
        width + width % 2,
        height + height % 2,
        chosen,
        ColourTags(matrix, code_range, tags.primaries, tags.transfer),
    )


def _has_no_chroma_planes(source: VideoFormat) -> bool:
    """RGB, palette, grey: the conversion has to choose a matrix or invent the chroma."""
    return source.is_rgb or source.has_palette or source.is_bayer or len(source.components) < 3


def keeps_planes(pix_fmt: str) -> bool:
    """Whether pictures in this format are worked on as they are, sample by sample."""
    return pix_fmt in _FORMATS or pix_fmt in _FULL_RANGE_FORMATS


def _repacked(picture: av.VideoFrame, target: WorkingPicture) -> av.VideoFrame:
    """The same samples in a new picture of `target`'s format; a larger one repeats the last column and row."""
    packed = av.VideoFrame(target.width_px, target.height_px, target.pix_fmt)
    for at in range(len(packed.planes)):
        source, samples = plane_samples(picture, at), plane_samples(packed, at)
        height, width = source.shape
        samples[:height, :width] = source
        if samples.shape[1] > width:
            samples[:height, width:] = source[:, -1:]
        if samples.shape[0] > height:
            samples[height:] = samples[height - 1]
    return packed


def _tag(picture: av.VideoFrame, colour: ColourTags) -> None:
    picture.colorspace, picture.color_range = colour.matrix, colour.range
    picture.color_primaries, picture.color_trc = colour.primaries, colour.transfer
