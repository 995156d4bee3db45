"""Formats moments, sizes and messages of other programs for the command line."""

from datetime import datetime

_MB = 1_000_000


def iso(moment: datetime | None) -> str | None:
    """The moment in ISO 8601, for programs."""
    return moment.isoformat() if moment else None


def in_mb(size_bytes: float) -> str:
    """The size in megabytes, without the unit."""
    return f"{size_bytes / _MB:.1f}"


def in_one_line(text: str) -> str:
    """The text without line breaks and repeated spaces."""
    return " ".join(text.split())
