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

_RANGE = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")  # RFC 9110, section 14.4; the last number is the whole size
_PART = re.compile(r"bytes (\d+)-(\d+)/\d+")


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
            check_status(answer)
            _check_encoding(answer)
            validator = _validator(answer)
            if answer.status == HTTPStatus.PARTIAL_CONTENT:
                whole = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
                size_bytes = int(whole[1]) if whole else None
                return SourceVersion(size_bytes, validator, takes_ranges=bool(whole and validator))
            length = answer.headers.get("Content-Length", "")
            return SourceVersion(int(length) if length.isdecimal() else None, validator, takes_ranges=False)

    def blocks(self, version: SourceVersion, start: int, end: int | None) -> Iterator[bytes]:
        """Bytes `start` to `end` of this version: a server that has a newer one sends all of that instead."""
        whole = start == 0 and end is None
        headers = {} if whole else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        if not whole and version.validator:
            headers["If-Range"] = version.validator
        with self.client.answer("GET", self.location, headers) as answer:
            check_status(answer)
            is_same = _validator(answer) == version.validator if whole else _is_part(answer, start)
            if not is_same:
                raise SourceChangedError(f"{self.location.shown} changed while it was read", "try again")
            yield from answer.blocks()


def _is_part(answer: HttpAnswer, start: int) -> bool:
    part = _PART.fullmatch(answer.headers.get("Content-Range", ""))
    return answer.status == HTTPStatus.PARTIAL_CONTENT and part is not None and int(part[1]) == start


def _validator(answer: HttpAnswer) -> str:
    """The answer's validator for If-Range (RFC 9110, section 13.1.5): a strong tag, or else the date."""
    tag = str(answer.headers.get("ETag", ""))
    return tag if tag.startswith('"') else str(answer.headers.get("Last-Modified", ""))


def _check_encoding(answer: HttpAnswer) -> None:
    """Refuse an encoded answer: the request asks for the file's own bytes."""
    encoding = str(answer.headers.get("Content-Encoding", "identity"))
    if encoding != "identity":
        message = f"{answer.location.shown} is sent with the encoding {encoding!r}"
        raise StorageError(message, "let the server send media without an encoding")
