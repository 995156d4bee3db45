"""Adds up what the index of an MP4 or MOV file unfolds to in FFmpeg's memory, before FFmpeg reads it.

Layouts: ISO/IEC 14496-12 (boxes), 14496-12 8.11 (items), QuickTime File Format ("chap"). An entry of the limit is one
of FFmpeg's index, 24 bytes, and what belongs to it.
"""

from typing import BinaryIO

from lipsync_core.limit_errors import MetadataLimitError
from lipsync_core.limits import Limits
from lipsync_core.structure.boxes import Box, whole
from lipsync_core.structure.refusals import require_entries, require_metadata, require_pixels
from lipsync_core.structure.sample_tables import TABLES, Track, timescale_of

# What things cost, in entries.
_BOX = 4  # to look at it
_CHAPTER = 30  # some kB, with its title
_FRAGMENT_OF_STREAM = 2
#: The boxes that claim a number of things without a byte for each: where the number is.
_CLAIMS = {b"trun": 4, b"senc": 4, b"ipma": 4}
_COUNTED = (*TABLES, *_CLAIMS, b"iloc", b"iinf", b"saiz")


class Index:
    """The sum of one file, whose parts are added as they are found."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._entries = self._unfolded = 0
        self._timescale = 1
        self._tracks: list[Track] = []

    def add_file(self, file: BinaryIO, size_bytes: int) -> None:
        """Add all boxes of a file, or raise IndexLimitError or MetadataLimitError."""
        for box in whole(file, size_bytes).children():
            self._add_box(box)
        self._add_chapters()

    def _add_box(self, box: Box) -> None:
        self._add(_BOX)
        if box.name == b"trak":
            self._tracks.append(Track())
        elif box.name == b"cmvd":
            self._add_compressed(box)
        elif box.name == b"stsd":
            self._add_sample_description(box)
        elif box.name == b"ispe":  # ISO/IEC 23008-12, 6.5.3: the size of a HEIC or AVIF picture
            require_pixels(box.number(4), box.number(8), self._limits)
        elif box.name == b"mvhd":
            self._timescale = timescale_of(box)
        elif box.name in TABLES:
            self._add_table(box)
        else:
            self._add(_claimed(box) + _fragments(box) * _FRAGMENT_OF_STREAM * max(1, len(self._tracks)))
        for child in box.children():
            self._add_box(child)
        if box.name == b"trak":
            self._add(self._tracks[-1].entries(self._timescale, self._limits.max_index_entries))

    def _add_table(self, box: Box) -> None:
        self._add(_overhang(box))
        if self._tracks:
            self._tracks[-1].take(box)

    def _add_compressed(self, box: Box) -> None:
        """A header within a compressed one is no movie's; each would unfold anew, at every depth."""
        if box.is_unfolded:
            raise MetadataLimitError("it has a compressed header within another", "save the file anew")
        self._unfolded += box.number(0)
        require_metadata(self._unfolded, self._limits)

    def _add_sample_description(self, box: Box) -> None:
        """Tables count in a sample description, too: FFmpeg reads boxes behind the fields of each of its entries."""
        require_metadata(box.end - box.start, self._limits)
        content = box.content(0, box.end - box.start)
        for name in _COUNTED:
            at = content.find(name, 8)  # behind the number of descriptions
            while at >= 0:
                self._add_box(Box(box.file, name, box.start + at + 4, box.end, box.depth + 1, box.is_unfolded))
                at = content.find(name, at + 1)

    def _add_chapters(self) -> None:
        named = {number for track in self._tracks for number in track.chapter_tracks}
        chapters = sum(track.samples() for track in self._tracks if track.number in named)
        self._add(chapters * _CHAPTER)

    def _add(self, entries: int) -> None:
        self._entries += entries
        require_entries(self._entries, self._limits)


def _overhang(box: Box) -> int:
    """The rows that a table claims beyond its own box: FFmpeg reads on in the boxes behind it."""
    rows = TABLES[box.name]
    if rows is None:
        return 0
    place, row_bytes = rows
    return max(0, box.number(place) - max(0, box.end - box.start - place - 4) // row_bytes)


def _claimed(box: Box) -> int:
    """The samples of a fragment, or the items of a picture, by a box's own account."""
    version = box.number(0, 1)
    if box.name in _CLAIMS:
        return box.number(_CLAIMS[box.name])
    if box.name == b"iloc":
        return box.number(6, 2 if version < 2 else 4)
    if box.name == b"iinf":
        return box.number(4, 2 if version == 0 else 4)
    if box.name == b"saiz":
        return box.number(5 + 8 * (box.number(3, 1) & 1))  # behind a kind, where the flags say so
    return 0


def _fragments(box: Box) -> int:
    """The fragments that a box is, or lists."""
    if box.name == b"sidx":
        return box.number(30 if box.number(0, 1) else 22, 2)
    if box.name == b"tfra":
        return box.number(12)
    return int(box.name == b"moof")
