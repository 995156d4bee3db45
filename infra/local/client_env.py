"""The variables for callers of the local stack and for its operator, in files that only this user may read."""

import os
from pathlib import Path

from infra.local.instructions import CallerFiles
from infra.local.layout import Layout
from infra.local.objects import read_keys
from lipsync_service.settings import Settings

#: By default `lipsync` looks for these files in `.lipsync`, below the folder in which it is called.
FILE_NAME = "service.env"
LEDGER_FILE_NAME = "ledger.env"
#: The password of Prefect's server as curl's option -K reads it: a password on a command line can be read by all users.
CURL_FILE_NAME = "curl.conf"


def write_caller_files(layout: Layout, settings: Settings) -> CallerFiles:
    """Write the files of callers; they need no ledger, so its database is in none. The password is LIPSYNC_API_AUTH."""
    auth = settings.api_auth.get_secret_value() if settings.api_auth else None
    client_env = _write_client_env(layout, auth)
    curl = layout.root / CURL_FILE_NAME
    curl.unlink(missing_ok=True)
    if auth is None:
        return CallerFiles(client_env, None)
    escaped = auth.replace("\\", "\\\\").replace('"', '\\"')
    return CallerFiles(client_env, _write(curl, {"user": f'"{escaped}"'}))


def _write_client_env(layout: Layout, auth: str | None) -> Path:
    keys = read_keys(layout.s3_keys)
    variables = {
        "LIPSYNC_API_URL": layout.api_url,
        "LIPSYNC_STORAGE_URL": layout.storage_url,
        "LIPSYNC_S3_ENDPOINT": layout.s3_url,
        "LIPSYNC_S3_ACCESS_KEY": keys.access_key,
        "LIPSYNC_S3_SECRET_KEY": keys.secret_key,
        **({"LIPSYNC_API_AUTH": _quoted(auth)} if auth else {}),
    }
    return _write(layout.root / FILE_NAME, variables)


def write_ledger_env(layout: Layout, database_url: str) -> Path:
    """Write the file with the variable that `lipsync report` needs, and return its path."""
    return _write(layout.root / LEDGER_FILE_NAME, {"LIPSYNC_DATABASE_URL": database_url})


def _write(path: Path, variables: dict[str, str]) -> Path:
    """Write the file, which appears in one step."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.writelines(f"{name}={value}\n" for name, value in variables.items())
    return partial.replace(path)


def _quoted(value: str) -> str:
    """The value as a line of the file keeps it, whatever characters it has."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
