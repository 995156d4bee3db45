"""Adds up what a JPEG 2000 picture unfolds to in FFmpeg's memory, by the headers of its codestream.

Layout: ISO/IEC 15444-1, annexes A (markers) and B (tiles, precincts, code blocks). FFmpeg allocates some 200 bytes for
each code block before it reads a bit of it: two kilobytes may claim ten million of 4x4 samples.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipsync_core.limits import Limits
from lipsync_core.structure.refusals import require_entries, require_pixels

# What things cost, in entries of the limit.
_TILE = 150
_BLOCK = 6
_PRECINCT = 8  # of one band; one of one layer costs an entry, as time
_MARKER = 4
_BEGIN, _SIZE, _STYLE, _COMPONENT_STYLE, _TILE_PART, _DATA = 0xFF4F, 0xFF51, 0xFF52, 0xFF53, 0xFF90, 0xFF93
_MOST_COMPONENTS = 4  # FFmpeg reads no more
_WHOLE = 15  # the exponent of a precinct's sides where none is stated
_MOST_EXPONENT = 40  # beyond all sizes
_Counts = NDArray[np.int64]


def check_codestream(data: bytes, limits: Limits) -> None:
    """Check the size of a JPEG 2000 picture, and the number of its tiles and code blocks.

    `data` may hold a JP2 file: each codestream in it counts, since FFmpeg looks for one in several places.

    Raises:
        PixelLimitError, IndexLimitError: they are beyond a limit.
    """
    markers, at = 0, data.find(b"\xff\x4f\xff")
    while at >= 0:
        size, style = None, _Style()
        for marker, content in _markers(data, at + 2):
            markers += 1
            require_entries(markers * _MARKER, limits)
            if marker == _SIZE and len(content) >= 36:
                size = _Size.of(content)
            elif marker in (_STYLE, _COMPONENT_STYLE):
                style = style.with_marker(marker, content)
        if size is not None:
            _require_moderate(size, style, limits)
        at = data.find(b"\xff\x4f\xff", at + 2)


@dataclass(frozen=True, slots=True)
class _Size:
    """The marker SIZ: where picture and tiles lie, as (x, y)."""

    end: tuple[int, int]
    start: tuple[int, int]
    tile: tuple[int, int]
    tile_start: tuple[int, int]
    steps: tuple[tuple[int, int], ...]  # of the samples of each component

    @classmethod
    def of(cls, content: bytes) -> "_Size":
        numbers = struct.unpack_from(">8I", content, 2)
        steps = content[36:]
        stated = [(max(1, steps[at]), max(1, steps[at + 1])) for at in range(1, len(steps) - 1, 3)]
        pairs = [(numbers[at], numbers[at + 1]) for at in (0, 2, 4, 6)]
        return cls(pairs[0], pairs[1], pairs[2], pairs[3], tuple(stated[:_MOST_COMPONENTS]))

    def tiles(self, axis: int) -> int:
        """How many tiles there are along one axis."""
        return max(0, -(-(self.end[axis] - self.tile_start[axis]) // max(1, self.tile[axis])))

    def edges(self, axis: int) -> _Counts:
        """Where the tiles begin along one axis, and where the last one ends. (tiles + 1,)"""
        edges = self.tile_start[axis] + np.arange(self.tiles(axis) + 1, dtype=np.int64) * self.tile[axis]
        return np.clip(edges, self.start[axis], self.end[axis])


@dataclass(frozen=True, slots=True)
class _Style:
    """The worst of all markers COD and COC: the most levels and layers, the smallest blocks and precincts."""

    levels: int = 0
    layers: int = 1
    block: tuple[int, int] = (_MOST_EXPONENT, _MOST_EXPONENT)  # exponents of two, as those of the precincts
    precincts: tuple[tuple[int, int], ...] = ()  # of each level from the smallest picture on

    def with_marker(self, marker: int, content: bytes) -> "_Style":
        """This and one marker more."""
        is_general = marker == _STYLE
        layers = int.from_bytes(content[2:4]) if is_general else 1
        fields = content[5:] if is_general else content[2:]
        if len(fields) < 5:
            return self
        has_precincts = content[0 if is_general else 1] & 1
        stated = [(each & 15, each >> 4) for each in fields[5:]] if has_precincts else []
        return _Style(
            max(self.levels, min(32, fields[0])),
            max(self.layers, layers),
            _least(self.block, (fields[1] + 2, fields[2] + 2)),
            tuple(_least(self.precinct(at), stated[at] if at < len(stated) else (_WHOLE, _WHOLE)) for at in range(33)),
        )

    def precinct(self, level: int) -> tuple[int, int]:
        """The exponents of a precinct's sides at a level of resolution."""
        return self.precincts[level] if level < len(self.precincts) else (_WHOLE, _WHOLE)


def _require_moderate(size: _Size, style: _Style, limits: Limits) -> None:
    require_pixels(size.end[0] - size.start[0], size.end[1] - size.start[1], limits)
    tiles = size.tiles(0) * size.tiles(1)
    require_entries(tiles * _TILE, limits)
    if not tiles:
        return
    entries = tiles * _TILE
    edges = size.edges(0), size.edges(1)
    for step in size.steps:
        for level in range(style.levels + 1):
            entries += _entries(edges, step, level, style)
            require_entries(entries, limits)


def _entries(edges: tuple[_Counts, _Counts], step: tuple[int, int], level: int, style: _Style) -> int:
    """What one level of resolution of one component costs, in all tiles."""
    blocks = precincts = 1
    bands = 3 if level else 1
    for axis in (0, 1):
        ends = _ceil(-(-edges[axis] // step[axis]), style.levels - level)
        precinct = style.precinct(level)[axis]
        precincts *= _pieces(ends, precinct)
        half = 1 if level else 0
        blocks *= _pieces(ends, max(half, min(style.block[axis] + half, precinct)))
    return blocks * bands * _BLOCK + precincts * (bands * _PRECINCT + style.layers)


def _pieces(edges: _Counts, exponent: int) -> int:
    """The pieces of this size that all tiles have along one axis, the cut ones included."""
    pieces = _ceil(edges[1:], exponent) - (edges[:-1] >> exponent)
    return int(np.where(edges[1:] > edges[:-1], pieces, 0).sum())


def _ceil(numbers: _Counts, exponent: int) -> _Counts:
    return -(-numbers >> exponent)


def _least(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return min(one[0], other[0]), min(one[1], other[1])


def _markers(data: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """The markers of a codestream and of its tiles' parts, each with its content, from `start` on."""
    part_end = start
    while start + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, start)
        if marker == _DATA:
            if part_end <= start:
                return
            start = part_end
            continue
        if marker < _BEGIN or length < 2:
            return
        content = data[start + 4 : start + 2 + length]
        if marker == _TILE_PART:
            length_of_part = int.from_bytes(content[2:6])
            part_end = start + length_of_part if length_of_part else len(data)
        yield marker, content
        start += 2 + length
