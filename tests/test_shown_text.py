"""What is shown of strangers' texts, and of addresses with secrets."""

import pytest

from lipsync_core.shown_text import printable, shown_url, with_shown_urls


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pw@example.com:8443/a/b.mp4?X-Amz-Signature=abc#t", "https://example.com:8443/a/b.mp4"),
        ("s3://bucket/a/b?c", "s3://bucket/a/b"),
        ("file:///a/b.mp4", "file:///a/b.mp4"),
        ("face.mp4", "face.mp4"),
        ("http://[broken", "an address that cannot be read"),
        ("http://example.com/a\nb", "http://example.com/ab"),
    ],
)
def test_what_is_shown_of_an_address_gives_no_access(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("for url (http://me:pw@host:9/stamp?key=1))", "for url (http://host:9/stamp))"),
        ("HTTP://me:pw@host/a, then https://host/b?c#d", "http://host/a, then https://host/b"),
        ("http://me:p'w)@host/a?b", "http://host/a"),
        ("no address", "no address"),
    ],
)
def test_addresses_in_a_text_give_no_access(text: str, shown: str) -> None:
    assert with_shown_urls(text) == shown


def test_a_strangers_text_moves_no_cursor_and_is_bounded() -> None:
    assert printable("plain – text, ёж") == "plain – text, ёж"
    for evil in ("\0", "\n", "\r", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u202e", "\u2066", "\u2069", "\ufeff"):
        assert printable(f"a{evil}b") == "a\N{REPLACEMENT CHARACTER}b"
    assert printable("abcd", 3) == "abc…"
    assert printable("abc", 3) == "abc"
