"""What the connections of one worker share: the table in force, settings, counters, clock."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from router.contract import outcomes
from router.contract.outcomes import Outcome
from router.contract.peers import is_in, network, plain_address
from router.contract.settings import RouterSettings
from router.forwarding.access_log import AccessLog
from router.forwarding.shedding import Shedding
from router.forwarding.tunnel import Tunnels
from router.http.request_head import Ingress
from router.http.seams import ClientSide
from router.http.trail import HOPS_LINE, VIA_LINE
from router.loop import descriptors
from router.loop.clock import Clock
from router.loop.outbox import Outbox
from router.routing import table
from router.routing.replicas import Replica, ReplicaRegistry
from router.routing.stats import WorkerStats
from router.routing.table import Route, RoutingTable
from router.upstream.connector import Connector

log: Final = logging.getLogger("turnout.router")

_IDS_AT_ONCE: Final = 256
_MAX_PEERS: Final = 4096  # remembered; internal apps have few and steady ones


class Deadlined(Protocol):
    """Something the sweeper looks at: late once `deadline` lies behind the clock."""

    deadline: float

    def on_deadline(self) -> None:
        """Called once when it is late; sets a new deadline or ends itself."""


class Context:
    """One worker's shared state. `table` is replaced whole; its routes are never changed."""

    def __init__(self, settings: RouterSettings, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.clock = Clock(loop)
        self.table: RoutingTable = table.EMPTY
        self.stats = WorkerStats()
        self.registry = ReplicaRegistry(settings.share(settings.max_in_flight_per_replica))
        self.outbox = Outbox(loop)
        self.connector = Connector(loop, self.outbox, settings)
        self.clients: set[Deadlined] = set()
        self.tunnels = Tunnels(self.clock, self.outbox, settings, self.stats)
        self.is_draining = False  # every answer from now on ends its connection
        self.is_leaving = False  # and so does the end of one that has begun
        self.queue_limit = settings.share(settings.max_queue_per_revision)
        self.tunnel_limit = settings.share(settings.max_tunnels_per_replica)
        self.shedding: dict[str, float] = {}  # by app, of its requests, while the loop is late
        self.access_log: AccessLog | None = None
        self._shedding = Shedding(settings.overload_lag_s)
        self._connection_limit = settings.share(settings.max_connections)
        self._last_descriptor = descriptors.last_for_clients()
        self._turned_away: set[Deadlined] = set()
        self._per_client: dict[str, int] = {}
        self._trusted = [network(n) for n in settings.trusted_proxies]
        self._inside = [network(n) for n in settings.internal_networks]
        self._is_inside: dict[str, bool] = {}  # what was found out of a peer
        self._ids = b""
        self._id_at = 0

    def note_lag(self, late_s: float) -> None:
        """How late the last tick came: what every request waits for a busy loop."""
        if self._shedding.is_due(late_s):
            self.shedding = self._shedding.shares(self.stats.requests_by_app())
        else:
            self.shedding = {}

    def sweep(self) -> None:
        """End what is late. One pass over plain floats costs less than a timer per request."""
        now = self.clock.now
        for group in (self.clients, self._turned_away):
            for client in [c for c in group if c.deadline < now]:
                _guarded(client.on_deadline)
        for tunnel in self.tunnels:
            _guarded(partial(tunnel.look, now))
        oldest = now - self.settings.upstream_idle_s
        for replica in self.registry:
            while replica.idle and replica.idle[0].idle_since < oldest:
                replica.idle.pop(0).close()
            if replica.queue and self._has_room(replica):  # it came back, or is new
                _guarded(replica.admit_next)
        if self.access_log is not None:
            self.access_log.flush()

    def _has_room(self, replica: Replica) -> bool:
        is_usable = not replica.departed and replica.ejected_until <= self.clock.now
        return is_usable and replica.in_flight < replica.limit

    # --- clients

    def admit(self, client: Deadlined, peer: str, descriptor: int) -> Outcome | None:
        """Count a new connection in, or say why there may be no more."""
        if descriptor > self._last_descriptor:
            self.stats.accept_errors["descriptors"] += 1
            return outcomes.TOO_MANY_CONNECTIONS
        if len(self.clients) + len(self.tunnels) >= self._connection_limit:
            return outcomes.TOO_MANY_CONNECTIONS
        limit = self.settings.max_connections_per_client
        if limit:
            n = self._per_client.get(peer, 0)
            if n >= limit:
                return outcomes.TOO_MANY_OF_CLIENT
            self._per_client[peer] = n + 1
        self.clients.add(client)
        return None

    def turn_away(self, client: Deadlined) -> bool:
        """Whether there is room to tell a client that it may not come in.

        A flood beyond the limit is not told: answering it would hold as many descriptors again.
        """
        if len(self._turned_away) >= descriptors.MOST_TURNED_AWAY:
            self.stats.accept_errors["unanswered"] += 1
            return False
        self._turned_away.add(client)
        return True

    def left(self, client: Deadlined, peer: str) -> None:
        """A connection is gone, whether or not it was admitted."""
        if client in self.clients:
            self.clients.discard(client)
            self.forget_peer(peer)
        else:
            self._turned_away.discard(client)

    def forget_peer(self, peer: str) -> None:
        """One connection less of a client's address."""
        if self._per_client:
            n = self._per_client.pop(peer, 0) - 1
            if n > 0:
                self._per_client[peer] = n

    def ingress_for(self, transport: asyncio.BaseTransport) -> Ingress:
        """What all requests on a client's connection have in common."""
        peer = transport.get_extra_info("peername")
        sock = transport.get_extra_info("sockname")
        address = plain_address(peer[0]) if isinstance(peer, tuple) else "unknown"
        port = sock[1] if isinstance(sock, tuple) else 80
        lines = (
            f"X-Forwarded-For: {address}\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: {port}\r\n"
        )
        settings = self.settings
        return Ingress(
            forwarded=lines.encode(),
            peer=address.encode(),
            is_trusted=is_in(address, self._trusted),
            via=VIA_LINE if settings.via else HOPS_LINE,
            max_target_bytes=settings.max_target_bytes,
            max_fields=settings.max_fields,
        )

    def missed(self, outcome: Outcome, host_key: bytes, client: ClientSide) -> Route | Outcome:
        """Where a host that is not there for the public leads for this client."""
        if outcome is outcomes.HOST_NOT_FOUND and self._inside and self._lets_in(client.peer):
            return self.table.lookup_inside(host_key)
        return outcome

    def _lets_in(self, peer: str) -> bool:
        known = self._is_inside.get(peer)
        if known is None:
            if len(self._is_inside) >= _MAX_PEERS:
                self._is_inside.clear()
            known = self._is_inside[peer] = is_in(peer, self._inside)
        return known

    def new_id(self) -> bytes:
        """A fresh request id: 128 random bits in hexadecimal."""
        at = self._id_at
        if at >= len(self._ids):
            self._ids = os.urandom(16 * _IDS_AT_ONCE).hex().encode()  # one call for many requests
            at = 0
        self._id_at = at + 32
        return self._ids[at : at + 32]


def _guarded(act: Callable[[], None]) -> None:
    """Do it for one connection; a mistake of ours about it must not stop the clock of all."""
    try:
        act()
    except Exception:
        log.exception("event=sweep_failed")
