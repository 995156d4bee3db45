"""Who signs: the operator's key of any kind, from a file, a text or a token; or a certificate made here."""

import os
import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from lipsync_core.errors import SigningSetupError
from lipsync_core.provenance import self_made
from lipsync_core.provenance.credential import open_credential
from lipsync_core.provenance.settings import SigningSettings
from tests.provenance.certificates import ORGANISATION, issue

_SOFTHSM = next(
    (path for path in Path("/usr/lib").glob("**/softhsm/libsofthsm2.so") if shutil.which("softhsm2-util")), None
)
_PIN = "4321"


def test_the_self_made_certificate_is_made_once_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: open_credential(SigningSettings(), tmp_path / "signing"), range(8)))
    assert len({each.chain_pem for each in made}) == 1
    assert made[0].is_self_made
    [file] = (tmp_path / "signing").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_self_made_certificate_that_runs_out_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(self_made, "_VALID", timedelta(days=20))
        first = open_credential(SigningSettings(), tmp_path)
    second = open_credential(SigningSettings(), tmp_path)
    assert second.chain_pem != first.chain_pem
    assert open_credential(SigningSettings(), tmp_path).chain_pem == second.chain_pem


def test_a_certificate_that_cannot_be_kept_signs_all_the_same(tmp_path: Path) -> None:
    """As in a container whose root is read-only."""
    (tmp_path / "file").touch()
    opened = [open_credential(SigningSettings(), tmp_path / "file" / "signing") for _ in range(2)]
    assert all(each.is_self_made for each in opened)
    assert opened[0].chain_pem != opened[1].chain_pem


def test_a_self_made_certificate_that_is_damaged_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "self-made.pem").write_text("nothing")
    with pytest.raises(SigningSetupError, match="is no certificate; remove it"):
        open_credential(SigningSettings(), tmp_path)


def test_a_key_may_be_the_text_itself(tmp_path: Path) -> None:
    issued = issue(tmp_path)
    opened = open_credential(replace(issued.settings, key=issued.key.read_text()), tmp_path)
    assert (opened.subject, opened.is_self_made) == (f"{ORGANISATION}, signer", False)


def _encrypted(key: Path) -> None:
    secret = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")))


def test_a_credential_fails_in_one_line_that_repeats_no_key(tmp_path: Path) -> None:
    good, other = issue(tmp_path / "good"), issue(tmp_path / "other")
    curve, locked = issue(tmp_path / "curve", "secp256k1"), issue(tmp_path / "locked")
    _encrypted(locked.key)
    secret = good.key.read_text().splitlines()[1]
    os.mkfifo(tmp_path / "pipe")
    faults = {
        "the key of the signing credential is missing": SigningSettings(good.certificate),
        "the certificate of the signing credential is missing": SigningSettings(key=str(good.key)),
        "the signing certificate cannot be read": SigningSettings(tmp_path / "none.pem", str(good.key)),
        "the signing key cannot be read": SigningSettings(good.certificate, str(tmp_path / "none.pem")),
        "certificate cannot be read: it is not a regular file": SigningSettings(Path("/dev/zero"), str(good.key)),
        "key cannot be read: it is not a regular file": SigningSettings(good.certificate, str(tmp_path / "pipe")),
        "the signing certificate is no PEM certificate": SigningSettings(good.key, str(good.key)),
        "the signing key is no PEM key": SigningSettings(good.certificate, f"-----BEGIN PRIVATE KEY-----\n{secret}"),
        "the signing key is no PEM key that can be used": locked.settings,
        "the signing key is not that of the first certificate": SigningSettings(good.certificate, str(other.key)),
        "has a key of a kind that content credentials do not take": curve.settings,
    }
    for message, settings in faults.items():
        with pytest.raises(SigningSetupError, match=message) as caught:
            open_credential(settings, tmp_path)
        said = f"{caught.value} {caught.value.__cause__!r} {settings!r}"
        assert secret not in said
        assert "\n" not in str(caught.value)


def test_a_certificate_that_cannot_sign_is_told_before_the_work(tmp_path: Path) -> None:
    expired, early = issue(tmp_path / "expired", valid_days=(-9, -2)), issue(tmp_path / "early", valid_days=(2, 9))
    stamping = issue(tmp_path / "stamping", purpose=ExtendedKeyUsageOID.TIME_STAMPING)
    coding = issue(tmp_path / "coding", purpose=ExtendedKeyUsageOID.CODE_SIGNING)
    long = issue(tmp_path / "long")
    long.certificate.write_bytes(long.certificate.read_bytes() + 9 * long.authority.read_bytes())
    ended = x509.load_pem_x509_certificate(expired.certificate.read_bytes()).not_valid_after_utc
    begins = x509.load_pem_x509_certificate(early.certificate.read_bytes()).not_valid_before_utc
    faults = {
        f"the signing certificate expired on {ended:%Y-%m-%d %H:%M} UTC; renew it": expired,
        f"the signing certificate is not valid before {begins:%Y-%m-%d %H:%M} UTC": early,
        "the signing certificate is for time stamps or OCSP; get one for C2PA": stamping,
        "content credentials do not take the signing certificate: .*invalid.*; get one for C2PA": coding,
        "the signing certificate's file holds 11 certificates": long,
    }
    for message, issued in faults.items():
        with pytest.raises(SigningSetupError, match=message) as caught:
            open_credential(issued.settings, tmp_path)
        assert "\n" not in str(caught.value)


def test_an_address_of_a_time_stamp_server_that_is_none_is_told_before_the_work(tmp_path: Path) -> None:
    for url in (
        "SECRET",
        "ftp://me:SECRET@host/",
        "http://me:SEC/RET@host/",
        "http://",
        "http://[SECRET/",
        "http://h/a b",
    ):
        with pytest.raises(SigningSetupError, match="address of the time stamp server is not valid; give") as caught:
            open_credential(SigningSettings(timestamp_url=url), tmp_path)
        assert "SEC" not in f"{caught.value} {caught.value.__cause__!r}"
    for url in ("http://127.0.0.1:318/", "https://me:word@stamps.example/tsr?key=1"):
        assert open_credential(SigningSettings(timestamp_url=url), tmp_path).timestamp_url == url


@pytest.mark.parametrize("pin", ["12&SECRET34", "12&SECRET=34", "12;SECRET"])
def test_a_pin_with_an_ampersand_is_not_repeated(tmp_path: Path, pin: str) -> None:
    issued = issue(tmp_path)
    uri = f"pkcs11:token=studio;object=signer?module-path=/none.so&pin-value={pin}"
    with pytest.raises(SigningSetupError) as caught:
        open_credential(SigningSettings(issued.certificate, uri), tmp_path)
    assert "SECRET" not in f"{caught.value} {caught.value.__cause__!r}"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A token of SoftHSM's with nothing in it; its folder."""
    if _SOFTHSM is None:
        pytest.skip("SoftHSM is not installed")
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\n")
    (folder / "pin").write_text(f"{_PIN}\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")  # the module reads it once in a process
    softhsm("--init-token", "--free", "--label", "studio", "--so-pin", "1234", "--pin", _PIN)
    return folder


def softhsm(*arguments: str | Path) -> None:
    subprocess.run(["softhsm2-util", *map(str, arguments)], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("kind", ["es256", "es384", "ps256"])
def test_a_key_in_a_token_signs(token: Path, tmp_path: Path, kind: str) -> None:
    issued, number = issue(tmp_path, kind), {"es256": "01", "es384": "02", "ps256": "03"}[kind]
    label = ("--label", kind, "--id", number)
    softhsm("--import", issued.key, "--token", "studio", *label, "--pin", _PIN)
    uri = f"pkcs11:token=studio;object={kind}?module-path={_SOFTHSM}&pin-source={token / 'pin'}"
    opened = open_credential(SigningSettings(issued.certificate, uri), tmp_path)  # signs, and checks that
    assert opened.algorithm == kind
    for wrong, message in (
        (uri.replace(f"object={kind}", "object=none"), "does not sign: NoSuchKey"),
        (uri.replace("token=studio", "token=none"), "does not sign: NoSuchToken"),
        (uri.replace("pin-source", "pin-value"), "does not sign: Pin"),
        (uri.replace("?module-path", "?path"), "part 3 of the signing key's address has an unknown name"),
        (uri.partition("?")[0], "names no module-path"),
    ):
        with pytest.raises(SigningSetupError, match=message):
            open_credential(SigningSettings(issued.certificate, wrong), tmp_path)
