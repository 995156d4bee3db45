"""The errors of the service, beside those of `lipsync_core.errors`.

    LipSyncError
    ├── StorageError                  exit 7   STORAGE_FAILED
    │   ├── UrlRefusedError                    URL_REFUSED
    │   ├── ObjectMissingError                 NOT_FOUND
    │   ├── AccessDeniedError                  ACCESS_DENIED
    │   ├── TooSlowError                       LIMIT_TRANSFER_TIME
    │   └── ChecksumError                      CHECKSUM_MISMATCH
    ├── JobCrashedError               exit 8   JOB_CRASHED
    │   ├── GpuRunError                        GPU_RUN_FAILED
    │   ├── JobTimedOutError                   JOB_TIMED_OUT
    │   ├── PoisonJobError                     POISON
    │   └── SupersededError                    SUPERSEDED
    ├── JobCancelledError             exit 9   JOB_CANCELLED
    ├── BatchIncompleteError          exit 10  BATCH_INCOMPLETE
    ├── OptionError                   exit 2   BAD_OPTION
    │   ├── IdempotencyConflictError           IDEMPOTENCY_CONFLICT
    │   ├── JobMissingError                    JOB_NOT_FOUND
    │   └── JobStateError                      JOB_STATE_REFUSED
    └── TransientError                exit 75  TRANSIENT
        ├── LedgerUnavailableError             LEDGER_UNAVAILABLE   (on reading; rows to write wait in the spool)
        └── ServiceDownError                   SERVICE_UNAVAILABLE

A server that is busy or a connection that breaks is a `lipsync_core.errors.TransientError`. No message holds a
password, a key or the query of an address: presigned addresses keep their signature there.
"""

from lipsync_core.errors import LipSyncError, OptionError, TransientError
from lipsync_core.limit_errors import BytesLimitError

#: The file has more bytes than this service takes: the limit of the core under the name that the storage uses.
TooLargeError = BytesLimitError


class StorageError(LipSyncError):
    """A file could not be fetched or stored, and another try will not help."""

    code = "STORAGE_FAILED"
    exit_status = 7


class UrlRefusedError(StorageError):
    """The address is malformed, or this service must not open it."""

    code = "URL_REFUSED"


class ObjectMissingError(StorageError):
    """There is nothing at the address."""

    code = "NOT_FOUND"


class AccessDeniedError(StorageError):
    """The server refuses the credentials, or a presigned address has expired."""

    code = "ACCESS_DENIED"


class TooSlowError(StorageError):
    """A server takes longer for a file than this service waits, however often it sends a byte."""

    code = "LIMIT_TRANSFER_TIME"


class ChecksumError(StorageError):
    """The fetched bytes are not the stored ones, and the network is not the cause."""

    code = "CHECKSUM_MISMATCH"


class JobCrashedError(LipSyncError):
    """The job's process or its worker vanished before the job could report its end."""

    code = "JOB_CRASHED"
    exit_status = 8


class GpuRunError(JobCrashedError):
    """The job's part on the GPU pool ended without a handover: its worker died, or it was cancelled or timed out."""

    code = "GPU_RUN_FAILED"


class JobTimedOutError(JobCrashedError):
    """The job, or one of its stages, reached its time limit."""

    code = "JOB_TIMED_OUT"


class PoisonJobError(JobCrashedError):
    """The job's process, or its worker, vanished each time that the job was at work: it is not started again."""

    code = "POISON"


class SupersededError(JobCrashedError):
    """This attempt no longer has its job: another one has begun, or the job has ended. It must change nothing."""

    code = "SUPERSEDED"


class JobCancelledError(LipSyncError):
    """The job was cancelled."""

    code = "JOB_CANCELLED"
    exit_status = 9


class BatchIncompleteError(LipSyncError):
    """Some rows of a manifest have no output."""

    code = "BATCH_INCOMPLETE"
    exit_status = 10


class IdempotencyConflictError(OptionError):
    """The idempotency key belongs to a job with another request."""

    code = "IDEMPOTENCY_CONFLICT"


class JobMissingError(OptionError):
    """The service has no such job."""

    code = "JOB_NOT_FOUND"


class JobStateError(OptionError):
    """The state of the job forbids the call."""

    code = "JOB_STATE_REFUSED"


class LedgerUnavailableError(TransientError):
    """The ledger's database cannot be read; rows to be written wait in the spool."""

    code = "LEDGER_UNAVAILABLE"


class ServiceDownError(TransientError):
    """The service's API does not answer."""

    code = "SERVICE_UNAVAILABLE"
