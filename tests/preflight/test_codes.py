"""Each code has a meaning and a remedy, and the document shows them."""

from lipsync_core.preflight.codes import MEANINGS, WarningCode
from tests.shared_files import ROOT


def test_the_document_shows_the_codes_as_they_are() -> None:
    document = (ROOT / "docs" / "preflight.md").read_text(encoding="utf-8")
    section = document.partition("\n## The codes\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    kinds = {True: "note", False: "warning"}
    assert rows == [
        f"| `{code}` | {kinds[MEANINGS[code].is_note]} | {MEANINGS[code].meaning} | {MEANINGS[code].remedy} |"
        for code in WarningCode
    ]
