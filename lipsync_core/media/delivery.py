"""The picture that is delivered: what players everywhere show, made from the working format before it is encoded.

By default 8 bits, 4:2:0, limited range, and no larger than H.264's level 5.2 holds. HEVC keeps 10 bits. Where the
source is such a picture already, its planes stay as they are, bit for bit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType

import av
from av.video.format import VideoFormat
from av.video.reformatter import ColorRange, VideoReformatter

from lipsync_core.media.colour import ANY_MATRIX, FULL, HDR_NAMES, LIMITED
from lipsync_core.media.probe import ColourTags, VideoInfo
from lipsync_core.media.tone_map import BT709_TAGS, ToneMapper, is_hdr
from lipsync_core.media.working import WorkingPicture, copied, keeps_planes, working_picture
from lipsync_core.option_specs import Codec
from lipsync_core.options import JobOptions

_BLOCK_PX = 16  # the side of H.264's macroblock
#: Of level 5.2, in such blocks: of a picture, of a second (ITU-T H.264, table A-1; H.265, A.8 and A.9, in samples).
_LIMITS: Mapping[Codec, tuple[int, int]] = MappingProxyType(
    {"h264": (36_864, 2_073_600), "hevc": (8_912_896 // _BLOCK_PX**2, 1_069_547_520 // _BLOCK_PX**2)}
)
#: The most pixels of a movie, unless `max_size` allows more.
LARGEST_PX = max(blocks for blocks, _ in _LIMITS.values()) * _BLOCK_PX**2
_MAX_SIDE_PX = 4096  # the level allows twice as much; decoders in hardware do not


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a source's pictures become those of the movie."""

    stored: str  # the source's own format, by FFmpeg's name
    is_mirrored: bool  # as stored; decoding has flipped it
    source: WorkingPicture  # as it is worked on
    picture: WorkingPicture  # of the movie
    full_size_px: tuple[int, int]  # (width, height) of the source before it was scaled, here or while it was decoded

    @property
    def changes(self) -> tuple[str, ...]:
        """What happens to every pixel, edited or not, in words; empty where nothing does."""
        own = () if keeps_planes(self.stored) else (f"{self.stored} to {self.source.pix_fmt}",)
        flipped = ("mirrored",) if self.is_mirrored else ()
        width_px, height_px = self.full_size_px
        full = replace(self.source, width_px=width_px, height_px=height_px)
        return (*flipped, *own, *_changes(full, self.picture))


def delivery(info: VideoInfo, options: JobOptions) -> Delivery:
    """How the pictures of a video are delivered under `options`.

    Raises:
        ValueError: FFmpeg does not know the source's pixel format.
    """
    return delivery_of(working_picture(info), info, options)


def reduced_size(info: VideoInfo, options: JobOptions) -> tuple[int, int] | None:
    """The movie's size (width, height) where the pictures of a video are scaled to it while they are decoded.

    So are those with more pixels than any level-5.2 picture has: a photo of 12 megapixels, a video in 8K. All later
    stages then hold pictures of the movie's size. Other pictures are scaled last, or not at all (None), so that their
    face tracks serve movies of any size; so are those of `--compat`, whose results belong to the whole picture.

    Raises:
        ValueError: FFmpeg does not know the source's pixel format.
    """
    source, picture = working_picture(info), delivery(info, options).picture
    is_large = source.width_px * source.height_px > LARGEST_PX and options.compat != "upstream"
    size_px = (picture.width_px, picture.height_px)
    return size_px if is_large and size_px != (source.width_px, source.height_px) else None


def delivery_of(
    source: WorkingPicture, info: VideoInfo, options: JobOptions, full_size_px: tuple[int, int] | None = None
) -> Delivery:
    """As `delivery`, for a video whose decoded pictures are such as `source`, perhaps scaled from `full_size_px`."""
    largest = options.max_size
    if largest is not None and info.rotation_deg % 180:  # it is of the picture as it is shown
        largest = largest[::-1]
    width_px, height_px = _size_px(source, options.fps or info.frame_rate, options.movie_codec, largest)
    pix_fmt = _pix_fmt(source, options)
    colour = source.colour
    if options.pix_fmt != "source":
        keeps_hdr = VideoFormat(pix_fmt).components[0].bits > 8
        colour = BT709_TAGS if is_hdr(source) and not keeps_hdr else _with_range(colour, LIMITED)
    picture = WorkingPicture(width_px, height_px, pix_fmt, colour)
    full_size_px = full_size_px or (source.width_px, source.height_px)
    return Delivery(info.pix_fmt, info.is_mirrored, source, picture, full_size_px)


class DeliveredPictures:
    """Makes the pictures of one movie from those of its source. Not for several threads at once."""

    def __init__(self, plan: Delivery) -> None:
        self._plan = plan
        self._reformatter = VideoReformatter()
        self._scales_chroma = _chroma_size(plan.source) != _chroma_size(plan.picture)
        is_mapped = is_hdr(plan.source) and not is_hdr(plan.picture)
        self._tone_mapper = ToneMapper(plan.source, plan.picture) if is_mapped else None

    def convert(self, picture: av.VideoFrame) -> av.VideoFrame:
        """`picture` as it is delivered, perhaps without its times.

        FFmpeg scales chroma by the place that a decoder states for it, and only pictures straight from one state any:
        without a copy a frame that is shown again, or was read apart, would get other chroma than its twin.
        """
        source, wanted = self._plan.source, self._plan.picture
        plain = picture
        if self._scales_chroma:
            plain = copied(picture)
            plain.pts, plain.time_base = picture.pts, picture.time_base
        if self._tone_mapper is not None:
            return self._tone_mapper.convert(plain)
        converted = self._reformatter.reformat(
            plain,
            wanted.width_px,
            wanted.height_px,
            wanted.pix_fmt,
            src_colorspace=ANY_MATRIX,
            dst_colorspace=ANY_MATRIX,
            src_color_range=_range(source),
            dst_color_range=_range(wanted),
            interpolation="BICUBIC",
            threads=1,
        )
        colour = wanted.colour
        converted.colorspace, converted.color_range = colour.matrix, colour.range
        converted.color_primaries, converted.color_trc = colour.primaries, colour.transfer
        return converted


def _chroma_size(picture: WorkingPicture) -> tuple[int, int]:
    pix_fmt = VideoFormat(picture.pix_fmt, picture.width_px, picture.height_px)
    return pix_fmt.chroma_width(), pix_fmt.chroma_height()


def _pix_fmt(source: WorkingPicture, options: JobOptions) -> str:
    if options.pix_fmt == "source":
        return source.pix_fmt
    if options.pix_fmt != "auto":
        return options.pix_fmt
    is_deep = VideoFormat(source.pix_fmt).components[0].bits > 8
    return "yuv420p10le" if is_deep and options.movie_codec == "hevc" else "yuv420p"


def _size_px(source: WorkingPicture, rate: Fraction, codec: Codec, largest: tuple[int, int] | None) -> tuple[int, int]:
    """The largest even size of the source's shape that is not larger than asked for, or else than level 5.2 holds."""
    width, height = source.width_px, source.height_px
    if largest is not None:
        scale = min(Fraction(1), Fraction(largest[0], width), Fraction(largest[1], height))
        return _near(width * scale, largest[0]), _near(height * scale, largest[1])
    scale = min(Fraction(1), Fraction(_MAX_SIDE_PX, max(width, height)))
    in_picture, in_second = _LIMITS[codec]
    blocks = min(Fraction(in_picture), in_second / max(rate, Fraction(1)))
    while _blocks(_even(width * scale), _even(height * scale)) > blocks:
        scale *= Fraction(255, 256)
    return (width, height) if scale == 1 else (_even(width * scale), _even(height * scale))


def _blocks(width: int, height: int) -> int:
    return -(-width // _BLOCK_PX) * -(-height // _BLOCK_PX)


def _near(length: Fraction, most: int) -> int:
    """The even number that is nearest to `length`, and not above `most`."""
    return min(2 * max(1, round(length / 2)), _even(most))


def _even(length: Fraction | int) -> int:
    return max(2, int(length) // 2 * 2)


def _changes(source: WorkingPicture, picture: WorkingPicture) -> Iterator[str]:
    before, after = VideoFormat(source.pix_fmt), VideoFormat(picture.pix_fmt)
    if is_hdr(source) and not is_hdr(picture):
        yield f"{HDR_NAMES[source.colour.transfer]} tone-mapped to BT.709"
    if before.components[0].bits != after.components[0].bits:
        yield f"{before.components[0].bits} to {after.components[0].bits} bits"
    if _sampling(source) != _sampling(picture):
        yield f"{_sampling(source)} to {_sampling(picture)}"
    if _range(source) != _range(picture):
        yield f"{_range_name(source)} to {_range_name(picture)} range"
    if (source.width_px, source.height_px) != (picture.width_px, picture.height_px):
        yield f"scaled from {source.width_px}x{source.height_px} to {picture.width_px}x{picture.height_px}"


def _sampling(picture: WorkingPicture) -> str:
    digits = picture.pix_fmt.removeprefix("yuv").partition("p")[0]
    return ":".join(digits)


def _range(picture: WorkingPicture) -> ColorRange:
    return ColorRange.JPEG if picture.colour.range == FULL else ColorRange.MPEG


def _range_name(picture: WorkingPicture) -> str:
    return "full" if picture.colour.range == FULL else "limited"


def _with_range(colour: ColourTags, code_range: int) -> ColourTags:
    """The tags with full range replaced; an unknown range is taken for the limited one, and stays unknown."""
    return ColourTags(
        colour.matrix, code_range if colour.range == FULL else colour.range, colour.primaries, colour.transfer
    )
