"""The kinds of keys that content credentials take, and what their signatures look like (C2PA 2.2, 13.2.1)."""

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from lipsync_core.errors import SigningSetupError

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
#: Signs bytes. An ECDSA signature is both numbers in full length, one behind the other (RFC 9053, 2.1).
Sign = Callable[[bytes], bytes]

_LEAST_RSA_BITS = 2048
#: By the curve of an ECDSA key.
_CURVES: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "secp256r1": ("es256", hashes.SHA256()),
    "secp384r1": ("es384", hashes.SHA384()),
    "secp521r1": ("es512", hashes.SHA512()),
}
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)
_PROBE = b"lipsync signs this to see that key and certificate belong together"


def algorithm_of(public: object) -> str:
    """The name that C2PA has for a public key's algorithm, such as "es256".

    Raises:
        SigningSetupError: it is of another kind.
    """
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVES:
        return _CURVES[public.curve.name][0]
    if isinstance(public, ed25519.Ed25519PublicKey):
        return "ed25519"
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= _LEAST_RSA_BITS:
        return "ps256"
    raise SigningSetupError(
        "the signing certificate has a key of a kind that content credentials do not take",
        "use ECDSA (P-256, P-384, P-521), Ed25519, or RSA of 2048 bits or more",
    )


def hash_of(public: ec.EllipticCurvePublicKey) -> hashes.HashAlgorithm:
    """The hash that goes with an ECDSA key."""
    return _CURVES[public.curve.name][1]


def signing_with(key: object) -> Sign:
    """What signs with a key that this process holds; one of another kind than `algorithm_of` takes signs nothing."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return lambda data: _full_length(key.sign(data, ec.ECDSA(hash_of(key.public_key()))), key.key_size)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign
    if isinstance(key, rsa.RSAPrivateKey):
        return lambda data: key.sign(data, _PSS, hashes.SHA256())
    raise SigningSetupError(
        "the signing key is of a kind that content credentials do not take", "see the certificate's"
    )


def require_pair(public: object, sign: Sign) -> None:
    """Sign something and check it.

    Raises:
        SigningSetupError: the key is not that of the certificate.
    """
    try:
        _verify(public, sign(_PROBE))
    except (InvalidSignature, ValueError) as exc:
        raise SigningSetupError(
            "the signing key is not that of the first certificate", "put the signer's own certificate first"
        ) from exc


def _verify(public: object, signature: bytes) -> None:
    if isinstance(public, ec.EllipticCurvePublicKey):
        half = len(signature) // 2
        numbers = (int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
        public.verify(utils.encode_dss_signature(*numbers), _PROBE, ec.ECDSA(hash_of(public)))
    elif isinstance(public, ed25519.Ed25519PublicKey):
        public.verify(signature, _PROBE)
    elif isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, _PROBE, _PSS, hashes.SHA256())


def _full_length(der: bytes, key_bits: int) -> bytes:
    size = (key_bits + 7) // 8
    return b"".join(number.to_bytes(size, "big") for number in utils.decode_dss_signature(der))
