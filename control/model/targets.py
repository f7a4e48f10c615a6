"""Where `endpoint:` replicas may be: in the allowed networks, and never at a metadata service.

A name is judged by its addresses each time a connection is made: by then it may lead elsewhere than
when it was accepted (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from router.process.addresses import Address, Network, is_forbidden, parse, plain
from router.process.config import BadSettings

PRIVATE = (
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"
)  # fmt: skip


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks in CIDR notation. Raises BadSettings."""
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise BadSettings(f"endpoint_networks: {error}; write networks as CIDR") from None


def no_name(host: str) -> str:
    """Why a host can never be resolved; empty for an address or a valid name."""
    try:
        host.encode("idna")  # every look-up encodes the name like this
    except UnicodeError:
        return f"{host} is no host name: each of its labels has 1 to 63 characters"
    return ""


class Targets:
    """Judges the addresses of `endpoint:` replicas."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = networks(allowed)
        # A cache: every replica's probes ask, and mostly about the same few hosts.
        self.is_good_address = lru_cache(maxsize=1 << 14)(self._is_good_address)

    def _is_good_address(self, host: str) -> bool:
        """Whether a host is an allowed address; the answer never changes, unlike a name's."""
        return parse(host) is not None and not self.refusal(host)

    def refusal(self, host: str) -> str:
        """Why nothing may be sent to a host.

        Empty if allowed, or if it is a name to be resolved.
        """
        address = parse(host)
        return self.of_address(address, host) if address is not None else ""

    def of_address(self, address: Address, host: str) -> str:
        """Why nothing may be sent to an address that `host` resolved to; empty if allowed."""
        address = plain(address)
        shown = host if host == str(address) else f"{host} ({address})"
        if is_forbidden(address):
            return f"{shown} is a link-local, metadata or unspecified address, never an endpoint"
        if any(address in n for n in self._allowed if n.version == address.version):
            return ""
        return (
            f"{shown} is outside the networks that endpoint_networks lists; add it under [control]"
            " in the settings file, or to TURNOUT_ENDPOINT_NETWORKS, and restart"
        )
