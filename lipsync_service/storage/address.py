"""The rule for hosts in a job's addresses: they must be public, or named in the settings.

Jobs come from outside, and the service stands inside a network. Without this rule a job could make it fetch the
cloud's metadata or an intranet page (server-side request forgery). Sources, targets and callbacks all pass it.
"""

import socket
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from lipsync_core.errors import TransientError
from lipsync_service.errors import ObjectMissingError, UrlRefusedError
from lipsync_service.storage.special_addresses import is_special, is_special_name
from lipsync_service.storage.url import is_numeric, parse_url

Resolve = Callable[[str, int], Iterable[str]]
WEB_PORTS = (80, 443)
_MOST_ADDRESSES = 16  # of one name that are tried: a name server could give thousands, each a wait
_REMEDY = "use a public address, or add the host to LIPSYNC_HTTP_ALLOWED_HOSTS"


class AddressGuard:
    """Resolves a host's name and refuses addresses that the service must not connect to."""

    def __init__(
        self, allowed_hosts: Iterable[str], resolve: Resolve | None = None, ports: Iterable[int] = WEB_PORTS
    ) -> None:
        """`allowed_hosts` may have any address: NAME on every port, NAME:PORT on that one, .NAME all hosts below it.

        `ports` are those of all other hosts.
        """
        self._allowed = frozenset(host.lower().rstrip(".") for host in allowed_hosts)
        self._ports = frozenset(ports)
        self._resolve = resolve or resolved_addresses

    def checked_addresses(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses of `host`, all of them allowed.

        Connect to these and do not resolve the name again: a second answer could differ (DNS rebinding).

        Raises:
            UrlRefusedError: an address is not public, or the port is none of the web's, and the settings do not name
                the host. A name that only an inner network can have is not even looked up.
            ObjectMissingError: there is no such host.
            TransientError: the name server does not answer.
        """
        is_allowed = self._is_allowed(host, port)
        if not is_allowed:
            self._check_name(host, port)
        addresses = tuple(self._resolve(host, port))
        if not addresses:
            raise ObjectMissingError(f"there is no host {host}", "check the address")
        if not is_allowed and any(map(is_special, addresses)):
            raise UrlRefusedError(f"{host} leads to an address that is not public", _REMEDY)
        return addresses[:_MOST_ADDRESSES]

    def check_literal(self, url: str) -> None:
        """Raise UrlRefusedError where the host of `url` is an address, and one that must not be connected to.

        Nothing is looked up: a host with a name passes, and is checked when somebody connects to it.
        """
        if not names_address(url):
            return
        location = parse_url(url)
        if not self._is_allowed(location.host, location.port):
            self._check_name(location.host, location.port)

    def _check_name(self, host: str, port: int) -> None:
        if port not in self._ports:
            remedy = "use the usual port, or have the service allow this one in LIPSYNC_HTTP_PORTS"
            raise UrlRefusedError(f"the port {port} of {host} is none that jobs may use", remedy)
        if is_special(host) if is_numeric(host) else is_special_name(host.rstrip(".")):
            raise UrlRefusedError(f"{host} is no host of the public internet", _REMEDY)

    def _is_allowed(self, host: str, port: int) -> bool:
        name = f"[{host}]" if ":" in host else host.lower().rstrip(".")
        domains = [name[index:] for index, char in enumerate(name) if char == "."]
        return any(each in self._allowed or f"{each}:{port}" in self._allowed for each in (host, name, *domains))


def names_address(url: str) -> bool:
    """Whether the host of `url` is an address, in any form, and no name."""
    return is_numeric(urlsplit(url).hostname or "")


def resolved_addresses(host: str, port: int) -> tuple[str, ...]:
    """The addresses of `host` from the system's resolver, in its order; raises as `AddressGuard.checked_addresses`."""
    try:
        found: list[tuple[Any, ...]] = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except socket.gaierror as exc:
        if exc.errno == socket.EAI_AGAIN:
            raise TransientError(f"the name server does not answer for {host}", "try again later") from exc
        raise ObjectMissingError(f"there is no host {host}", "check the address") from exc
    except (UnicodeError, ValueError, OSError) as exc:
        raise UrlRefusedError(f"{host} is not the name of a host", "check the address") from exc
    return tuple(dict.fromkeys(str(each[4][0]) for each in found))
