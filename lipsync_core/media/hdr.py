"""What streams say of an HDR picture: the light that it was made for, and Dolby Vision's own data."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import av
from av.sidedata.sidedata import SideData

_CHROMATICITY = 50_000  # units of 0.00002 (ITU-T H.265, D.3.28)
_LUMINANCE = 10_000  # units of 0.0001 cd/m2
_SCREEN = struct.Struct("=22i")  # libavutil/mastering_display_metadata.h: ten rationals and two flags
_LIGHT = struct.Struct("=2I")
_DOVI_OFFSET = struct.Struct("=Q")  # libavutil/dovi_meta.h: AVDOVIMetadata, AVDOVIRpuDataHeader
_DOVI_PROFILE, _DOVI_FULL_RANGE = 4, 10


@dataclass(frozen=True, slots=True)
class HdrLight:
    """Texts for an encoder; None where the source does not say."""

    screen: str | None  # "G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)" in the units of H.265
    content: str | None  # "MaxCLL,MaxFALL" in cd/m2


def hdr_light(picture: av.VideoFrame) -> HdrLight | None:
    """The light of a picture as its decoder gave it; None where it says nothing.

    PyAV keeps what it once read of side data, which an edit of the picture moves: ask before any.
    """
    found = _side_data(picture)
    screen = _screen(found.get("MASTERING_DISPLAY_METADATA", b""))
    content = _content(found.get("CONTENT_LIGHT_LEVEL", b""))
    return HdrLight(screen, content) if screen or content else None


def dolby_vision(picture: av.VideoFrame) -> bool | None:
    """Whether a picture's colours are right without its Dolby Vision data, as of profiles 7 and 8; None without any.

    Profile 5 codes colours that no other standard knows (ICtCp-like, full range). Ask before an edit of the picture.
    """
    data = _side_data(picture).get("DOVI_METADATA", b"")
    if len(data) < _DOVI_OFFSET.size:
        return None
    (start,) = _DOVI_OFFSET.unpack_from(data)
    header = data[start : start + _DOVI_FULL_RANGE + 1]
    return len(header) <= _DOVI_FULL_RANGE or header[_DOVI_PROFILE] != 0 or header[_DOVI_FULL_RANGE] == 0


def _side_data(picture: av.VideoFrame) -> dict[str, bytes]:
    try:
        pieces = cast(Iterable[SideData], picture.side_data)  # PyAV's own type says that it yields names
        return {piece.type.name: bytes(memoryview(cast(bytes, piece))) for piece in pieces}
    except ValueError:  # PyAV 18 reads none beside a kind that it does not know, such as EXIF
        return {}


def _screen(data: bytes) -> str | None:
    if len(data) < _SCREEN.size:
        return None
    *numbers, has_primaries, has_luminance = _SCREEN.unpack_from(data)
    if not (has_primaries and has_luminance) or not all(numbers[1::2]):
        return None
    values = [top / bottom for top, bottom in zip(numbers[::2], numbers[1::2], strict=True)]
    red, green, blue, white = (
        "({},{})".format(*(round(value * _CHROMATICITY) for value in values[at : at + 2])) for at in (0, 2, 4, 6)
    )
    darkest, brightest = (round(value * _LUMINANCE) for value in values[8:10])
    return f"G{green}B{blue}R{red}WP{white}L({brightest},{darkest})"


def _content(data: bytes) -> str | None:
    if len(data) < _LIGHT.size:
        return None
    brightest, brightest_mean = _LIGHT.unpack_from(data)
    return f"{brightest},{brightest_mean}"
