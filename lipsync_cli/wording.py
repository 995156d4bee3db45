"""How the command line writes moments, amounts and other people's words."""

from datetime import datetime

_MB = 1_000_000


def iso(moment: datetime | None) -> str | None:
    """For programs: ISO 8601."""
    return moment.isoformat() if moment else None


def in_mb(size_bytes: float) -> str:
    """In megabytes, without the unit."""
    return f"{size_bytes / _MB:.1f}"


def in_one_line(text: str) -> str:
    """Without line breaks, and with no more than one space at a time."""
    return " ".join(text.split())
