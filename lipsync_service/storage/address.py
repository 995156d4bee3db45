"""The rule for hosts in a job's addresses: they must be public, or named in the settings.

Jobs come from outside, and the service stands inside a network. Without this rule a job could make it fetch the
cloud's metadata or an intranet page (server-side request forgery).
"""

import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Any

from lipsync_core.errors import TransientError
from lipsync_service.errors import ObjectMissingError, UrlRefusedError

Resolve = Callable[[str, int], Iterable[str]]
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_REMEDY = "use a public address, or add the host to LIPSYNC_HTTP_ALLOWED_HOSTS"


class AddressGuard:
    """Resolves a host's name and refuses addresses that the service must not connect to."""

    def __init__(self, allowed_hosts: Iterable[str], resolve: Resolve | None = None) -> None:
        self._allowed = frozenset(host.lower().rstrip(".") for host in allowed_hosts)
        self._resolve = resolve or resolved_addresses

    def checked_addresses(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses of `host`, all of them allowed.

        Connect to these and do not resolve the name again: a second answer could differ (DNS rebinding).

        Raises:
            UrlRefusedError: an address is not public, and the settings do not name the host.
            ObjectMissingError: there is no such host.
            TransientError: the name server does not answer.
        """
        addresses = tuple(self._resolve(host, port))
        if not addresses:
            raise ObjectMissingError(f"there is no host {host}", "check the address")
        if not self._is_allowed(host, port) and not all(map(is_public, addresses)):
            raise UrlRefusedError(f"{host} leads to an address that is not public", _REMEDY)
        return addresses

    def _is_allowed(self, host: str, port: int) -> bool:
        name = host.lower().rstrip(".")
        domains = [name[index:] for index, char in enumerate(name) if char == "."]
        return any(each in self._allowed or f"{each}:{port}" in self._allowed for each in (name, *domains))


def is_public(address: str) -> bool:
    """Whether `address` belongs to the public internet, by Python's copy of IANA's special-purpose registries."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or _nat64(parsed)
        if inner is not None:
            return is_public(str(inner))
        if parsed.teredo is not None or parsed.is_site_local:
            return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def resolved_addresses(host: str, port: int) -> tuple[str, ...]:
    """The addresses of `host` from the system's resolver, in its order; raises as `AddressGuard.checked_addresses`."""
    try:
        found: list[tuple[Any, ...]] = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except socket.gaierror as exc:
        if exc.errno == socket.EAI_AGAIN:
            raise TransientError(f"the name server does not answer for {host}", "try again later") from exc
        raise ObjectMissingError(f"there is no host {host}", "check the address") from exc
    except UnicodeError as exc:
        raise UrlRefusedError(f"{host} is not the name of a host", "check the address") from exc
    return tuple(dict.fromkeys(str(each[4][0]) for each in found))


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else None
