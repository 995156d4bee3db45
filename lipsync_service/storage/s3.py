"""Objects in S3, on Amazon's or another server, through boto3. Its errors are translated here and nowhere else."""

import base64
import hashlib
import logging
import mimetypes
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    SSLError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from lipsync_core.errors import LipSyncError, TransientError
from lipsync_service.errors import (
    AccessDeniedError,
    ChecksumError,
    ObjectMissingError,
    StorageError,
    TooLargeError,
    UrlRefusedError,
)
from lipsync_service.settings import Settings
from lipsync_service.storage.s3_conditions import ConditionUnknownError, GuardedWrites
from lipsync_service.storage.source import BLOCK_BYTES, Digest, MayWrite, Sent, SourceChangedError, SourceVersion
from lipsync_service.storage.url import Location

_PART_BYTES = 8 << 20  # S3 takes parts from 5 MiB
_SHA256_KEY = "sha256"  # in an object's metadata, for the whole file: a multipart checksum covers only parts
_MD5_TAG = re.compile(r'"([0-9a-f]{32})"')  # the tag of an object that was stored in one part and without KMS
_MISSING = frozenset({"NoSuchKey", "NoSuchBucket", "NotFound"})
_DENIED = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestExpired"})
_BUSY = frozenset({"SlowDown", "RequestTimeout", "RequestTimeTooSkewed", "BadDigest", "OperationAborted"})
#: A server that died has forgotten an upload in parts, or another writer is at the same object: begin again.
_BEGIN_AGAIN = frozenset({"NoSuchUpload", "InvalidPart", "IncompleteBody", "ConditionalRequestConflict"})
_MAKING_A_CLIENT = threading.Lock()  # only one thread at a time may use a session; many may use a client
_UNREACHABLE = (HTTPClientError, BotoConnectionError, IncompleteReadError)


class S3Store:
    """s3://BUCKET/KEY on the server of the settings, with the key of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._client = s3_client(settings)
        weakref.finalize(self, self._client.close)  # otherwise idle connections stay open until the process ends
        self._writes = GuardedWrites(self._client)
        self._buckets = frozenset(settings.s3_buckets)
        self._transfer = TransferConfig(
            multipart_threshold=_PART_BYTES,
            multipart_chunksize=_PART_BYTES,
            max_concurrency=settings.download_connections,
        )

    def source(self, location: Location) -> "S3Source":
        """The object at `location`; raises UrlRefusedError if jobs may not use the bucket."""
        self._check_bucket(location)
        return S3Source(location, self._client)

    def exists(self, location: Location) -> bool:
        """Whether there is an object."""
        try:
            self.source(location).version()
        except ObjectMissingError:
            return False
        return True

    def check_target(self, location: Location) -> None:
        """Refuse a bucket that jobs may not use."""
        self._check_bucket(location)

    def discard(self, location: Location) -> None:
        """Remove the object, if there is one."""
        self._check_bucket(location)
        with s3_errors(location):
            self._client.delete_object(Bucket=location.host, Key=location.path)

    def put(self, path: Path, location: Location, sent: Sent, may_write: MayWrite | None = None) -> None:
        """Upload `path`, a large file in parts, each part with its sha256; then check the stored object.

        With `may_write` the upload replaces only the object that was there before it was asked.

        Raises:
            ChecksumError: the stored object differs from the file.
            StorageError, TransientError: as `Store.put`.
        """
        self._check_bucket(location)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        extra: dict[str, Any] = {"ChecksumAlgorithm": "SHA256", "Metadata": {_SHA256_KEY: sha256}}
        media_type, _ = mimetypes.guess_type(location.path)
        if media_type:  # a browser plays the result only with its type
            extra["ContentType"] = media_type
        with self._writes.guarded(location, may_write, self._tag), s3_errors(location):
            self._client.upload_file(
                str(path), location.host, location.path, ExtraArgs=extra, Callback=_adder(sent), Config=self._transfer
            )
        stored = S3Source(location, self._client).version()
        if stored.size_bytes != path.stat().st_size or Digest("sha256", sha256) not in stored.digests:
            raise ChecksumError(f"{location.shown} differs from the uploaded file", "another job may write there too")

    def _tag(self, location: Location) -> str:
        return S3Source(location, self._client).version().validator

    def _check_bucket(self, location: Location) -> None:
        if self._buckets and location.host not in self._buckets:
            message = f"the bucket {location.host} is none of those that jobs may use"
            raise UrlRefusedError(message, "use another bucket, or add this one to LIPSYNC_S3_BUCKETS")


@dataclass(frozen=True, slots=True)
class S3Source:
    """One object."""

    location: Location
    client: Any  # boto3 makes the classes of its clients at run time

    def version(self) -> SourceVersion:
        """The object's size, tag and checksums; its content is not read."""
        with s3_errors(self.location):
            head = self.client.head_object(Bucket=self.location.host, Key=self.location.path, ChecksumMode="ENABLED")
        size_bytes = int(head["ContentLength"])
        return SourceVersion(size_bytes, str(head["ETag"]), takes_ranges=True, digests=_digests(head))

    def blocks(self, version: SourceVersion, start: int, end: int | None) -> Iterator[bytes]:
        """Bytes `start` to `end` of this version."""
        last = "" if end is None else str(end - 1)
        with s3_errors(self.location):
            answer = self.client.get_object(
                Bucket=self.location.host,
                Key=self.location.path,
                Range=f"bytes={start}-{last}",
                IfMatch=version.validator,
            )
        with closing(answer["Body"]) as body:
            while True:
                with s3_errors(self.location):
                    block = body.read(BLOCK_BYTES)
                if not block:
                    return
                yield block


@contextmanager
def s3_errors(location: Location) -> Iterator[None]:
    """Translate the errors of boto3 in the block.

    Raises:
        StorageError: the class of it that fits the server's answer.
        TransientError: a failure that may pass.
    """
    try:
        yield
    except S3UploadFailedError as exc:
        cause = exc.__context__  # boto3 keeps the server's answer only there
        raise _refusal(location, cause if isinstance(cause, ClientError) else None) from exc
    except ClientError as exc:
        raise _refusal(location, exc) from exc
    except BotoCoreError as exc:
        raise _failure(location, exc) from exc


def preload() -> None:
    """Read and parse the service description that every client needs (200 ms), for a process that forks others."""
    dummy_keys = {"aws_access_key_id": "-", "aws_secret_access_key": "-"}  # without keys it would search the network
    _session().client("s3", region_name="us-east-1", **dummy_keys).close()


@cache
def _session() -> Any:
    """The process's only session, which keeps the parsed service description for all clients."""
    return boto3.session.Session()


def s3_client(settings: Settings) -> Any:
    """A client of the storage's server, with the address and keys of the settings. Threads may share it."""
    # At its debug level botocore logs signed headers and session tokens; no log may hold them.
    logging.getLogger("botocore").setLevel(logging.INFO)
    keys = (settings.s3_access_key, settings.s3_secret_key)
    access_key, secret_key = (None if key is None else key.get_secret_value() for key in keys)
    config = Config(
        signature_version="s3v4",
        retries={"mode": "standard", "max_attempts": 4},
        max_pool_connections=2 * settings.download_connections,
        connect_timeout=10,
        read_timeout=30,
        s3={"addressing_style": "path" if settings.s3_endpoint else "auto"},
    )
    with _MAKING_A_CLIENT:
        return _session().client(
            "s3",
            endpoint_url=settings.s3_endpoint,
            region_name=settings.s3_region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=config,
        )


def _adder(sent: Sent) -> Callable[[int], None]:
    """A callback for boto3, which calls it from several threads with the byte count of each piece."""
    lock = threading.Lock()
    total_bytes = 0

    def add(piece_bytes: int) -> None:
        """Add the piece and report the sum."""
        nonlocal total_bytes
        with lock:
            total_bytes += piece_bytes
            sent(total_bytes)

    return add


def _digests(head: Mapping[str, Any]) -> tuple[Digest, ...]:
    """The known checksums of the whole object: the uploader's sha256, the server's, or the tag if it is an MD5."""
    noted = str(head.get("Metadata", {}).get(_SHA256_KEY, ""))
    found = [Digest("sha256", noted)] if re.fullmatch(r"[0-9a-f]{64}", noted) else []
    checksum = str(head.get("ChecksumSHA256", ""))
    if checksum and "-" not in checksum and head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
        found.append(Digest("sha256", base64.b64decode(checksum).hex()))
    tag = _MD5_TAG.fullmatch(str(head["ETag"]))
    is_plain = head.get("ServerSideEncryption") in (None, "AES256") and "SSECustomerAlgorithm" not in head
    if not found and tag and is_plain:
        found.append(Digest("md5", tag[1]))
    return tuple(dict.fromkeys(found))


def _refusal(location: Location, exc: ClientError | None) -> LipSyncError:
    """The error for the server's answer; the server's message may repeat keys, so only its code is shown."""
    if exc is None:
        return TransientError(f"{location.shown}: the upload failed", "try again later")
    code = str(exc.response.get("Error", {}).get("Code", ""))
    status = int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = f"{location.shown}: the S3 server answers {code or status}"
    if code == "NotImplemented":
        return ConditionUnknownError(said, "use a server that can do this")
    if (
        code in _BUSY | _BEGIN_AGAIN
        or status in (0, HTTPStatus.TOO_MANY_REQUESTS)
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    ):
        return TransientError(said, "try again later")
    if code in _DENIED or status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return AccessDeniedError(said, "check the key and its permissions")
    if status == HTTPStatus.PRECONDITION_FAILED:
        return SourceChangedError(f"{location.shown} changed while it was read", "try again")
    if code in _MISSING or status == HTTPStatus.NOT_FOUND:
        return ObjectMissingError(said, "check the bucket and the key")
    if code == "EntityTooLarge":
        return TooLargeError(said, "the server takes smaller files only")
    return StorageError(said, "check the address")


def _failure(location: Location, exc: BotoCoreError) -> LipSyncError:
    if isinstance(exc, NoCredentialsError | PartialCredentialsError):
        message = f"{location.shown}: there is no key for the S3 server"
        return AccessDeniedError(message, "set LIPSYNC_S3_ACCESS_KEY and LIPSYNC_S3_SECRET_KEY")
    if isinstance(exc, ParamValidationError):
        return UrlRefusedError(f"{location.shown} is not the name of an object", "write s3://BUCKET/KEY")
    if isinstance(exc, FlexibleChecksumError):
        return TransientError(f"{location.shown} was damaged on its way", "try again")
    if isinstance(exc, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(exc):
        message = f"{location.shown}: the S3 server's certificate is not trusted here"
        return StorageError(message, "if a private authority signs it, name that authority's file in AWS_CA_BUNDLE")
    if isinstance(exc, _UNREACHABLE):
        message = f"{location.shown}: the S3 server cannot be reached ({type(exc).__name__})"
        return TransientError(message, "try again later")
    return StorageError(f"{location.shown}: the S3 client failed ({type(exc).__name__})", "check the settings")
