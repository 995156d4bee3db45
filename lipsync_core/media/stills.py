"""Stills that FFmpeg reads wrongly: Pillow reads them, upright and in sRGB.

- HEIC and AVIF: FFmpeg takes them for videos, and a picture that is stored in tiles for its first tile.
- Images that EXIF data mirror: PyAV shows the angle alone.
- Images with a colour profile other than sRGB: FFmpeg leaves the profile out.
- TIFF that holds JPEGs or YCbCr: FFmpeg shows the first black and takes the second for limited range.

All others stay with FFmpeg, which gives their own planes.
"""

import logging
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.stream import VideoStream

from lipsync_core.errors import LimitError, TruncatedMediaError, UnreadableMediaError
from lipsync_core.limits import limits
from lipsync_core.media.stream_checks import require_pixels
from lipsync_core.media.transparency import OPAQUE
from lipsync_core.structure.pictures import JPEG, check_jpeg

if TYPE_CHECKING:
    from PIL.Image import Image

_HEADER_BYTES = 64
# Major brands of files that hold one picture (ISO/IEC 23008-12, 10.2; AV1 Image File Format, 6); sequences have others.
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1"})
_AVIF_BRAND = b"avif"
_ORIENTATION = 0x112  # EXIF 2.32, 4.6.4
_MIRRORED = frozenset({2, 4, 5, 7})
_TURNED = frozenset({3, 5, 6, 7, 8})
_SHOWN_ORIENTATION = "original_orientation"  # of a HEIC picture, which pillow-heif gives upright
_MODES = frozenset({"RGB", "RGBA", "P", "L", "LA", "CMYK", "YCbCr"})  # of 8 bits; FFmpeg keeps more
_DEEP_GREY = "I;16"  # the start of the names of grey modes of 16 bits, which Pillow cannot convert to others
_PROFILED_MODES = frozenset({"RGB", "L", "CMYK"})  # a profile is of one of these colour models
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")  # others of Pillow's run programs, as EPS does
_WITH_END, _END, _TAIL_BYTES = frozenset({"JPEG", "MPO"}), b"\xff\xd9", 4096
_SAME = 2  # of 255: a profile that changes no colour by more is taken for sRGB
_LATTICE = 9  # values of each channel that are tried
_BT709_PRIMARIES, _SRGB_TRANSFER = 1, 13  # ITU-T H.273

_log = logging.getLogger(__name__)


def is_heif_still(path: Path) -> bool:
    """Whether the file at `path` is a HEIC or an AVIF picture, by its first bytes.

    Raises:
        OSError: it cannot be read.
    """
    return _is_heif(path) or _is_avif(path)


@dataclass(frozen=True, slots=True, eq=False)
class ConvertedStill:
    """The picture of an image file, (H, W, 3) uint8 RGB, upright and in sRGB."""

    picture: av.VideoFrame
    changes: tuple[str, ...]  # that were made to its pixels, in words: "mirrored", "turned", "colours to sRGB"
    is_transparent: bool  # the file's picture is, in part


def converted_still(path: Path, stream: VideoStream) -> ConvertedStill | None:
    """The picture of the image file at `path`; None where FFmpeg reads it right.

    `stream` is the file's own in FFmpeg; its colour tags hold where there is no profile.

    Raises:
        TruncatedMediaError: it is a JPEG that was cut off.
        UnreadableMediaError: it is a HEIC or AVIF picture that cannot be decoded.
        PixelLimitError: it has more pixels than one may.
    """
    must_convert = is_heif_still(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures and of EXIF data with faults
            return _converted(path, stream, must_convert)
    except LimitError as exc:
        raise type(exc)(f"{path}: {exc.message}", exc.remedy) from exc
    except TruncatedMediaError:
        raise
    except MemoryError:  # FFmpeg would show it, with other colours or mirrored
        raise
    except Exception as exc:  # Pillow's decoders raise OSError, SyntaxError, ValueError, EOFError, struct.error ...
        if must_convert:
            raise UnreadableMediaError(f"{path} cannot be read as a picture ({exc})", "save it as a JPEG") from exc
        _log.debug("%s is left to FFmpeg: %s", path, exc)
        return None


def _converted(path: Path, stream: VideoStream, must_convert: bool) -> ConvertedStill | None:
    # Imported here: jobs on videos need none of it.
    from PIL import ImageOps

    with _opened(path) as image:
        require_pixels(*image.size)
        orientation = image.getexif().get(_ORIENTATION)
        is_mirrored = orientation in _MIRRORED
        profile: bytes | None = image.info.get("icc_profile")
        if image.format in _WITH_END:
            _require_end(path)
        must_convert = must_convert or _is_misread_tiff(image)
        if image.mode.startswith(_DEEP_GREY) and is_mirrored:  # of a PNG or TIFF, which have no scans
            image = _of_eight_bits(image)
        if not must_convert and (image.mode not in _MODES or not (is_mirrored or profile)):
            return None
        _check_scans(path)
        in_srgb = _in_srgb(image, profile) if profile else None
        if in_srgb is None and not (must_convert or is_mirrored):
            return None
        upright = ImageOps.exif_transpose(in_srgb or image.convert("RGB"))
        shown = image.info.get(_SHOWN_ORIENTATION, orientation)
        is_transparent = image.has_transparency_data and _least_alpha(image) < OPAQUE
    codec = stream.codec_context
    tags = (int(codec.color_primaries), int(codec.color_trc))
    frame = _frame(upright, tags if in_srgb is None else (_BT709_PRIMARIES, _SRGB_TRANSFER))
    done = {"mirrored": shown in _MIRRORED, "turned": shown in _TURNED, "colours to sRGB": in_srgb is not None}
    return ConvertedStill(frame, tuple(name for name, is_done in done.items() if is_done), is_transparent)


def _require_end(path: Path) -> None:
    """Refuse a JPEG that was cut off: FFmpeg shows it, and something in place of what is missing.

    Phones write data behind the end: then what decodes counts.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        if file.read().rstrip(b"\0").endswith(_END):
            return
    _check_scans(path)
    with _opened(path) as image:
        try:
            image.load()
        except OSError as exc:
            raise TruncatedMediaError(f"{path} is cut off: {exc}", "copy or download the file again") from exc


def _least_alpha(image: "Image") -> int:
    return int(np.asarray(image.convert("RGBA").getchannel("A")).min())


def _is_misread_tiff(image: "Image") -> bool:
    """Whether FFmpeg would show a TIFF black, or with too much contrast: one that holds JPEGs, or YCbCr."""
    return image.format == "TIFF" and (image.mode == "YCbCr" or "jpeg" in str(image.info.get("compression", "")))


def _check_scans(path: Path) -> None:
    """Check a JPEG that Pillow decodes next: it reads one picture of the file, whatever lies in its comments."""
    with path.open("rb") as file:
        if file.read(len(JPEG)) == JPEG:
            check_jpeg(file, limits(), is_one=True)


def _of_eight_bits(image: "Image") -> "Image":
    from PIL import Image

    grey = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    grey.info = dict(image.info)  # its EXIF data, too
    return grey


def _frame(image: "Image", tags: tuple[int, int]) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image, np.uint8), format="rgb24")
    frame.color_primaries, frame.color_trc = tags
    frame.pts = 0
    return frame


def _opened(path: Path) -> "Image":
    if _is_heif(path):
        from pillow_heif import HeifImageFile

        return HeifImageFile(path)  # type: ignore[no-untyped-call]
    from PIL import Image

    return Image.open(path, formats=_FORMATS)


def _in_srgb(image: "Image", profile: bytes) -> "Image | None":
    """`image` in sRGB with its EXIF data; None where its `profile` is sRGB too, or has faults."""
    from PIL import Image, ImageCms

    image = image if image.mode in _PROFILED_MODES else image.convert("RGB")
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            image.mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except ImageCms.PyCMSError as exc:
        _log.warning("a colour profile is left out: %s", exc)
        return None
    if image.mode != "CMYK":
        axis = np.linspace(0, 255, _LATTICE).astype(np.uint8)
        lattice = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(_LATTICE, -1, 3)  # (9, 81, 3)
        tried = Image.fromarray(lattice).convert(image.mode)
        plain, changed = (np.asarray(each, np.int16) for each in (tried.convert("RGB"), transform.apply(tried)))
        if np.abs(plain - changed).max() <= _SAME:
            return None
    converted: Image.Image = transform.apply(image)
    converted.info = dict(image.info)
    return converted


def _is_heif(path: Path) -> bool:
    major, compatible = _brands(path)
    return major in _HEIF_BRANDS and not _is_avif_of(major, compatible)


def _is_avif(path: Path) -> bool:
    return _is_avif_of(*_brands(path))


def _is_avif_of(major: bytes, compatible: frozenset[bytes]) -> bool:
    return major == _AVIF_BRAND or (major == b"mif1" and _AVIF_BRAND in compatible and b"heic" not in compatible)


def _brands(path: Path) -> tuple[bytes, frozenset[bytes]]:
    """The major brand of an ISO base media file, and the first compatible ones; empty for any other file."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    if head[4:8] != b"ftyp":
        return b"", frozenset()
    end = min(int.from_bytes(head[:4]), len(head))
    return head[8:12], frozenset(head[at : at + 4] for at in range(16, end, 4))
