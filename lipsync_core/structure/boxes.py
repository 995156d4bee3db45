"""Walks the boxes of an MP4 or MOV file, as FFmpeg's demuxer walks them.

Layouts: ISO/IEC 14496-12, QuickTime File Format. That demuxer takes any box at the start of a file, and many boxes as a
parent of any other: a table of samples counts wherever it stands.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

#: The boxes whose content is boxes. Three more are so in part: "meta", "stsd", and a "free" or "hoov" with a movie.
_PARENTS = frozenset(
    name.encode()
    for name in (
        *("moov", "trak", "mdia", "minf", "dinf", "stbl", "edts", "udta", "tref", "wave", "ilst", "sinf", "schi"),
        *("mvex", "moof", "traf", "mfra", "cmov", "iprp", "ipco"),
    )
)
_HIDDEN_MOVIES = frozenset({b"free", b"hoov"})
_MOVIE_HEADERS = frozenset({b"mvhd", b"cmov"})
_MAX_DEPTH = 10  # FFmpeg ends there
_SEARCHED_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Box:
    """One box of `file`; its content lies in [start, end)."""

    file: BinaryIO
    name: bytes
    start: int
    end: int
    depth: int = 0
    is_unfolded: bool = False  # it lies in a compressed header

    def number(self, offset: int, size_bytes: int = 4) -> int:
        """The unsigned number at `offset` of the content; 0 behind its end."""
        data = self.content(offset, size_bytes)
        return int.from_bytes(data) if len(data) == size_bytes else 0

    def content(self, offset: int, size_bytes: int) -> bytes:
        """So many bytes of the content, or as many as it has."""
        self.file.seek(self.start + offset)
        return self.file.read(max(0, min(size_bytes, self.end - self.start - offset)))

    def children(self) -> "Iterator[Box]":
        """The boxes in this one; none in one that has other content, or lies too deep."""
        if self.depth > _MAX_DEPTH:
            return
        if self.name in _PARENTS or self._holds_a_movie():
            yield from self._boxes_from(self.start)
        elif self.name == b"meta":
            yield from self._boxes_from(self._first_of_meta())
        elif self.name == b"cmvd":
            yield from self._unfolded()._boxes_from(0)

    def _boxes_from(self, start: int) -> "Iterator[Box]":
        while start + 8 <= self.end:
            self.file.seek(start)
            header = self.file.read(16)
            if len(header) < 8:
                return
            size, name = struct.unpack(">I4s", header[:8])
            content = start + 8
            if size == 1 and len(header) == 16:
                (size,) = struct.unpack(">Q", header[8:])
                content += 8
            last = self.end if size == 0 else min(self.end, start + size)
            if last < content:
                return
            yield Box(self.file, name, content, last, self.depth + 1, self.is_unfolded)
            start = last

    def _holds_a_movie(self) -> bool:
        return self.name in _HIDDEN_MOVIES and self.content(4, 4) in _MOVIE_HEADERS

    def _first_of_meta(self) -> int:
        """Where the boxes of a "meta" begin: at its "hdlr", which FFmpeg looks for in steps of four bytes."""
        for offset in range(0, self.end - self.start, _SEARCHED_AT_ONCE):
            data = self.content(offset, _SEARCHED_AT_ONCE)
            at = data.find(b"hdlr")
            while at >= 0:
                if at % 4 == 0:
                    return max(self.start, self.start + offset + at - 4)
                at = data.find(b"hdlr", at + 1)
        return self.end

    def _unfolded(self) -> "Box":
        """The compressed movie header in a "cmvd", as a box of its own; call `number(0)` first for its size."""
        size_bytes = self.number(0)
        try:
            content = zlib.decompressobj().decompress(self.content(4, self.end - self.start), size_bytes)
        except zlib.error:
            content = b""
        return Box(BytesIO(content), b"cmov", 0, len(content), self.depth, is_unfolded=True)


def whole(file: BinaryIO, size_bytes: int) -> Box:
    """The file itself as a box, whose children are those at its top."""
    return Box(file, b"moov", 0, size_bytes, -1)
