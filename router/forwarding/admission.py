"""How many connections clients may have: in all, each, and by what descriptors there are."""

from __future__ import annotations

from collections.abc import Iterator

from router.contract import outcomes
from router.contract.outcomes import Outcome
from router.contract.settings import RouterSettings
from router.forwarding.tunnel import Tunnels
from router.http.seams import ClientSide
from router.loop import descriptors
from router.routing.stats import WorkerStats


class Admission:
    """The connections of clients, but for those that became tunnels."""

    __slots__ = (
        "_admitted",
        "_last_descriptor",
        "_limit",
        "_limit_each",
        "_of",
        "_stats",
        "_tunnels",
        "_turned_away",
    )

    def __init__(self, settings: RouterSettings, stats: WorkerStats, tunnels: Tunnels) -> None:
        self._limit = settings.share(settings.max_connections)
        self._limit_each = settings.max_connections_per_client
        self._last_descriptor = descriptors.last_for_clients()
        self._stats = stats
        self._tunnels = tunnels
        self._admitted: set[ClientSide] = set()
        self._turned_away: set[ClientSide] = set()  # they are being told why
        self._of: dict[str, int] = {}  # connections, tunnels too, by the client's address

    def __len__(self) -> int:
        return len(self._admitted)

    def __iter__(self) -> Iterator[ClientSide]:
        return iter(list(self._admitted))

    def late(self, now: float) -> list[ClientSide]:
        """The connections whose deadline has passed, those that are turned away too."""
        groups = (self._admitted, self._turned_away)
        return [client for group in groups for client in group if client.deadline < now]

    def admit(self, client: ClientSide, peer: str, descriptor: int) -> Outcome | None:
        """Count a new connection in, or say why there may be no more."""
        if descriptor > self._last_descriptor:
            self._stats.accept_errors["descriptors"] += 1
            return outcomes.TOO_MANY_CONNECTIONS
        if len(self._admitted) + len(self._tunnels) >= self._limit:
            return outcomes.TOO_MANY_CONNECTIONS
        if self._limit_each:
            n = self._of.get(peer, 0)
            if n >= self._limit_each:
                return outcomes.TOO_MANY_OF_CLIENT
            self._of[peer] = n + 1
        self._admitted.add(client)
        return None

    def turn_away(self, client: ClientSide) -> bool:
        """Whether there is room to tell a client that it may not come in.

        A flood beyond the limit is not told: answering it would hold as many descriptors again.
        """
        if len(self._turned_away) >= descriptors.MOST_TURNED_AWAY:
            self._stats.accept_errors["unanswered"] += 1
            return False
        self._turned_away.add(client)
        return True

    def left(self, client: ClientSide, peer: str) -> None:
        """A connection is gone, whether or not it was admitted."""
        if client in self._admitted:
            self._admitted.discard(client)
            self.forget(peer)
        else:
            self._turned_away.discard(client)

    def became_tunnel(self, client: ClientSide) -> None:
        """A connection is a tunnel's from here on; it counts for its client until `forget`."""
        self._admitted.discard(client)

    def forget(self, peer: str) -> None:
        """One connection less of a client's address."""
        if self._of:
            n = self._of.pop(peer, 0) - 1
            if n > 0:
                self._of[peer] = n
