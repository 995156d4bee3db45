"""Small MP4 and MOV files whose index unfolds to much, wherever its tables stand."""

from __future__ import annotations

import zlib

from tests.hostile.boxes import box, full, movie, numbers, raw_sound, raw_video, table, trak
from tests.hostile.case import Case, data
from tests.hostile.movies import chaptered, edited, fragment

_MILLION = 1_000_000
_SIZES = full(b"stsz", numbers(1, 50 * _MILLION))
_BOMB = movie(trak(table(raw_video(), 50 * _MILLION, 1)))
_FEW = table(raw_video(), 3, 48)


def _within(name: bytes, *before: bytes) -> bytes:
    """A movie with a second sample table, in a box that is not its place."""
    parts = trak(_FEW).partition(b"stbl")
    hidden = box(name, *before, box(b"stbl", _SIZES))
    minf_end = parts[0] + parts[1] + parts[2] + hidden
    grown = minf_end
    for parent in (b"minf", b"mdia", b"trak"):
        at = grown.index(parent) - 4
        size = int.from_bytes(grown[at : at + 4]) + len(hidden)
        grown = grown[:at] + size.to_bytes(4) + grown[at + 4 :]
    return movie(grown)


def _described() -> bytes:
    """A movie whose sample table lies in a description of its samples, behind the description's own fields."""
    description = raw_video()
    longer = description[16:] + _SIZES
    entry = (len(longer)).to_bytes(4) + longer[4:]
    plain = table(full(b"stsd", numbers(1), entry), 3, 48).replace(full(b"stsz", numbers(48, 3)), b"")
    return movie(trak(plain))


def _folded() -> bytes:
    """A MOV whose movie header is compressed."""
    header = _BOMB[_BOMB.index(b"moov") - 4 :]
    inner = box(b"dcom", b"zlib") + box(b"cmvd", numbers(len(header)), zlib.compress(header))
    return box(b"ftyp", b"qt  ", bytes(4)) + box(b"moov", box(b"cmov", inner)) + box(b"mdat", bytes(8))


def _nested() -> bytes:
    """A MOV with a compressed header of a thousand compressed headers, of 16 MiB each."""
    most = 16 << 20

    def compressed(content: bytes) -> bytes:
        return box(b"cmvd", numbers(len(content)), zlib.compress(content, 9))

    leaf = compressed(box(b"skip", bytes(most - 8)))
    return box(b"ftyp", b"qt  ", bytes(4)) + compressed(leaf * ((most - 8) // len(leaf))) + box(b"mdat", bytes(8))


def _late_runs() -> bytes:
    """Sound whose table of chunks begins with 6,000 usual rows."""
    rows = b"".join(numbers(1 + row, 1, 1) for row in range(6000)) + numbers(6001, 0xFFFFFFF0, 1)
    sound = raw_sound() + full(b"stts", numbers(1, 0x7FFFFFFF, 1)) + full(b"stsc", numbers(6001), rows)
    places = full(b"stsz", numbers(2, 0x7FFFFFFF)) + full(b"stco", numbers(6001), bytes(4 * 6001))
    return movie(trak(sound + places, kind=b"soun"))


def _picture(items: bytes) -> bytes:
    """A HEIC picture with these boxes of items."""
    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    handler = full(b"hdlr", bytes(4), b"pict", bytes(13))
    return head + full(b"meta", handler, full(b"pitm", b"\0\1"), items)


INDEX_BOMBS = (
    Case("samples.mp4", "LIMIT_INDEX", data(movie(trak(table(raw_video(), 50 * _MILLION, 1))))),
    Case("runs.mov", "LIMIT_INDEX", data(
        movie(trak(table(raw_sound(), 0x7FFFFFFF, 2, delta=1, in_chunk=0xFFFFFFF0), kind=b"soun"))), is_sound=True),
    Case("fragment.mp4", "LIMIT_INDEX", data(fragment(50 * _MILLION))),
    Case("boxes.mp4", "LIMIT_INDEX", data(box(b"ftyp", b"isom", bytes(4)) + box(b"free") * 300_000),
         variables={"LIPSYNC_MAX_INDEX_ENTRIES": "1000000"}),
    Case("edits.mp4", "LIMIT_INDEX", data(edited(20_000, 20_000))),
    Case("junk.mp4", "LIMIT_INDEX", data(box(b"junk", bytes(8)) + _BOMB)),
    Case("user.mp4", "LIMIT_INDEX", data(box(b"udta", bytes(8)) + _BOMB)),
    Case("nobox.mp4", "LIMIT_INDEX", data(box(b"abcd", bytes(8)) + _BOMB)),
    *(
        Case(f"{name.decode()}.mp4", "LIMIT_INDEX", data(_within(name)))
        for name in (b"dinf", b"udta", b"tref", b"wave")
    ),
    Case("hidden.mov", "LIMIT_INDEX", data(
        box(b"ftyp", b"qt  ", bytes(4)) + _BOMB[_BOMB.index(b"moov") - 4 :].replace(b"moov", b"hoov", 1))),
    Case("description.mp4", "LIMIT_INDEX", data(_described())),
    Case("folded.mov", "LIMIT_INDEX", data(_folded())),
    Case("nested.mov", "LIMIT_METADATA", lambda path: path.write_bytes(_nested())),
    Case("twice.mov", "LIMIT_METADATA", data(box(b"cmvd", numbers(9 << 20)) * 2)),
    *(
        Case(f"both{number}.mp4", "LIMIT_INDEX", data(head + b"moov" + _BOMB[_BOMB.index(b"moov") + 4 :]))
        for number, head in enumerate((b"ID3\4", b"\xff\xd8\xff\xe0", b"fLaC"))
    ),
    Case("late.mov", "LIMIT_INDEX", data(_late_runs()), is_sound=True),
    Case("places.heic", "LIMIT_INDEX", data(_picture(box(b"iloc", b"\2\0\0\0\0\0", numbers(200 * _MILLION))))),
    Case("items.heic", "LIMIT_INDEX", data(_picture(box(b"iinf", b"\1\0\0\0", numbers(200 * _MILLION))))),
    Case("whole.mp4", "LIMIT_INDEX", data(edited(300_000, 100))),
    Case("ends.mp4", "LIMIT_INDEX", data(
        edited(300_000, 100, start=299_999 * 40, duration=40, more=full(b"stss", numbers(1, 1)))),
        label="edits of the end, with a key frame at the start alone"),
    Case("opened.heic", "LIMIT_MEMORY", data(_picture(box(b"iloc", b"\2\0\0\0\0\0", numbers(200 * _MILLION)))),
         label="an index that the memory of an opening does not hold",
         variables={"LIPSYNC_MAX_INDEX_ENTRIES": "900000000", "LIPSYNC_MAX_OPENING_MEMORY_BYTES": "50MiB"}),
    Case("chapters.mov", "LIMIT_INDEX", data(chaptered(1_200_000))),
)  # fmt: skip
