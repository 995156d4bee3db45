"""Reads the tables and texts that the commands print for people, with columns of any width."""

import re

_GAP = re.compile(r"\s{2,}")


def cells(text: str) -> list[list[str]]:
    """The cells of each line that is not empty, as separated by two or more spaces."""
    return [_GAP.split(line.strip()) for line in text.splitlines() if line.strip()]


def words(text: str) -> str:
    """The text with one space between its words, and no line breaks."""
    return " ".join(text.split())
