"""Text in Markdown: what a machine or a user has named is shown as it is."""

import re

_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|&~#$]")


def escaped(text: str) -> str:
    """The text with each character that Markdown, or HTML in it, would take for markup as itself, in one line."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))
