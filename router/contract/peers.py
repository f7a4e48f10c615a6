"""The address of a peer, in the one form that settings, limits, headers and logs use.

Pure. On a socket for IPv6 and IPv4, IPv4 peers are called ::ffff:192.0.2.1 (RFC 4291 §2.5.5.2).
"""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Network = IPv4Network | IPv6Network

_MAPPED: Final = 96  # bits in front of the IPv4 address


def plain_address(address: str) -> str:
    """The address that a socket names: IPv4 where it is mapped into IPv6, and without a scope.

    A scope (fe80::1%eth0) has a meaning on this host only and is not part of the address that
    X-Forwarded-For carries (RFC 4007 §11.2).
    """
    if ":" not in address:
        return address
    address = address.partition("%")[0]
    mapped = IPv6Address(address).ipv4_mapped
    return str(mapped) if mapped is not None else address


def network(text: str) -> Network:
    """The network that `text` writes in CIDR notation or as a single address. Raises ValueError."""
    found = ip_network(text)
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) else None
    if mapped is None or found.prefixlen < _MAPPED:
        return found
    return IPv4Network((mapped, found.prefixlen - _MAPPED))


@cache
def networks(texts: tuple[str, ...]) -> list[Network]:
    """The networks in a setting. Raises ValueError."""
    return [network(text) for text in texts]


def is_in(address: str, networks: list[Network]) -> bool:
    """Whether a peer's plain address lies in one of the networks."""
    try:
        ip = ip_address(address)
    except ValueError:  # the peer left before its address was read
        return False
    return any(ip in one for one in networks)
