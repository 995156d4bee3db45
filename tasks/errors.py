"""What can go wrong between a job and the places that its files come from and go to.

    LipSyncError
    ├── StorageError                  exit 7   STORAGE_FAILED
    │   ├── UrlRefusedError                    URL_REFUSED
    │   ├── ObjectMissingError                 NOT_FOUND
    │   ├── AccessDeniedError                  ACCESS_DENIED
    │   ├── TooLargeError                      TOO_LARGE
    │   ├── TooLongError                       TOO_LONG
    │   └── ChecksumError                      CHECKSUM_MISMATCH
    ├── OptionError                   exit 2   BAD_OPTION
    │   └── JobMissingError                    JOB_NOT_FOUND
    └── TransientError                exit 75  TRANSIENT
        └── ServiceDownError                   SERVICE_UNAVAILABLE

What may pass (a server that is busy, a connection that breaks) is `lipsync_core.errors.TransientError`. No message of
either holds a password, a key or the query of an address, where presigned addresses keep their signature.
"""

from lipsync_core.errors import LipSyncError, OptionError, TransientError


class StorageError(LipSyncError):
    """A file could not be brought or taken away, and trying again will not help."""

    code = "STORAGE_FAILED"
    exit_status = 7


class UrlRefusedError(StorageError):
    """The address is malformed, or this service must not open it."""

    code = "URL_REFUSED"


class ObjectMissingError(StorageError):
    """There is nothing at the address."""

    code = "NOT_FOUND"


class AccessDeniedError(StorageError):
    """The server wants other credentials, or a presigned address has expired."""

    code = "ACCESS_DENIED"


class TooLargeError(StorageError):
    """The file has more bytes than this service takes."""

    code = "TOO_LARGE"


class TooLongError(StorageError):
    """The file plays longer than this service takes."""

    code = "TOO_LONG"


class ChecksumError(StorageError):
    """What came is not what its owner stored, and not by chance of the network."""

    code = "CHECKSUM_MISMATCH"


class JobMissingError(OptionError):
    """The service has no such job."""

    code = "JOB_NOT_FOUND"


class ServiceDownError(TransientError):
    """The service's API does not answer."""

    code = "SERVICE_UNAVAILABLE"
