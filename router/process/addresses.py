"""Addresses that are never a replica's, whatever a name resolves to.

Clouds serve metadata and credentials on link-local addresses, and a few on others, to every program
on the host. The unspecified address connects to this host itself.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NEVER: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
        "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",  # Alibaba, Azure, Oracle
        "::/128", "fe80::/10", "ff00::/8",
        "fd00:ec2::/32", "fd20:ce::/32",  # AWS, Google
    )
)  # fmt: skip
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are IPv4


def parse(host: str) -> Address | None:
    """The address that `host` writes, in any notation that a resolver accepts; None for a name."""
    try:
        return plain(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        # also 0xa9fea9fe, 2852039166 and 127.1
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def plain(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that only wraps it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_forbidden(address: Address) -> bool:
    """Whether the address is one of those that no app may be reached at."""
    return any(address in network for network in NEVER if network.version == address.version)


@lru_cache(maxsize=4096)
def is_name(host: str) -> bool:
    """Whether `host` has to be resolved; False for an address."""
    return parse(host) is None


def is_misled(peer: Sequence[Any] | None) -> bool:
    """Whether a connection made by name ended at an address that is never a replica's."""
    address = parse(str(peer[0])) if peer else None
    return address is not None and is_forbidden(address)
