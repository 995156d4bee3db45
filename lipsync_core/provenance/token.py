"""A signing key in a token (PKCS#11): a hardware security module, a cloud's key service, or SoftHSM.

The URI (RFC 7512) names the token, the key and the module, and where the PIN stands:
pkcs11:token=studio;object=signer?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/secrets/pin
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from lipsync_core.errors import SigningSetupError
from lipsync_core.provenance.algorithms import PublicKey, Sign, hash_of
from lipsync_core.provenance.pem_file import content_of

_NAMES = ("token", "object", "id", "module-path", "pin-source", "pin-value")
_lock = threading.Lock()  # a module of PKCS#11 is one for the whole process


def token_key(uri: str, public: PublicKey) -> Sign:
    """What signs with the key that `uri` names, whose public part is `public`.

    Raises:
        SigningSetupError: the hsm extra is missing, the URI names no module, or the token does not give the key.
    """
    told = _parts_of(uri)
    try:
        import pkcs11
    except ImportError as exc:
        raise SigningSetupError("a key in a token needs the hsm extra", "pip install 'lipsync[hsm]'") from exc
    if "module-path" not in told:
        raise SigningSetupError("the address of the signing key names no module-path", "add ?module-path=/usr/lib/...")
    pin = _pin(told)

    def sign(data: bytes) -> bytes:
        try:
            with _lock:
                token = pkcs11.lib(told["module-path"]).get_token(token_label=told.get("token"))
                with token.open(user_pin=pin) as session:
                    key = session.get_key(
                        object_class=pkcs11.ObjectClass.PRIVATE_KEY,
                        label=told.get("object"),
                        id=unquote_to_bytes(told["id"]) if "id" in told else None,
                    )
                    return _signed(key, public, data)
        except (pkcs11.PKCS11Error, RuntimeError, OSError) as exc:
            # Without the text of the error, which may repeat what the address holds.
            raise SigningSetupError(
                f"the token of the signing key does not sign: {type(exc).__name__}",
                "look at its label, the key's and the PIN",
            ) from None

    return sign


def _signed(key: object, public: PublicKey, data: bytes) -> bytes:
    from pkcs11 import MGF, Mechanism

    sign = key.sign  # type: ignore[attr-defined]
    if isinstance(public, ec.EllipticCurvePublicKey):
        hashed = hash_of(public)
        return bytes(sign(_digest(hashed, data), mechanism=Mechanism.ECDSA))  # both numbers in full length
    if isinstance(public, rsa.RSAPublicKey):
        parameters = (Mechanism.SHA256, MGF.SHA256, 32)
        return bytes(sign(data, mechanism=Mechanism.SHA256_RSA_PKCS_PSS, mechanism_param=parameters))
    if isinstance(public, ed25519.Ed25519PublicKey):
        return bytes(sign(data, mechanism=Mechanism.EDDSA))
    raise SigningSetupError("the token's key is of a kind that content credentials do not take")


def _digest(name: object, data: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes

    digest = hashes.Hash(name)  # type: ignore[arg-type]
    digest.update(data)
    return digest.finalize()


def _parts_of(uri: str) -> Mapping[str, str]:
    path, _, query = uri.partition("?")
    pairs = [pair for pair in (*path.partition(":")[2].split(";"), *query.split("&")) if pair]
    told = dict(pair.partition("=")[::2] for pair in pairs)
    for number, pair in enumerate(pairs, 1):
        if pair.partition("=")[0] not in _NAMES:
            # Without its text: it may be a part of a PIN that has an ampersand.
            raise SigningSetupError(
                f"part {number} of the signing key's address has an unknown name",
                f"use {', '.join(_NAMES)}; write & in a PIN as %26",
            )
    return {name: value if name == "id" else unquote(value) for name, value in told.items()}


def _pin(told: Mapping[str, str]) -> str | None:
    if "pin-source" not in told:
        return told.get("pin-value")
    try:
        return content_of(Path(told["pin-source"].removeprefix("file:"))).decode().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SigningSetupError("the file of the token's PIN cannot be read", "name a file in pin-source") from exc
