"""Whether a certificate can sign content credentials: asked before the work, and not when a movie is ready.

Sources: C2PA 2.2, 14.5.1 (certificate profiles); the rest of it is judged by the library that will sign.
"""

import io
from datetime import UTC, datetime
from urllib.parse import urlsplit

import c2pa
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from lipsync_core.errors import SigningSetupError
from lipsync_core.provenance.algorithms import Sign
from lipsync_core.provenance.context import context, signer

_MOST_CERTIFICATES = 10  # of a chain; those of authorities have two to four
#: A certificate that is good for one of these is good for nothing else (14.5.1.1); the library signs with it.
_OTHER_SERVICES = frozenset({ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.OCSP_SIGNING})
_ASK_AUTHORITY = (
    "get one for C2PA: not self-issued, with key usage digitalSignature and extended key usage emailProtection"
)
#: The shortest movie that the library signs: a type, and no media.
_MOVIE = bytes.fromhex("00000018") + b"ftypisom\0\0\0\0isommp42" + bytes.fromhex("00000008") + b"mdat"
_MANIFEST = {
    "claim_generator_info": [{"name": "trial"}],
    "assertions": [
        {
            "label": "c2pa.actions.v2",
            "data": {
                "actions": [
                    {
                        "action": "c2pa.created",
                        "digitalSourceType": "http://c2pa.org/digitalsourcetype/empty",
                    }
                ]
            },
        }
    ],
}


def require_fit(chain: list[x509.Certificate]) -> None:
    """Refuse a chain whose first certificate cannot sign now.

    Raises:
        SigningSetupError: it has expired, is not valid yet, is for another service, or the chain is too long.
    """
    if len(chain) > _MOST_CERTIFICATES:
        raise SigningSetupError(
            f"the signing certificate's file holds {len(chain)} certificates",
            f"give the signer's and those that have issued it, {_MOST_CERTIFICATES} at most",
        )
    now = datetime.now(UTC)
    begins, ends = chain[0].not_valid_before_utc, chain[0].not_valid_after_utc
    if ends < now:
        raise SigningSetupError(f"the signing certificate expired on {ends:%Y-%m-%d %H:%M} UTC", "renew it")
    if begins > now:
        raise SigningSetupError(
            f"the signing certificate is not valid before {begins:%Y-%m-%d %H:%M} UTC", "wait, or look at the clock"
        )
    if _OTHER_SERVICES & _purposes(chain[0]):
        raise SigningSetupError("the signing certificate is for time stamps or OCSP", _ASK_AUTHORITY)


def require_accepted(sign: Sign, algorithm: str, chain_pem: str) -> None:
    """Sign an empty movie, and have the library check it: 1 to 7 ms by the kind of key, and one signature of a token.

    Raises:
        SigningSetupError: the library does not take the certificate.
    """
    try:
        builder = c2pa.Builder(_MANIFEST, context())
        builder.sign(signer(sign, algorithm, chain_pem, None), "video/mp4", io.BytesIO(_MOVIE), io.BytesIO())
    except c2pa.C2paError as exc:
        reason = " ".join(str(exc).split())
        raise SigningSetupError(
            f"content credentials do not take the signing certificate: {reason}", _ASK_AUTHORITY
        ) from exc


def require_address(timestamp_url: str) -> None:
    """Refuse an address of a time stamp server that is none of the web, without repeating it: it may hold a password.

    Raises:
        SigningSetupError: it does not begin with http:// or https:// and a host, or holds spaces.
    """
    try:
        parts = urlsplit(timestamp_url)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # of brackets, of a port
        has_host = False
    is_plain = timestamp_url.isascii() and timestamp_url.isprintable() and " " not in timestamp_url
    if not (has_host and is_plain and timestamp_url.startswith(("http://", "https://"))):
        raise SigningSetupError(
            "the address of the time stamp server is not valid",
            "give one that begins with http:// or https:// and a host; encode other characters with %",
        )


def _purposes(certificate: x509.Certificate) -> frozenset[x509.ObjectIdentifier]:
    try:
        return frozenset(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except (x509.ExtensionNotFound, ValueError):  # the library refuses both
        return frozenset()
