"""Files on web servers: read with ranges if the server supports them, written with PUT to presigned addresses."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from lipsync_service.errors import ObjectMissingError, StorageError, UrlRefusedError
from lipsync_service.storage.http_client import HttpAnswer, HttpClient, check_status
from lipsync_service.storage.source import MayWrite, Sent, SourceChangedError, SourceVersion
from lipsync_service.storage.url import Location

_SIZE = r"[0-9]{1,18}"  # no file has more bytes, and Python reads no number of thousands of digits
_RANGE = re.compile(rf"bytes (?:{_SIZE}-{_SIZE}|\*)/({_SIZE})")  # RFC 9110, section 14.4; the last is the whole size
_PART = re.compile(rf"bytes ({_SIZE})-{_SIZE}/({_SIZE})")
_VALIDATOR = re.compile(r"[\x20-\x7e\x80-\xff]{1,1024}")  # it is sent back, and kept beside unfinished downloads


class HttpStore:
    """http:// and https:// addresses that the client's guard allows."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def source(self, location: Location) -> "HttpSource":
        """The file at `location`; its host is checked with each request."""
        return HttpSource(location, self._client)

    def exists(self, location: Location) -> bool:
        """Whether there is a readable file; raises AccessDeniedError for an address that is presigned for PUT only."""
        try:
            HttpSource(location, self._client).version()
        except ObjectMissingError:
            return False
        return True

    def check_target(self, location: Location) -> None:
        """Refuse a host that jobs may not reach. Nothing is sent: a presigned address allows one method only."""
        self._client.check(location)

    def discard(self, location: Location) -> None:
        """Raise UrlRefusedError: the service stores none of its own files on web servers."""
        raise UrlRefusedError(f"{location.shown} cannot be removed", "remove only files that the service has made")

    def put(self, path: Path, location: Location, sent: Sent, may_write: MayWrite | None = None) -> None:
        """Send the file with PUT, as presigned addresses expect; the server stores it whole or not at all.

        A PUT that is under way cannot be called back: `may_write` is asked before it begins.
        """
        if may_write is not None:
            may_write()
        with self._client.answer("PUT", location, {}, upload=path) as answer:
            check_status(answer)


@dataclass(frozen=True, slots=True)
class HttpSource:
    """One file on a web server."""

    location: Location
    client: HttpClient

    def version(self) -> SourceVersion:
        """The file's version, by a GET of the first byte: presigned addresses and some servers refuse HEAD."""
        with self.client.answer("GET", self.location, {"Range": "bytes=0-0"}) as answer:
            if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return SourceVersion(0, "", takes_ranges=False)
            _check_content(answer)
            validator = _validator(answer)
            if answer.status == HTTPStatus.PARTIAL_CONTENT:
                whole = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
                size_bytes = int(whole[1]) if whole else None
                return SourceVersion(size_bytes, validator, takes_ranges=bool(whole and validator))
            return SourceVersion(_length_bytes(answer), validator, takes_ranges=False)

    def blocks(self, version: SourceVersion, start: int, end: int | None) -> Iterator[bytes]:
        """Bytes `start` to `end` of this version: a server that has a newer one sends all of that instead."""
        whole = start == 0 and end is None
        headers = {} if whole else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        if not whole and version.validator:
            headers["If-Range"] = version.validator
        with self.client.answer("GET", self.location, headers) as answer:
            _check_content(answer)
            is_same = _is_whole(answer, version) if whole else _is_part(answer, start, version)
            if not is_same:
                raise SourceChangedError(f"{self.location.shown} changed while it was read", "try again")
            yield from answer.blocks()


def _is_whole(answer: HttpAnswer, version: SourceVersion) -> bool:
    return answer.status == HTTPStatus.OK and _validator(answer) == version.validator


def _is_part(answer: HttpAnswer, start: int, version: SourceVersion) -> bool:
    part = _PART.fullmatch(answer.headers.get("Content-Range", ""))
    is_partial = answer.status == HTTPStatus.PARTIAL_CONTENT
    return is_partial and part is not None and (int(part[1]), int(part[2])) == (start, version.size_bytes)


def _validator(answer: HttpAnswer) -> str:
    """The answer's validator for If-Range (RFC 9110, section 13.1.5): a strong tag, or else the date."""
    tag = str(answer.headers.get("ETag", ""))
    given = tag if tag.startswith('"') else str(answer.headers.get("Last-Modified", ""))
    return given if _VALIDATOR.fullmatch(given) else ""


def _length_bytes(answer: HttpAnswer) -> int | None:
    """The stated length; None where there is none. Two that differ, or no number, are an error (RFC 9112, 6.3)."""
    stated = {each.strip() for value in answer.headers.get_all("Content-Length", ()) for each in value.split(",")}
    if not stated:
        return None
    length = stated.pop()
    if stated or not re.fullmatch(_SIZE, length):
        raise StorageError(f"{answer.location.shown}: the server states no usable length", "check the address")
    return int(length)


def _check_content(answer: HttpAnswer) -> None:
    """Refuse an answer without the file's own bytes, which is what the request asks for."""
    check_status(answer)
    if answer.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        raise StorageError(f"{answer.location.shown}: the server answers {answer.status}", "check the address")
    _length_bytes(answer)
    for name in ("Content-Encoding", "Transfer-Encoding"):
        plain = {"Content-Encoding": "identity", "Transfer-Encoding": "chunked"}[name]
        for encoding in answer.headers.get_all(name, ()):
            if encoding.strip().lower() not in (plain, ""):
                shown = "".join(each for each in encoding[:40] if each.isprintable())
                message = f"{answer.location.shown} is sent with the encoding {shown!r}"
                raise StorageError(message, "let the server send media without an encoding")
