"""The address of a model server: grpc://HOST:PORT."""

from urllib.parse import urlsplit

from lipsync_core.errors import OptionError

SCHEME = "grpc://"


def host_and_port(address: str) -> str:
    """HOST:PORT of grpc://HOST:PORT.

    Raises:
        OptionError: the address has another form.
    """
    try:
        parts = urlsplit(address)
        is_whole = (
            parts.scheme == "grpc" and parts.hostname and parts.port and parts.netloc == address.removeprefix(SCHEME)
        )
    except ValueError:  # the port is no number
        is_whole = False
    if not is_whole or "@" in parts.netloc:
        raise OptionError(f"the model server {address!r} has no address of the form grpc://HOST:PORT", "correct it")
    return parts.netloc
