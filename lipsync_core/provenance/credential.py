"""The signing credential: a chain of certificates, and the key that signs with the first of them.

Content credentials take ECDSA, Ed25519 and RSA-PSS (C2PA 2.2, 13.2.1); an ECDSA signature is the two numbers in full
length, one behind the other (RFC 9053, 2.1).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from lipsync_core.errors import SigningSetupError
from lipsync_core.provenance.self_made import self_made_pem
from lipsync_core.provenance.settings import SigningSettings

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
Sign = Callable[[bytes], bytes]
_log = logging.getLogger(__name__)

_PKCS11 = "pkcs11:"
_PEM = "-----BEGIN"
#: By the bits of an ECDSA key.
_EC_HASHES: dict[int, tuple[str, hashes.HashAlgorithm]] = {
    256: ("es256", hashes.SHA256()),
    384: ("es384", hashes.SHA384()),
    521: ("es512", hashes.SHA512()),
}
_LEAST_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class SigningCredential:
    """What signs, and under which name."""

    chain_pem: str  # the signer's own certificate first
    algorithm: str  # as C2PA names it: "es256"
    sign: Sign = field(repr=False)
    subject: str  # of the signer's certificate: its organisation and common name
    is_self_made: bool
    timestamp_url: str | None


def open_credential(settings: SigningSettings, folder: Path) -> SigningCredential:
    """The operator's credential, or the self-made one in `folder`, which is made where there is none.

    Raises:
        SigningSetupError: a certificate or key cannot be read, or they do not belong together.
    """
    if (settings.certificate is None) != (settings.key is None):
        lacking = "key" if settings.key is None else "certificate"
        raise SigningSetupError(f"the {lacking} of the signing credential is missing", "give both, or neither")
    if settings.certificate is None or settings.key is None:
        pem = self_made_pem(settings.folder or folder)
        return _credential(pem, _software_key(pem), settings, is_self_made=True)
    pem = _read(settings.certificate, "certificate")
    if settings.key.startswith(_PKCS11):
        from lipsync_core.provenance.token import token_key  # brings the hsm extra

        return _credential(pem, token_key(settings.key), settings)
    is_text = settings.key.lstrip().startswith(_PEM)
    key_pem = settings.key.encode() if is_text else _read(Path(settings.key), "key")
    return _credential(pem, _software_key(key_pem), settings)


def _credential(
    pem: bytes, key: tuple[bytes, str, Sign], settings: SigningSettings, is_self_made: bool = False
) -> SigningCredential:
    public, algorithm, sign = key
    try:
        chain = x509.load_pem_x509_certificates(pem)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise SigningSetupError("the signing certificate is no PEM certificate", "give the chain as PEM") from exc
    if public_der(chain[0].public_key()) != public:
        raise SigningSetupError(
            "the signing key is not that of the first certificate", "give the signer's own certificate first"
        )
    return SigningCredential(
        chain_pem="".join(each.public_bytes(Encoding.PEM).decode() for each in chain),
        algorithm=algorithm,
        sign=sign,
        subject=_subject(chain[0]),
        is_self_made=is_self_made,
        timestamp_url=settings.timestamp_url,
    )


def public_der(key: object) -> bytes:
    """A public key in the one form in which two can be compared."""
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return encoded


def _software_key(pem: bytes) -> tuple[bytes, str, Sign]:
    """The public part of a PEM key, its algorithm, and what signs with it."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without the cause: its text may repeat a part of the key.
        raise SigningSetupError(
            "the signing key is no PEM key that can be used", "give an unencrypted PKCS#8 key"
        ) from None
    algorithm, sign = _signing(key)
    return public_der(key.public_key()), algorithm, sign


def _signing(key: object) -> tuple[str, Sign]:
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size in _EC_HASHES:
        algorithm, hashed = _EC_HASHES[key.curve.key_size]
        return algorithm, lambda data: full_length(key.sign(data, ec.ECDSA(hashed)), key.curve.key_size)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519", key.sign
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _LEAST_RSA_BITS:
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)
        return "ps256", lambda data: key.sign(data, pss, hashes.SHA256())
    raise SigningSetupError(
        "the signing key is of a kind that content credentials do not take",
        "use ECDSA (P-256, P-384, P-521), Ed25519, or RSA of 2048 bits or more",
    )


def full_length(der: bytes, key_bits: int) -> bytes:
    """An ECDSA signature in DER as both numbers in full length."""
    size = (key_bits + 7) // 8
    return b"".join(number.to_bytes(size, "big") for number in utils.decode_dss_signature(der))


def _subject(certificate: x509.Certificate) -> str:
    names = (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME)
    values = [str(each.value) for name in names for each in certificate.subject.get_attributes_for_oid(name)]
    return ", ".join(values) or certificate.subject.rfc4514_string()


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no path"
        raise SigningSetupError(
            f"the signing {what} cannot be read: {reason}", "name a PEM file that this user may read"
        ) from exc
