"""Makes small MP4, MOV, PNG, WAV and Y4M files by hand, with numbers that no program would write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence


def box(name: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I4s", 8 + len(data), name) + data


def full(name: bytes, *content: bytes) -> bytes:
    """A box with version 0 and no flags."""
    return box(name, bytes(4), *content)


def numbers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def movie(*traks: bytes, more: bytes = b"", brand: bytes = b"isom") -> bytes:
    head = full(b"mvhd", numbers(0, 0, 1000, 1000, 0x10000), b"\1\0" + bytes(74), numbers(99))
    return box(b"ftyp", brand, bytes(4), brand) + box(b"moov", head, *traks, more)


def trak(
    samples: bytes, number: int = 1, kind: bytes = b"vide", timescale: int = 1000, duration: int = 1000,
    reference: bytes | None = None,
) -> bytes:  # fmt: skip
    """One track; `samples` are the boxes in its sample table."""
    matrix = numbers(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    tkhd = box(b"tkhd", numbers(3, 0, 0, number, 0, duration), bytes(16), matrix, numbers(64 << 16, 64 << 16))
    mdhd = full(b"mdhd", numbers(0, 0, timescale, duration), bytes(4))
    hdlr = full(b"hdlr", bytes(4), kind, bytes(13))
    dref = full(b"dref", numbers(1), reference or box(b"url ", numbers(1)))
    minf = box(b"minf", full(b"vmhd", bytes(8)), box(b"dinf", dref), box(b"stbl", samples))
    return box(b"trak", tkhd, box(b"mdia", mdhd, hdlr, minf))


def raw_video() -> bytes:
    """A description of raw RGB pictures of 4x4."""
    entry = bytes(6) + b"\0\1" + bytes(16) + struct.pack(">HH", 4, 4) + numbers(0x480000, 0x480000, 0)
    return full(b"stsd", numbers(1), box(b"raw ", entry, b"\0\1", bytes(32), struct.pack(">Hh", 24, -1)))


def raw_sound() -> bytes:
    entry = bytes(6) + b"\0\1" + bytes(8) + struct.pack(">HHHHI", 1, 16, 0, 0, 48000 << 16)
    return full(b"stsd", numbers(1), box(b"sowt", entry))


def table(description: bytes, count: int, size: int, delta: int = 40, in_chunk: int | None = None) -> bytes:
    """A sample table of `count` samples of `size` bytes each, in one chunk."""
    return (
        description
        + full(b"stts", numbers(1, count, delta))
        + full(b"stsc", numbers(1, 1, count if in_chunk is None else in_chunk, 1))
        + full(b"stsz", numbers(size, count))
        + full(b"stco", numbers(1, 40))
    )


def png(*chunks: tuple[bytes, bytes], size: tuple[int, int] = (64, 64)) -> bytes:
    width, height = size
    rows = zlib.compress((b"\0" + b"\x50" * 192) * 64)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def wav(
    samples: bytes, code: int = 1, channels: int = 1, rate: int = 16000, bits: int = 16, block: int | None = None
) -> bytes:
    block = channels * bits // 8 if block is None else block
    head = struct.pack("<HHIIHH", code, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits)
    data = b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", 20 + len(head) + len(data)) + b"WAVEfmt " + struct.pack("<I", 16) + head + data


def y4m(rate: str, frames: int = 3, size: tuple[int, int] = (64, 64)) -> bytes:
    head = f"YUV4MPEG2 W{size[0]} H{size[1]} F{rate} Ip A1:1 C420\n".encode()
    return head + (b"FRAME\n" + b"\x80" * (size[0] * size[1] * 3 // 2)) * frames


def id3(frames: Sequence[tuple[bytes, int, bytes]]) -> bytes:
    """An ID3 2.3 tag of compressed frames: name, the length that it unfolds to by its own account, compressed bytes."""
    body = b"".join(
        name + struct.pack(">IBB", 4 + len(data), 0, 0x80) + struct.pack(">I", length) + data
        for name, length, data in frames
    )
    return id3_tag(body)


def id3_tag(frames: bytes) -> bytes:
    """An ID3 2.3 tag."""
    return b"ID3\3\0\0" + bytes(len(frames) >> shift & 0x7F for shift in (21, 14, 7, 0)) + frames
