"""Downloads one file, resuming after each broken connection, and accepts only the registered bytes."""

import http.client
import logging
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.request import OpenerDirector

from lipsync_core.errors import DiskFullError, ModelCorruptError, TransientError
from lipsync_core.models.content import check_content, is_web_page
from lipsync_core.models.https import content_blocks, first_bytes, https_opener, https_response
from lipsync_core.models.partial import PartialFile
from lipsync_core.report import Progress, ProgressCallback

#: Pauses between attempts that bring no data; an attempt that brings data starts the count again.
PAUSES_S = (1.0, 2.0, 4.0, 8.0)
TIMEOUT_S = 30.0  # without a byte from the server

_WEB_PAGES = ("text/html", "application/xhtml+xml")
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")  # RFC 9110, section 14.4
_WRONG_FILE = "the publisher may have changed it: import a file that you have: lipsync models import PATH --as NAME"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on the network, and the only content that is accepted for it."""

    url: str
    sha256: str  # 64 lower-case hex digits
    size_bytes: int


class Downloader:
    """Fetches files over https with the user's proxy settings; see `fetch`."""

    def __init__(self, pauses_s: Sequence[float] = PAUSES_S, timeout_s: float = TIMEOUT_S) -> None:
        self._pauses_s = tuple(pauses_s)
        self._timeout_s = timeout_s

    def fetch(self, file: RemoteFile, target: Path, progress: ProgressCallback) -> None:
        """Put the file at `target`, whole and checked, or keep the received part in `target`.partial for the next call.

        A target with the right content is kept. Only one caller at a time may fetch the same target.
        Progress counts bytes, including those of earlier attempts.

        Raises:
            TransientError: the network failed once more often than there are pauses.
            ModelCorruptError: the server offers another file, or the download does not have the registered sha256.
            ModelError: the address is not https or leads away from it, the server refuses, or the folder cannot be
                written.
            DiskFullError: there is no room, or will not be.
        """
        if target.exists() and target.stat().st_size == file.size_bytes:
            try:
                check_content(target, file.sha256, file.size_bytes, "")
            except ModelCorruptError:
                _logger.info("%s does not have the registered sha256; fetching it again", target)
            else:
                return
        partial = PartialFile(target)
        if partial.size_bytes > file.size_bytes:
            partial.discard()
        self._complete(file, partial, progress)
        try:
            check_content(partial.path, file.sha256, file.size_bytes, _WRONG_FILE)
        except ModelCorruptError:
            partial.discard()  # the wrong part of it cannot be told
            raise
        partial.finish()

    def _complete(self, file: RemoteFile, partial: PartialFile, progress: ProgressCallback) -> None:
        opener = https_opener()
        best_bytes, failures = partial.size_bytes, 0
        while partial.size_bytes < file.size_bytes:
            try:
                self._attempt(opener, file, partial, progress)
            except TransientError as exc:
                failures = 0 if partial.size_bytes > best_bytes else failures + 1
                best_bytes = max(best_bytes, partial.size_bytes)
                if failures > len(self._pauses_s):
                    raise
                _logger.info("trying again: %s", exc)
                time.sleep(self._pauses_s[max(0, failures - 1)] if self._pauses_s else 0.0)

    def _attempt(
        self, opener: OpenerDirector, file: RemoteFile, partial: PartialFile, progress: ProgressCallback
    ) -> None:
        """Download as much as one connection delivers."""
        headers = _range_headers(partial)
        with https_response(opener, file.url, headers, self._timeout_s) as response:
            if not _continues(response, file, partial):
                _check_offer(response, file)
                _check_room(partial.path, file.size_bytes)
                partial.begin(_strong_etag(response))
            blocks = content_blocks(response, file.url, file.size_bytes - partial.size_bytes)
            progress(Progress("download", partial.size_bytes, file.size_bytes))
            for done_bytes in partial.append(blocks):
                progress(Progress("download", done_bytes, file.size_bytes))
        if partial.size_bytes < file.size_bytes:
            have = f"{partial.size_bytes} of {file.size_bytes} bytes"
            raise TransientError(f"{file.url}: the connection ended after {have}", "run the command again: it goes on")


def _range_headers(partial: PartialFile) -> dict[str, str]:
    """Ask for the missing rest, or for the whole file if the server has another version by now."""
    if partial.size_bytes == 0:
        return {}
    headers = {"Range": f"bytes={partial.size_bytes}-"}
    return {**headers, "If-Range": partial.etag} if partial.etag else headers


def _continues(response: http.client.HTTPResponse, file: RemoteFile, partial: PartialFile) -> bool:
    """Whether the response continues where the partial file ends; False if it is the whole file.

    Raises:
        TransientError: it is neither; the partial file is discarded, so that the next attempt asks for everything.
    """
    if response.status == HTTPStatus.OK:
        return False
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status == HTTPStatus.PARTIAL_CONTENT and found:
        is_same_file = found[2] in ("*", str(file.size_bytes))
        if is_same_file and int(found[1]) == partial.size_bytes > 0:
            return True
    partial.discard()
    raise TransientError(f"{file.url}: the server gave another part than asked for", "run the command again")


def _check_offer(response: http.client.HTTPResponse, file: RemoteFile) -> None:
    """Refuse a response that cannot be the file, before a byte is stored."""
    if response.headers.get_content_type() in _WEB_PAGES or is_web_page(first_bytes(response, file.url)):
        raise ModelCorruptError(
            f"{file.url} is an HTML page, not a model", "a login or a notice may stand in the way: open it in a browser"
        )
    offered_bytes = response.headers.get("Content-Length")
    if offered_bytes is not None and offered_bytes != str(file.size_bytes):
        message = f"{file.url} has {offered_bytes} bytes, not the registered {file.size_bytes}"
        raise ModelCorruptError(message, _WRONG_FILE)


def _check_room(path: Path, size_bytes: int) -> None:
    folder = next(each for each in path.absolute().parents if each.exists())
    free_bytes = shutil.disk_usage(folder).free + (path.stat().st_size if path.exists() else 0)
    if free_bytes < size_bytes:
        message = f"{folder} has room for {free_bytes} bytes, and the download has {size_bytes}"
        raise DiskFullError(message, "free some space, or choose another folder with --home")


def _strong_etag(response: http.client.HTTPResponse) -> str:
    """The version's tag if If-Range may name it, else "" (RFC 9110, section 13.1.5)."""
    etag = str(response.headers.get("ETag", ""))
    return etag if etag.startswith('"') else ""
