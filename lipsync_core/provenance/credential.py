"""The signing credential: a chain of certificates, and the key that signs with the first of them."""

from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from lipsync_core.errors import SigningSetupError
from lipsync_core.provenance.algorithms import Sign, algorithm_of, require_pair, signing_with
from lipsync_core.provenance.fitness import require_accepted, require_address, require_fit
from lipsync_core.provenance.pem_file import certificates_of, content_of
from lipsync_core.provenance.self_made import self_made_pem
from lipsync_core.provenance.settings import SigningSettings

_PKCS11 = "pkcs11:"
_PEM = "-----BEGIN"


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
        SigningSetupError: a certificate or key cannot be read or used, or they do not belong together; or the address
            of the time stamp server is none.
    """
    if settings.certificate is None and settings.key is None:
        pem = self_made_pem(folder)
        return _credential(_chain(pem), _key_of_pem(pem), settings, is_self_made=True)
    if settings.certificate is None or settings.key is None:
        lacking = "key" if settings.key is None else "certificate"
        raise SigningSetupError(
            f"the {lacking} of the signing credential is missing",
            "give both (LIPSYNC_SIGNING_CERTIFICATE, LIPSYNC_SIGNING_KEY), or neither",
        )
    chain = _chain(_read(settings.certificate, "certificate"))
    return _credential(chain, _opened(settings.key, chain[0].public_key()), settings)


def _credential(
    chain: list[x509.Certificate], sign: Sign, settings: SigningSettings, *, is_self_made: bool = False
) -> SigningCredential:
    public = chain[0].public_key()
    algorithm = algorithm_of(public)
    chain_pem = "".join(each.public_bytes(Encoding.PEM).decode() for each in chain)
    require_fit(chain)
    if settings.timestamp_url is not None:
        require_address(settings.timestamp_url)
    require_pair(public, sign)
    if not is_self_made:  # which the library takes: a trial would hold 11 MB of its pages for the whole job
        require_accepted(sign, algorithm, chain_pem)
    return SigningCredential(
        chain_pem=chain_pem,
        algorithm=algorithm,
        sign=sign,
        subject=_subject(chain[0]),
        is_self_made=is_self_made,
        timestamp_url=settings.timestamp_url,
    )


def _chain(pem: bytes) -> list[x509.Certificate]:
    try:
        return certificates_of(pem)
    except ValueError as exc:
        raise SigningSetupError("the signing certificate is no PEM certificate", "give the chain as PEM") from exc


def _opened(key: str, public: object) -> Sign:
    """What signs with the operator's key."""
    if key.startswith(_PKCS11):
        from lipsync_core.provenance.token import token_key  # brings the hsm extra

        algorithm_of(public)
        return token_key(key, public)  # type: ignore[arg-type]
    return _key_of_pem(key.encode() if key.lstrip().startswith(_PEM) else _read(Path(key), "key"))


def _key_of_pem(pem: bytes) -> Sign:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without the cause: its text may repeat a part of the key.
        remedy = "give an unencrypted PKCS#8 key"
        raise SigningSetupError("the signing key is no PEM key that can be used", remedy) from None
    return signing_with(key)


def _subject(certificate: x509.Certificate) -> str:
    names = (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME)
    values = [str(each.value) for name in names for each in certificate.subject.get_attributes_for_oid(name)]
    return ", ".join(values) or certificate.subject.rfc4514_string()


def _read(path: Path, what: str) -> bytes:
    try:
        return content_of(path)
    except OSError as exc:
        raise SigningSetupError(
            f"the signing {what} cannot be read: {exc.strerror}", "name a PEM file that this user may read"
        ) from exc
