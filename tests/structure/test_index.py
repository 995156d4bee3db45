"""What files claim is counted as FFmpeg unfolds it; files as programs write them stay far from the limit."""

from __future__ import annotations

from io import BytesIO

import pytest

from lipsync_core.limit_errors import IndexLimitError
from lipsync_core.limits import Limits
from lipsync_core.structure.index import Index
from tests.hostile.boxes import box, full, movie, numbers, raw_video, table, trak
from tests.hostile.movies import chaptered

LONG = 1_000_000  # samples: nine hours of 30 frames a second
UNIT = 40  # of a sample


def counts(content: bytes, most: int | None = None) -> bool:
    """Whether the index of a file stays below the limit, or below `most` entries."""
    limits = Limits() if most is None else Limits(max_index_entries=most)
    try:
        Index(limits).add_file(BytesIO(content), len(content))
    except IndexLimitError:
        return False
    return True


def cut(samples: int, parts: int, *, key_frame_every: int, overlap: int = 1) -> bytes:
    """A movie whose edits are its parts one after the other, each `overlap` times as long as its share."""
    share = samples * UNIT // parts
    rows = b"".join(numbers(share * overlap, part * share, 0x10000) for part in range(parts))
    keys = range(1, samples + 1, key_frame_every)
    tables = table(raw_video(), samples, 1) + full(b"stss", numbers(len(keys), *keys))
    return movie(box(b"trak", trak(tables)[8:], box(b"edts", full(b"elst", numbers(parts), rows))))


def test_a_long_movie_that_was_cut_into_many_parts_is_read() -> None:
    assert counts(cut(LONG, 900, key_frame_every=250))


def test_parts_that_overlap_or_have_few_key_frames_are_counted_each_time() -> None:
    assert not counts(cut(LONG, 90, key_frame_every=250, overlap=10))
    assert not counts(cut(LONG, 90, key_frame_every=LONG))


def test_samples_without_a_length_belong_to_each_edit_at_their_time() -> None:
    """A million samples at one moment, behind a second of others: 20 edits of that moment list them 20 times."""
    times = full(b"stts", numbers(3, 25, UNIT, LONG, 0, 25, UNIT))
    plain = table(raw_video(), LONG + 50, 1)
    at = plain.index(b"stts") - 4
    tables = plain[:at] + times + plain[at + 24 :]
    rows = numbers(UNIT, 1000, 0x10000) * 20
    edited = movie(box(b"trak", trak(tables)[8:], box(b"edts", full(b"elst", numbers(20), rows))))
    assert counts(movie(trak(tables))) and not counts(edited)


def test_chapters_cost_more_than_samples() -> None:
    assert counts(chaptered(10_000))
    assert not counts(chaptered(10_000), most=200_000)
    assert counts(movie(trak(table(raw_video(), 10_000, 1))), most=20_000)


@pytest.mark.parametrize("rows", [30, 300_000])
def test_a_table_that_reads_on_behind_its_box_counts_as_it_claims(rows: int) -> None:
    claims = table(raw_video(), 30, 1).replace(b"stco" + numbers(0, 1), b"stco" + numbers(0, rows))
    assert counts(movie(trak(claims)), most=2000) is (rows == 30)
