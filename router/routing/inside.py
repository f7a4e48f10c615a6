"""Which clients may reach internal apps: those that `internal_networks` lists. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from router.contract.peers import is_in, network

_MOST_KNOWN: Final = 4096  # internal apps have few clients, and these rarely change


class Inside:
    """The networks from which internal apps can be reached."""

    __slots__ = ("_known", "_networks")

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [network(n) for n in networks]
        self._known: dict[str, bool] = {}  # results by address

    def has(self, peer: str) -> bool:
        """Whether a client's address lies in one of the networks."""
        if not self._networks:
            return False
        known = self._known.get(peer)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[peer] = is_in(peer, self._networks)
        return known
