"""The tables in docs/formats.md, which tests make: `WRITE_FORMATS=1` lets them write their rows, in one process."""

import os
from collections.abc import Sequence

from tests.shared_files import ROOT

TABLE = ROOT / "docs" / "formats.md"
_COLUMNS = "| input | size and format | rate | sound | what was changed |\n|---|---|---|---|---|\n"


def labels(section: str) -> list[str]:
    """The first cell of each row of a section, which begins with the line `## section`."""
    return [_label(row) for row in _parts(section)[1]]


def check_row(section: str, row: str, order: Sequence[str]) -> None:
    """Make sure that `row` stands in a section whose rows have the labels of `order`; or write it."""
    before, rows, behind = _parts(section)
    if os.environ.get("WRITE_FORMATS"):
        kept = {_label(each): each for each in [*rows, row]}
        rows = [kept[label] for label in order if label in kept]
        TABLE.write_text("".join((before, *(f"{each}\n" for each in rows), behind)), encoding="utf-8")
    assert row in rows


def _label(row: str) -> str:
    return row.split(" | ")[0].removeprefix("| ")


def _parts(section: str) -> tuple[str, list[str], str]:
    """The text up to the rows of a section, its rows, and the text behind them."""
    text = TABLE.read_text(encoding="utf-8")
    start = text.index(_COLUMNS, text.index(f"## {section}\n")) + len(_COLUMNS)
    end = start
    while text.startswith("| ", end):
        end = text.index("\n", end) + 1
    return text[:start], text[start:end].splitlines(), text[end:]
