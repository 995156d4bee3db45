"""Adds up what the texts and profiles of a PNG unfold to: FFmpeg inflates each of them whole. Layout: PNG 1.2, APNG."""

import struct
import zlib
from typing import BinaryIO

from lipsync_core.limits import Limits
from lipsync_core.structure.refusals import require_entries, require_metadata, require_pixels

PNG = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = (PNG, b"\x8aMNG\r\n\x1a\n")  # FFmpeg's decoder takes both
_COMPRESSED = frozenset({b"zTXt", b"iTXt", b"iCCP"})
_CHUNK = 4  # what it costs to look at a chunk, in entries of an index, as for a box of an MP4
_INFLATED_AT_ONCE = 1 << 16


def check_png(file: BinaryIO, size_bytes: int, limits: Limits) -> None:
    """Check the sizes of the pictures in a PNG, and what their texts and profiles unfold to.

    FFmpeg reads one PNG behind the other in a file. The packets of an APNG have chunks, and no signature.

    Raises:
        PixelLimitError, MetadataLimitError, IndexLimitError: they are beyond a limit.
    """
    start = unfolded = chunks = 0
    while start + 12 <= size_bytes:
        file.seek(start)
        head = file.read(8)
        if head in _SIGNATURES:
            start += len(head)
            continue
        length, name = struct.unpack(">I4s", head)
        chunks += 1
        require_entries(chunks * _CHUNK, limits)
        if name == b"IHDR":
            width, height = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
            require_pixels(width, height, limits)
        elif name in _COMPRESSED:
            unfolded += _unfolded(name, file, min(length, size_bytes - start), limits, unfolded)
            require_metadata(unfolded, limits)
        start += 12 + length


def _unfolded(name: bytes, file: BinaryIO, length: int, limits: Limits, before: int) -> int:
    """The bytes of one text or profile, whose chunk has `length` bytes here; more than may be for a longer chunk."""
    most = limits.max_metadata_bytes
    data = _compressed(name, file.read(min(length, most + 1)))
    return length if data and length > most else _inflated(data, most - before)


def _compressed(name: bytes, chunk: bytes) -> bytes:
    """The compressed part of a text or a profile, behind its keyword; empty where there is none."""
    _, _, rest = chunk.partition(b"\0")
    if name != b"iTXt":
        return rest[1:]  # behind the method
    return rest[2:].split(b"\0", 2)[-1] if rest[:1] == b"\1" else b""


def _inflated(data: bytes, enough: int) -> int:
    """How many bytes `data` unfolds to; stops above `enough`."""
    unfolding, total = zlib.decompressobj(), 0
    try:
        while data and total <= enough:
            total += len(unfolding.decompress(data, _INFLATED_AT_ONCE))
            data = unfolding.unconsumed_tail
    except zlib.error:
        return total  # FFmpeg stops there, too
    return total
