"""The secret that signs callbacks: made at the first start, and readable for this user only."""

import base64
import secrets
from pathlib import Path

_KEY_BYTES = 32


def kept_secret(path: Path) -> str:
    """The secret in the file `path`, in the form of Standard Webhooks; a missing one is made and written there."""
    if not path.exists() or not path.stat().st_size:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(f"whsec_{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}\n", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()
