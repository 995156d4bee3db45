"""Texts of strangers and addresses with secrets, as logs, messages and terminals may show them."""

import re
from urllib.parse import urlsplit

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S*?(?=[).,;:]*(?:\s|$))", re.IGNORECASE | re.ASCII)


def printable(text: str, most_chars: int | None = None) -> str:
    """`text` in one line that moves no cursor and turns no direction of writing; what is beyond `most_chars` is cut.

    Control characters, format characters (U+202E and the like) and ends of lines become U+FFFD.
    """
    shown = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[:most_chars])
    return shown if most_chars is None or len(text) <= most_chars else f"{shown}…"


def shown_url(url: str) -> str:
    """`url` without user, password, query and fragment, for logs, the ledger and artifacts; never raises."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "an address that cannot be read"
    return printable(f"{parts.scheme}://{host}{parts.path}" if parts.scheme else parts.path)


def with_shown_urls(text: str) -> str:
    """A library's text, each address in it as `shown_url` gives it."""
    return _ADDRESS.sub(lambda address: shown_url(address[0]), text)
