"""The certificate that each installation makes for itself, so that every movie is signed from the first one on.

Validators show it as untrusted: it proves that a file was not altered since, and not who has made it. C2PA refuses a
signer that has issued its own certificate, so there is an authority of this installation above it.
"""

import logging
import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lipsync_core.errors import SigningSetupError

_log = logging.getLogger(__name__)

_FILE = "self-made.pem"  # the key, the signer's certificate, the authority's
_ORGANISATION, _SIGNER = "lipsync (self-made certificate)", "this installation"
_VALID = timedelta(days=3650)
_RENEWED_BEFORE_END = timedelta(days=30)
_CLOCK_FAULT = timedelta(days=1)  # of another machine that reads the file soon
_DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")  # RFC 9336


def self_made_pem(folder: Path) -> bytes:
    """Key, certificate and authority of this installation as PEM; made where there are none, or where they run out.

    Where they cannot be kept in `folder`, as on a read-only disk, they are made for this call alone.

    Raises:
        SigningSetupError: the file holds something else.
    """
    path = folder / _FILE
    try:
        if path.exists():
            pem = path.read_bytes()
            if not _runs_out(pem):
                return pem
            path.unlink(missing_ok=True)
        return _kept(path, _made())
    except OSError as exc:
        _log.warning("the self-made certificate is not kept in %s: %s", folder, exc.strerror)
        return _made()
    except ValueError as exc:
        raise SigningSetupError(f"{path} is no certificate", "remove it: another is made") from exc


def is_self_made(signer: str) -> bool:
    """Whether a signer (organisation and common name) is one that an installation has made for itself."""
    return signer == f"{_ORGANISATION}, {_SIGNER}"


def _runs_out(pem: bytes) -> bool:
    ends = x509.load_pem_x509_certificates(pem)[0].not_valid_after_utc
    return ends < datetime.now(UTC) + _RENEWED_BEFORE_END


def _kept(path: Path, pem: bytes) -> bytes:
    """Keep `pem` at `path` unless another process was first; what is there then."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
        try:
            os.link(unfinished, path)
        except FileExistsError:
            return path.read_bytes()
        return pem
    finally:
        unfinished.unlink()


def _made() -> bytes:
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        _begun("authority of this installation", "authority of this installation", authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    signer = (
        _begun(_SIGNER, "authority of this installation", key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION, _DOCUMENT_SIGNING]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return secret + signer.public_bytes(Encoding.PEM) + authority.public_bytes(Encoding.PEM)


def _begun(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_FAULT)
        .not_valid_after(now + _VALID)
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
