"""Writes a HEIC picture in tiles, as phones do: no encoder at hand makes one.

Boxes: ISO/IEC 14496-12, 8.11, and ISO/IEC 23008-12, 6.6.2.3 (the item "grid").
"""

import io
import struct
from pathlib import Path

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image

TILE_PX = 256
_GRID_ITEM = 1  # the tiles follow


def write_tiled_heic(path: Path, rgb: NDArray[np.uint8], rotations: int = 0) -> None:
    """Write `rgb` (H, W, 3) in tiles of 256 px, to be shown after `rotations` quarter turns counter-clockwise."""
    height, width = rgb.shape[:2]
    rows, columns = -(-height // TILE_PX), -(-width // TILE_PX)
    padded = np.pad(rgb, ((0, rows * TILE_PX - height), (0, columns * TILE_PX - width), (0, 0)), mode="edge")
    tiles = [
        _encoded(padded[row * TILE_PX :, column * TILE_PX :][:TILE_PX, :TILE_PX])
        for row in range(rows)
        for column in range(columns)
    ]
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    items = [grid, *(data for _, data in tiles)]
    properties = [
        tiles[0][0],
        _full(b"ispe", struct.pack(">II", TILE_PX, TILE_PX)),
        _full(b"ispe", struct.pack(">II", width, height)),
        _box(b"irot", bytes([rotations])),
    ]
    head = _box(b"ftyp", b"heic\0\0\0\0mif1heic")
    meta_bytes = len(_meta(items, properties, 0))
    path.write_bytes(head + _meta(items, properties, len(head) + meta_bytes + 8) + _box(b"mdat", b"".join(items)))


def _meta(items: list[bytes], properties: list[bytes], data_at: int) -> bytes:
    ids = range(_GRID_ITEM, _GRID_ITEM + len(items))
    kinds = [b"grid", *[b"hvc1"] * (len(items) - 1)]
    entries = b"".join(
        _box(b"infe", struct.pack(">BxBBHH4sx", 2, 0, int(kind == b"hvc1"), at, 0, kind))
        for at, kind in zip(ids, kinds, strict=True)
    )
    starts = np.cumsum([data_at, *map(len, items)])
    places = b"".join(
        struct.pack(">HHHII", at, 0, 1, start, len(data)) for at, start, data in zip(ids, starts, items, strict=False)
    )
    of_grid, of_tile = bytes([2, 0x03, 0x84]), bytes([2, 0x81, 0x02])
    uses = b"".join(struct.pack(">H", at) + (of_grid if at == _GRID_ITEM else of_tile) for at in ids)
    tiles = list(ids)[1:]
    return _full(
        b"meta",
        _full(b"hdlr", b"\0\0\0\0pict" + bytes(13))
        + _full(b"pitm", struct.pack(">H", _GRID_ITEM))
        + _full(b"iinf", struct.pack(">H", len(items)) + entries)
        + _full(b"iref", _box(b"dimg", struct.pack(f">HH{len(tiles)}H", _GRID_ITEM, len(tiles), *tiles)))
        + _box(b"iprp", _box(b"ipco", b"".join(properties)) + _full(b"ipma", struct.pack(">I", len(items)) + uses))
        + _full(b"iloc", struct.pack(">BBH", 0x44, 0, len(items)) + places),
    )


def _encoded(tile: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """The decoder configuration of one tile (a whole box) and its data."""
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(tile)).save(file, quality=95)
    whole = file.getvalue()
    configuration, data = whole.index(b"hvcC") - 4, whole.index(b"mdat") - 4
    return _sized(whole, configuration), _sized(whole, data)[8:]


def _sized(whole: bytes, at: int) -> bytes:
    return whole[at : at + int.from_bytes(whole[at : at + 4])]


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def _full(name: bytes, content: bytes) -> bytes:
    return _box(name, bytes(4) + content)
