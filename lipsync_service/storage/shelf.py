"""The service's own storage: what lies there, how old it is, and its removal. S3 and folders implement it."""

import os
import secrets
import weakref
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from lipsync_core.media.output import output_errors
from lipsync_service.errors import ObjectMissingError, StorageError
from lipsync_service.settings import Settings
from lipsync_service.storage.url import parse_url

_AT_ONCE = 1000  # the most objects that S3 removes in one request
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class KeptObject:
    """One object of the storage."""

    name: str  # below the storage's address, such as tracks/ab12.npz
    size_bytes: int
    changed_at: datetime  # by the clock of the storage


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload that was begun and neither completed nor aborted. Its parts take room, and no list shows them."""

    name: str
    id: str
    size_bytes: int  # 0 where the server does not say
    begun_at: datetime


class Shelf(Protocol):
    """The objects below the storage's address, by name.

    Every call raises StorageError where the server refuses, and TransientError where it does not answer.
    """

    def objects(self, folder: str = "") -> Iterator[KeptObject]:
        """All objects below `folder`, or all of the storage, in no order."""

    def find(self, name: str) -> KeptObject | None:
        """The object, if there is one."""

    def read(self, name: str) -> bytes | None:
        """The content of a small object, if there is one."""

    def write(self, name: str, content: bytes) -> None:
        """Put a small object, whole or not at all."""

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects; those that are gone are no failure."""

    def unfinished(self) -> Iterator[Unfinished]:
        """The uploads below the storage's address that have not ended."""

    def abort(self, upload: Unfinished) -> None:
        """Give up an upload and remove what it has sent; one that has ended is no failure."""


def shelf_of(settings: Settings) -> Shelf:
    """The shelf of the settings' storage. Threads may share it."""
    location = parse_url(f"{settings.storage_url}/contents")
    if location.scheme == "file":
        return FolderShelf(Path(location.path).parent)
    from lipsync_service.storage.s3 import s3_client  # boto3 imports slowly

    return S3Shelf(s3_client(settings), location.host, location.path.removesuffix("contents"))


class S3Shelf:
    """Objects of a bucket, below a prefix that is empty or ends in a slash. It closes the client at its own end."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        weakref.finalize(self, client.close)
        self._bucket = bucket
        self._prefix = prefix

    def objects(self, folder: str = "") -> Iterator[KeptObject]:
        """See `Shelf`."""
        pages = self._client.get_paginator("list_objects_v2")
        prefix = f"{self._prefix}{folder}/" if folder else self._prefix
        with self._errors("*"):
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                for each in page.get("Contents", ()):
                    name = each["Key"].removeprefix(self._prefix)
                    if not name.endswith("/"):  # some servers list folders
                        yield KeptObject(name, int(each["Size"]), each["LastModified"])

    def find(self, name: str) -> KeptObject | None:
        """See `Shelf`."""
        with suppress(ObjectMissingError), self._errors(name):
            head = self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
            return KeptObject(name, int(head["ContentLength"]), head["LastModified"])
        return None

    def read(self, name: str) -> bytes | None:
        """See `Shelf`."""
        with suppress(ObjectMissingError), self._errors(name):
            body = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"]
            with closing(body):
                return bytes(body.read())
        return None

    def write(self, name: str, content: bytes) -> None:
        """See `Shelf`."""
        with self._errors(name):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content)

    def remove(self, names: Sequence[str]) -> None:
        """See `Shelf`."""
        for start in range(0, len(names), _AT_ONCE):
            keys = [{"Key": self._prefix + name} for name in names[start : start + _AT_ONCE]]
            with self._errors(names[start]):
                answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": keys, "Quiet": True})
            for error in answer.get("Errors", ()):
                if error.get("Code") != "NoSuchKey":
                    message = f"s3://{self._bucket}/{error.get('Key')}: the S3 server answers {error.get('Code')}"
                    raise StorageError(message, "let the service's key remove objects")

    def unfinished(self) -> Iterator[Unfinished]:
        """See `Shelf`."""
        pages = self._client.get_paginator("list_multipart_uploads")
        with self._errors("*"):
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                for each in page.get("Uploads", ()):
                    if each["Key"].startswith(self._prefix):
                        name = each["Key"].removeprefix(self._prefix)
                        yield Unfinished(name, each["UploadId"], self._sent_bytes(each), each["Initiated"])

    def abort(self, upload: Unfinished) -> None:
        """See `Shelf`."""
        key = self._prefix + upload.name
        with suppress(ObjectMissingError), self._errors(upload.name):
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload.id)

    def _sent_bytes(self, upload: dict[str, Any]) -> int:
        pages = self._client.get_paginator("list_parts")
        with suppress(ObjectMissingError), self._errors(upload["Key"]):  # it may have ended just now
            parts = pages.paginate(Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            return sum(int(part["Size"]) for page in parts for part in page.get("Parts", ()))
        return 0

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        from lipsync_service.storage.s3 import s3_errors

        with s3_errors(parse_url(f"s3://{self._bucket}/{self._prefix}{name}")):
            yield


class FolderShelf:
    """Files below a folder of this machine; links are neither followed nor removed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def objects(self, folder: str = "") -> Iterator[KeptObject]:
        """See `Shelf`."""
        for path, status in self._files(self._root / folder):
            if not path.name.endswith(_PARTIAL):
                yield KeptObject(self._name(path), status.st_size, _moment(status))

    def find(self, name: str) -> KeptObject | None:
        """See `Shelf`."""
        with suppress(FileNotFoundError, NotADirectoryError), self._errors(name):
            status = (self._root / name).lstat()
            return KeptObject(name, status.st_size, _moment(status))
        return None

    def read(self, name: str) -> bytes | None:
        """See `Shelf`."""
        with suppress(FileNotFoundError, NotADirectoryError), self._errors(name):
            return (self._root / name).read_bytes()
        return None

    def write(self, name: str, content: bytes) -> None:
        """See `Shelf`."""
        path = self._root / name
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{secrets.token_hex(8)}{_PARTIAL}")  # as `FileStore` names them
            partial.write_bytes(content)
            partial.replace(path)

    def remove(self, names: Sequence[str]) -> None:
        """See `Shelf`. Folders that become empty stay: a job may be about to write there."""
        for name in names:
            with suppress(FileNotFoundError), self._errors(name):
                (self._root / name).unlink()

    def unfinished(self) -> Iterator[Unfinished]:
        """See `Shelf`: the hidden files of `FileStore.put` whose process has died."""
        for path, status in self._files(self._root):
            if path.name.startswith(".") and path.name.endswith(_PARTIAL):
                yield Unfinished(self._name(path), "", status.st_size, _moment(status))

    def abort(self, upload: Unfinished) -> None:
        """See `Shelf`."""
        self.remove([upload.name])

    def _files(self, folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
        for parent, _, names in os.walk(folder):  # follows no links
            for name in names:
                path = Path(parent, name)
                with suppress(FileNotFoundError):  # it went just now
                    status = path.lstat()
                    if path.is_file() and not path.is_symlink():
                        yield path, status

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as exc:
            raise StorageError(f"{self._root / name}: {exc.strerror}", "check its permissions") from exc


def _moment(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)
