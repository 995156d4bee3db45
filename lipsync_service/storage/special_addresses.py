"""The addresses and names that are no hosts of the public internet: our own list, with its date and its sources.

Python has a list of its own, which differs from version to version and knows no cloud. This one does not change with
the interpreter. `CHECKED_ON` is the day of the last comparison with the sources; a test tells when a year has passed.

Sources:
    IANA IPv4 Special-Purpose Address Registry (RFC 6890, RFC 8190)
    IANA IPv6 Special-Purpose Address Registry (the same, with RFC 9602, 9637 and 9780)
    IANA IPv6 Address Space: unicast addresses are assigned from 2000::/3 alone
    IANA Special-Use Domain Names (RFC 6761), and ICANN's reservation of .internal (2024)
    the metadata services of Amazon, Microsoft, Google, Oracle, Alibaba, Tencent, Scaleway and Equinix, by their own
    documentation
"""

import ipaddress
from datetime import date
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

CHECKED_ON = date(2026, 11, 28)

_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by providers; Alibaba's metadata at 100.100.100.200
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # Azure: the host's own services (its registered owner is Microsoft)
            "169.254.0.0/16",  # link-local; the metadata of most clouds at .169.254, of ECS at .170.2
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # IETF protocols; Oracle's metadata at .192
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.80.8.124/32",  # Equinix Metal: metadata.packet.net
            "192.88.99.0/24",  # 6to4 relays, given up
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_UNICAST = IPv6Network(
    "2000::/3"
)  # all else is special: ::/8, fc00::/7, fe80::/10, fec0::/10, ff00::/8, 5f00::/16, ...
_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # IETF protocols: Teredo, ORCHID, benchmarks, AS112
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: holds an IPv4 address, and its relays are given up
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")  # the last 32 bits are an IPv4 address, here and in the next one
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052; on hosts without IPv4 it is the way to all of it
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})  # RFC 5214: bits 64 to 95, before an IPv4 address

#: Domains, with all names below them, that the internet does not have.
SPECIAL_DOMAINS = frozenset(
    (
        *("alt", "arpa", "consul", "corp", "docker", "home", "internal", "intranet", "invalid", "kubernetes", "lan"),
        *("local", "localdomain", "localhost", "onion", "private", "svc", "test"),
        *("metadata.goog", "metadata.packet.net", "metadata.platformequinix.com", "metadata.tencentyun.com"),
    )
)


def is_special(address: str) -> bool:
    """Whether the numeric `address` is no host of the public internet, or one that a cloud keeps for its own machines.

    An IPv6 address that holds an IPv4 address is what that one is; 6to4, Teredo and ISATAP forms are always special.
    """
    if "%" in address:  # a zone: it names an interface of this machine
        return True
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, IPv4Address):
        return any(parsed in network for network in _V4)
    if parsed in _MAPPED or parsed in _NAT64:
        return is_special(str(IPv4Address(int(parsed) & 0xFFFF_FFFF)))
    return parsed not in _UNICAST or _is_isatap(parsed) or any(parsed in network for network in _V6)


def is_special_name(host: str) -> bool:
    """Whether `host`, in lower case and without a last dot, is a name that the public internet does not have.

    A name of one label is one: a resolver completes it with the domain of the network that it stands in.
    """
    labels = host.split(".")
    domains = {".".join(labels[start:]) for start in range(len(labels))}
    return len(labels) == 1 or not SPECIAL_DOMAINS.isdisjoint(domains)


def age_warning(today: date) -> str | None:
    """What to do where the list is older than a year; None while it is not."""
    if (today - CHECKED_ON).days <= 365:
        return None
    return (
        f"the list of special addresses is of {CHECKED_ON}: compare it with its sources "
        "(lipsync_service/storage/special_addresses.py), and set CHECKED_ON"
    )


def _is_isatap(address: IPv6Address) -> bool:
    return (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP
