"""The tables in docs/formats.md, which tests make: `WRITE_FORMATS=1` lets them write their rows, in one process."""

import os
from collections.abc import Sequence

from tests.shared_files import ROOT

TABLE = ROOT / "docs" / "formats.md"
_COLUMNS = "| input | size and format | rate | sound | what was changed |\n|---|---|---|---|---|\n"


def labels(section: str) -> list[str]:
    """The first cell of each row of a section, which begins with the line `## section`."""
    return [row.split(" | ")[0].removeprefix("| ") for row in _rows(section)]


def check_row(section: str, row: str, order: Sequence[str]) -> None:
    """Make sure that `row` stands in a section whose rows have the labels of `order`; or write it."""
    rows = _rows(section)
    if os.environ.get("WRITE_FORMATS"):
        kept = {each.split(" | ")[0].removeprefix("| "): each for each in [*rows, row]}
        rows = [kept[label] for label in order if label in kept]
        before, _, rest = TABLE.read_text(encoding="utf-8").partition(f"## {section}\n")
        text, _, after = rest.partition(_COLUMNS)
        behind = after[after.find("\n\n") :] if "\n\n" in after else "\n"
        TABLE.write_text(f"{before}## {section}\n{text}{_COLUMNS}{chr(10).join(rows)}{behind}", encoding="utf-8")
    assert row in rows


def _rows(section: str) -> list[str]:
    _, _, rest = TABLE.read_text(encoding="utf-8").partition(f"## {section}\n")
    _, _, table = rest.partition(_COLUMNS)
    return [line for line in table.partition("\n\n")[0].splitlines() if line.startswith("| ")]
