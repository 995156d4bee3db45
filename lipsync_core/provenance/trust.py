"""The authorities whose signers a user trusts."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lipsync_core.errors import InputMissingError, OptionError
from lipsync_core.provenance.pem_file import certificates_of, content_of

_REMEDY = "name a PEM file with the certificates of authorities"


def authorities_of(path: Path) -> str:
    """The certificates of the PEM file at `path` and nothing else of it, as PEM.

    C2PA's library itself takes any text, and a movie that it judges by a text without certificates counts as altered.

    Raises:
        InputMissingError: there is no such file.
        OptionError: it cannot be read, holds no certificate, or holds one that may issue no others.
    """
    try:
        certificates = certificates_of(content_of(path))
    except FileNotFoundError as exc:
        raise InputMissingError(f"{path} does not exist", _REMEDY) from exc
    except OSError as exc:
        raise OptionError(f"the trust file {path} cannot be read: {exc.strerror}", _REMEDY) from exc
    except ValueError as exc:
        raise OptionError(f"the trust file {path} holds no whole PEM certificate", _REMEDY) from exc
    for number, each in enumerate(certificates, 1):
        if not _may_issue(each):
            raise OptionError(f"certificate {number} of the trust file {path} is that of no authority", _REMEDY)
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates)


def _may_issue(certificate: x509.Certificate) -> bool:
    """Whether it is an authority's (RFC 5280, 4.2.1.3 and 4.2.1.9)."""
    try:
        extensions = certificate.extensions
    except ValueError:  # of extensions that cannot be read
        return False
    has_limits = any(isinstance(each.value, x509.BasicConstraints) and each.value.ca for each in extensions)
    usages = [each.value for each in extensions if isinstance(each.value, x509.KeyUsage)]
    return has_limits and all(usage.key_cert_sign for usage in usages)
