"""MP4s with edit lists of their own (ISO/IEC 14496-12, 8.6.6), which no encoder at hand writes."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

#: Seconds that an edit lasts, and the second of its track at which it begins; None: nothing is shown.
Edit = tuple[float, float | None]


def with_edits(path: Path, picture: Sequence[Edit], sound: Sequence[Edit]) -> None:
    """Give the tracks of the MP4 at `path`, whose index lies behind its media, these edits."""
    data = path.read_bytes()
    boxes = list(_boxes(data))
    assert boxes[-1][0] == b"moov", "the media would move"
    movie_hz = _timescale(dict(_boxes(boxes[-1][1]))[b"mvhd"])
    header = b"".join(
        _box(name, _track(content, sound if b"smhd" in content else picture, movie_hz))
        if name == b"trak"
        else _box(name, content)
        for name, content in _boxes(boxes[-1][1])
    )
    path.write_bytes(data[: len(data) - len(boxes[-1][1]) - 8] + _box(b"moov", header))


def _track(content: bytes, edits: Sequence[Edit], movie_hz: int) -> bytes:
    media = dict(_boxes(content))[b"mdia"]
    track_hz = _timescale(dict(_boxes(media))[b"mdhd"])
    rows = b"".join(
        struct.pack(">IiI", round(length_s * movie_hz), -1 if at_s is None else round(at_s * track_hz), 1 << 16)
        for length_s, at_s in edits
    )
    table = _box(b"edts", _box(b"elst", struct.pack(">II", 0, len(edits)) + rows))
    parts = [(name, part) for name, part in _boxes(content) if name != b"edts"]
    return b"".join((table if name == b"mdia" else b"") + _box(name, part) for name, part in parts)


def _timescale(header: bytes) -> int:
    (found,) = struct.unpack_from(">I", header, 12)  # of version 0
    return int(found)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        yield name, data[at + 8 : at + size]
        at += size


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content
