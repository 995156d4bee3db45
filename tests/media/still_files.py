"""The kinds of stills that people have, and one of each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pillow_heif import register_heif_opener

from tests.covering import Row, covering_rows
from tests.media.films import true_pictures

register_heif_opener()
_ORIENTATION = 0x112  # EXIF 2.32, 4.6.4
_COLOURS = ("RGB", "L")
#: For each kind the ending, Pillow's options, its modes and whether it holds EXIF data.
KINDS: Mapping[str, tuple[str, dict[str, Any], Sequence[str], bool]] = {
    "JPEG 4:2:0": ("jpg", {"quality": 98, "subsampling": 2}, _COLOURS, True),
    "JPEG 4:2:2": ("jpg", {"quality": 98, "subsampling": 1}, ("RGB",), True),
    "JPEG 4:4:4": ("jpg", {"quality": 98, "subsampling": 0}, ("RGB", "CMYK"), True),
    "JPEG, progressive": ("jpg", {"quality": 98, "progressive": True}, _COLOURS, True),
    "PNG": ("png", {}, ("RGB", "RGBA", "L", "LA", "P", "I;16"), True),
    "WebP": ("webp", {"quality": 98}, ("RGB", "RGBA"), True),
    "WebP, lossless": ("webp", {"lossless": True}, ("RGB", "RGBA"), True),
    "HEIC": ("heic", {"quality": 98}, ("RGB", "RGBA"), False),
    "AVIF": ("avif", {"quality": 98}, ("RGB", "RGBA"), False),
    "TIFF": ("tiff", {}, ("RGB", "L", "RGBA"), False),
    "TIFF, LZW": ("tiff", {"compression": "tiff_lzw"}, ("RGB", "L"), False),
    "BMP": ("bmp", {}, ("RGB", "L", "P"), False),
    "JPEG 2000": ("jp2", {}, ("RGB", "L"), False),
    "PPM": ("ppm", {}, ("RGB", "L"), False),
}
_SIZES = {"128x96": (128, 96), "127x95": (127, 95)}
_EIGHT = tuple(map(str, range(1, 9)))


def still_rows() -> list[Row]:
    """A row for each still: all pairs of kinds with modes, sizes and orientations."""
    modes = tuple(dict.fromkeys(mode for _, _, modes, _ in KINDS.values() for mode in modes))
    axes = {"kind": tuple(KINDS), "mode": modes, "size": tuple(_SIZES), "orientation": _EIGHT}
    pairs = (("kind", "mode"), ("kind", "size"), ("kind", "orientation"), ("mode", "orientation"))
    return covering_rows(axes, pairs, _is_possible)


def _is_possible(row: Row) -> bool:
    if "kind" not in row:
        return True
    _, _, modes, has_exif = KINDS[row["kind"]]
    orientation = row.get("orientation", "1")
    return row.get("mode", modes[0]) in modes and (has_exif or orientation == "1")


def still_label(row: Row) -> str:
    """Its name in the table."""
    turned = "" if row["orientation"] == "1" else f"; orientation {row['orientation']}"
    return f"{row['kind']}; {row['mode']}; {row['size']}{turned}"


def make_still(row: Row, folder: Path) -> Path:
    """The file of a row."""
    ending, options, _, _ = KINDS[row["kind"]]
    picture = Image.fromarray(true_pictures(*_SIZES[row["size"]])[0])
    if row["mode"] == "I;16":
        image = Image.fromarray(np.asarray(picture.convert("L"), np.uint16) * 257)
    else:
        image = picture.convert(row["mode"])
    path = folder / f"still.{ending}"
    exif = Image.Exif()
    exif[_ORIENTATION] = int(row["orientation"])
    image.save(path, **options, **({"exif": exif} if row["orientation"] != "1" else {}))
    return path
