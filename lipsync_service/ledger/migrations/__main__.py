"""Bring the ledger to the present schema: `python -m lipsync_service.ledger.migrations [URL]`.

Without URL it is the ledger at LIPSYNC_DATABASE_URL.

Several hosts may run it at once, and again at every start: a ledger that is up to date stays as it is.
"""

import sys

from lipsync_core.errors import LipSyncError
from lipsync_service.ledger.database import upgrade
from lipsync_service.settings import load_settings


def main(arguments: list[str]) -> str | None:
    """Migrate, and return the failure in one line, or None."""
    if len(arguments) > 1:
        return "usage: python -m lipsync_service.ledger.migrations [URL]"
    try:
        upgrade(arguments[0] if arguments else load_settings().database_url.get_secret_value())
    except LipSyncError as exc:
        return f"error {exc.code}: {exc}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
