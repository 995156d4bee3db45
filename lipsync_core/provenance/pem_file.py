"""Reads the small files that an operator names: certificates, keys, PINs."""

import errno
import os
import re
import stat
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

_MOST_BYTES = 1 << 20  # Mozilla's list of all authorities of the web, as one PEM file, has a quarter of it
_BLOCK = re.compile(rb"-----BEGIN (?:X509 )?CERTIFICATE-----")


def content_of(path: Path) -> bytes:
    """The content of a regular file of at most a mebibyte; a pipe, a device or a folder is neither read nor waited for.

    Raises:
        OSError: it cannot be read, or is no such file.
    """
    try:
        # Without waiting: a pipe without a writer would be waited for.
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except ValueError as exc:  # a zero byte
        raise OSError(errno.EINVAL, "it is no path") from exc
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        content = file.read(_MOST_BYTES + 1)  # a size that the system states may grow meanwhile
    if len(content) > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {_MOST_BYTES >> 20} MiB")
    return content


def certificates_of(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a PEM text, at least one; blocks of another kind are passed over.

    Raises:
        ValueError: there is none, or one that cannot be read.
    """
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except UnsupportedAlgorithm as exc:
        raise ValueError(str(exc)) from exc
    if len(certificates) != len(_BLOCK.findall(pem)):  # the library passes over a block that is cut off
        raise ValueError("a certificate is cut off")
    return certificates
