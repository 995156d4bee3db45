"""Colours in Display P3, and its profile (ICC.1:2022, 7 to 10): the usual one of photographs from phones."""

import struct

import numpy as np
from numpy.typing import NDArray

# Linear sRGB to linear Display P3; both have the white D65. From the primaries in IEC 61966-2-1 and SMPTE EG 432-1.
_TO_P3 = np.array([[0.82246, 0.17754, 0.0], [0.03319, 0.96681, 0.0], [0.01708, 0.07240, 0.91052]])
# Of the primaries and the white, adapted to D50.
_PRIMARIES = {
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
    b"wtpt": (0.96420, 1.0, 0.82491),
}
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # parametric, type 3
_HEADER_BYTES, _ENTRY_BYTES = 128, 12


def in_display_p3(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3): the colours of `rgb` (sRGB) as values of Display P3."""
    value = rgb / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4) @ _TO_P3.T
    coded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.clip(np.rint(coded * 255), 0, 255).astype(np.uint8)


def display_p3_profile() -> bytes:
    """The ICC profile."""
    curve = b"para" + struct.pack(">4xHxx5i", 3, *map(_fixed, _SRGB_CURVE))
    tags = {name: b"XYZ " + struct.pack(">4x3i", *map(_fixed, value)) for name, value in _PRIMARIES.items()}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    tags |= {b"desc": _text("Display P3"), b"cprt": _text("none")}
    table, contents = b"", b""
    for name, content in tags.items():
        at = _HEADER_BYTES + 4 + _ENTRY_BYTES * len(tags) + len(contents)
        table += name + struct.pack(">II", at, len(content))
        contents += content + bytes(-len(content) % 4)
    body = struct.pack(">I", len(tags)) + table + contents
    return _header(_HEADER_BYTES + len(body)) + body


def _header(size_bytes: int) -> bytes:
    d50 = struct.pack(">3i", *map(_fixed, _PRIMARIES[b"wtpt"]))
    start = struct.pack(">I4xI4s4s4s12x4s", size_bytes, 0x04000000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return (start + bytes(28) + d50).ljust(_HEADER_BYTES, b"\0")


def _text(text: str) -> bytes:
    coded = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xII2s2sII", 1, 12, b"en", b"US", len(coded), 28) + coded


def _fixed(value: float) -> int:
    return round(value * 65536)
