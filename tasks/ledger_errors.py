"""What the ledger refuses. A database that is down is no error here: rows wait in the spool.

LipSyncError
├── OptionError                   exit 2   BAD_OPTION
│   └── IdempotencyConflictError           IDEMPOTENCY_CONFLICT
└── TransientError                exit 75  TRANSIENT
    └── LedgerUnavailableError             LEDGER_UNAVAILABLE    (reading only)
"""

from lipsync_core.errors import OptionError, TransientError


class IdempotencyConflictError(OptionError):
    """The idempotency key belongs to a job with another request."""

    code = "IDEMPOTENCY_CONFLICT"


class LedgerUnavailableError(TransientError):
    """The database does not answer a question; rows to be written wait in the spool meanwhile."""

    code = "LEDGER_UNAVAILABLE"
