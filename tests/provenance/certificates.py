"""An operator's certificate and key of each kind, below an authority of the tests' own."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lipsync_core.provenance.settings import SigningSettings

KINDS = ("es256", "es384", "es512", "ed25519", "ps256")
ORGANISATION = "Studio of the tests"
_KEYS = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "es512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),  # that content credentials do not take
}


@dataclass(frozen=True)
class Issued:
    certificate: Path  # the chain
    key: Path
    authority: Path  # that the other side trusts

    @property
    def settings(self) -> SigningSettings:
        return SigningSettings(self.certificate, str(self.key))


def issue(
    folder: Path,
    kind: str = "es256",
    purpose: x509.ObjectIdentifier | None = None,
    valid_days: tuple[int, int] = (-1, 30),
) -> Issued:
    """A chain of two in `folder`; the signer's is good for e-mail, which C2PA takes, or for `purpose` alone.

    It is valid between the two days, counted from now.
    """
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), _KEYS[kind]()
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        _begun("authority", "authority", authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    signer = (
        _begun("signer", "authority", key.public_key(), valid_days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([purpose or ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=purpose is not None
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    issued = Issued(folder / "chain.pem", folder / "key.pem", folder / "authority.pem")
    issued.certificate.write_bytes(signer.public_bytes(Encoding.PEM) + authority.public_bytes(Encoding.PEM))
    issued.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    issued.authority.write_bytes(authority.public_bytes(Encoding.PEM))
    return issued


def _begun(name: str, issuer: str, public: object, valid_days: tuple[int, int] = (-1, 30)) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(public)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=valid_days[0]))
        .not_valid_after(now + timedelta(days=valid_days[1]))
    )


def _name(common: str) -> x509.Name:
    values = ((NameOID.ORGANIZATION_NAME, ORGANISATION), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(*each) for each in values])


def _usage(*, certificates: bool) -> x509.KeyUsage:
    of_documents = not certificates
    return x509.KeyUsage(of_documents, False, False, False, False, certificates, certificates, False, False)
