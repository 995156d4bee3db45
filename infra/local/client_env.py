"""What callers of the local stack need to know, and what its operator does, in files that only this user may read."""

import os
from pathlib import Path

from infra.local.layout import Layout
from infra.local.objects import read_keys

#: Where `lipsync` looks for them by default, below the folder that it is called in.
FILE_NAME = "service.env"
LEDGER_FILE_NAME = "ledger.env"


def write_client_env(layout: Layout) -> Path:
    """Write the file and return where it is. The ledger's database is none of a caller's business."""
    keys = read_keys(layout.s3_keys)
    variables = {
        "LIPSYNC_API_URL": layout.api_url,
        "LIPSYNC_STORAGE_URL": layout.storage_url,
        "LIPSYNC_S3_ENDPOINT": layout.s3_url,
        "LIPSYNC_S3_ACCESS_KEY": keys.access_key,
        "LIPSYNC_S3_SECRET_KEY": keys.secret_key,
    }
    return _write(layout.root / FILE_NAME, variables)


def write_ledger_env(layout: Layout, database_url: str) -> Path:
    """Write what `lipsync report` needs to know and return where it is."""
    return _write(layout.root / LEDGER_FILE_NAME, {"LIPSYNC_DATABASE_URL": database_url})


def _write(path: Path, variables: dict[str, str]) -> Path:
    """In one step."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.writelines(f"{name}={value}\n" for name, value in variables.items())
    return partial.replace(path)
