"""The secret of `make up`: made once, readable for this user only, and in the form of Standard Webhooks."""

import base64
import stat
from pathlib import Path

from infra.local.secret import kept_secret


def test_the_secret_is_made_once_and_nobody_else_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "callback-secret"
    secret = kept_secret(path)
    assert kept_secret(path) == secret
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept_secret(tmp_path / "other") != secret


def test_a_secret_is_made_anew_when_the_file_was_left_empty(tmp_path: Path) -> None:
    path = tmp_path / "callback-secret"
    path.touch()
    assert kept_secret(path).startswith("whsec_")
