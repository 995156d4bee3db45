"""HEVC films with Dolby Vision data, written here: no encoder at hand makes any."""

from __future__ import annotations  # conftest.py is no module of its own

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg

_START = b"\x00\x00\x01"
_RPU_HEADER = bytes([62 << 1, 1])  # unspecified NAL unit 62
_PREFIX = bytes([25])
_PICTURES = frozenset(range(32))  # types of NAL units with a picture (ITU-T H.265, table 7-1)


def dolby_film(source: Path, output: Path, ffmpeg: Ffmpeg, *, profile: int) -> None:
    """Write 8 pictures of `source` to `output` as HEVC of 10 bits, each with the data of profile 5 or 8."""
    plain = output.with_suffix(".plain.hevc")
    encoding = ("-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", "log-level=none:bframes=0")
    ffmpeg("-i", source, "-frames:v", "8", "-an", *encoding, plain)
    tagged = output.with_suffix(".hevc")
    tagged.write_bytes(b"".join(_with_data(plain.read_bytes(), _rpu(is_base=profile == 8))))
    ffmpeg("-framerate", "25", "-i", tagged, "-c", "copy", output)


def _with_data(stream: bytes, rpu: bytes) -> Iterator[bytes]:
    for unit in filter(None, re.split(b"\x00*\x00\x00\x01", stream)):
        yield b"\x00" + _START + unit
        if unit[0] >> 1 & 63 in _PICTURES:
            yield b"\x00" + _START + rpu


def _rpu(*, is_base: bool) -> bytes:
    """One reference processing unit that maps each channel to itself; colours of profile 8 are HDR10's where `is_base`.

    Order of the fields: ETSI GS CCM 001, 5.2.
    """
    profile, full_range = (1, 0) if is_base else (0, 1)
    sequence = _bits(2, 6) + _bits(18, 11) + _bits(profile, 4) + _bits(0, 4) + "1"
    coefficients = "0" + _bits(0, 2) + _golomb(23) + _bits(1, 2) + str(full_range)
    depths = _golomb(2) + _golomb(2) + _golomb(4) + "0" + _bits(0, 3) + "0" + "1"  # 10, 10, 12 bits; no residual
    identity = (_golomb(0) + _bits(0, 10) + _bits(1023, 10)) * 3
    curve = _golomb(0) + _golomb(0) + "0" + _golomb(0) + _bits(0, 23) + _golomb(2) + _bits(0, 23)  # 0 + 1 x
    mapping = "00" + _golomb(0) * 3 + identity + _golomb(0) * 2 + curve * 3
    text = sequence + coefficients + depths + mapping
    text += "0" * (-len(text) % 8)
    data = _PREFIX + int(text, 2).to_bytes(len(text) // 8) + bytes.fromhex("12345678") + b"\x80"  # FFmpeg skips the sum
    return _RPU_HEADER + re.sub(b"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", data)


def _bits(value: int, count: int) -> str:
    return f"{value:0{count}b}"


def _golomb(value: int) -> str:
    """ue(v), ITU-T H.265, 9.2."""
    code = f"{value + 1:b}"
    return "0" * (len(code) - 1) + code
