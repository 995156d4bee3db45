"""Checks that a file holds exactly the registered bytes, and recognises a web page saved in their place."""

import hashlib
import time
from pathlib import Path

from lipsync_core.errors import ModelCorruptError, ModelMissingError

#: The number of first bytes of a file that is enough to recognise a web page.
HEAD_BYTES = 256
_BLOCK_BYTES = 1 << 20
_SETTLED_S = 2.0  # a file that was changed later may be changed again within the clock tick that dates it
_PAGE_BEGINNINGS = (b"<!doctype html", b"<html", b"<head", b"<?xml")
_BLANK = b"\xef\xbb\xbf \t\r\n"  # bytes that may precede a page: a byte order mark, white space


#: The sums of files that this process, or the one that it was forked from, has read.
_known: dict[tuple[object, ...], str] = {}


def is_web_page(head: bytes) -> bool:
    """Whether a file that begins with `head` is a web page, such as a login or an error."""
    return head.lstrip(_BLANK).lower().startswith(_PAGE_BEGINNINGS)


def sha256_of(path: Path, length_bytes: int | None = None) -> str:
    """64 hex digits over the first `length_bytes` of the file, or all of it.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    left = path.stat().st_size if length_bytes is None else max(0, length_bytes)
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(left, _BLOCK_BYTES))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def sha256_of_model(path: Path, length_bytes: int | None = None) -> str:
    """As `sha256_of`, of a file that is read once as long as it stays as it is: weights have up to 600 MB.

    Raises:
        OSError: the file cannot be read.
    """
    before = _version_of(path)
    known = _known.get((before, length_bytes))
    if known is not None:
        return known
    digest = sha256_of(path, length_bytes)
    if _version_of(path) == before and time.time() - path.stat().st_ctime > _SETTLED_S:
        _known[before, length_bytes] = digest
    return digest


def _version_of(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def check_content(path: Path, sha256: str, size_bytes: int, remedy: str) -> None:
    """Make sure that `path` holds exactly the registered bytes.

    Raises:
        ModelMissingError: there is no file.
        ModelCorruptError: the file holds something else; the message says what it looks like.
    """
    try:
        found_sha256 = sha256_of_model(path)
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        found_bytes = path.stat().st_size
    except FileNotFoundError as exc:
        raise ModelMissingError(f"model file {path} is not installed", remedy) from exc
    except OSError as exc:
        raise ModelCorruptError(f"model file {path} cannot be read: {exc.strerror}", remedy) from exc
    if found_sha256 == sha256:
        return
    if is_web_page(head):
        fault = "is an HTML page, not a model"
    elif found_bytes < size_bytes:
        fault = f"is truncated: {found_bytes} of {size_bytes} bytes"
    else:
        fault = f"does not have the registered sha256 {sha256[:12]}…"
    raise ModelCorruptError(f"model file {path} {fault}", remedy)
