"""What the connections of one worker share: the table in force, settings, counters, clock."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import time
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING

from router import errors, table
from router.access_log import AccessLog
from router.errors import Outcome
from router.overload import Shedding
from router.ports import Deadlined, Waiting
from router.replicas import Replica, ReplicaRegistry
from router.request_head import Ingress
from router.settings import RouterSettings
from router.stats import WorkerStats
from router.table import RoutingTable
from router.upstream.http1 import UpstreamConnection

if TYPE_CHECKING:
    from router.tunnel import Tunnel

_IDS_AT_ONCE = 256


class Edge:
    """One worker's shared state. `table` is replaced by assignment and never changed."""

    def __init__(self, settings: RouterSettings, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.loop = loop
        self.table: RoutingTable = table.EMPTY
        self.stats = WorkerStats()
        self.registry = ReplicaRegistry()
        self.clients: set[Deadlined] = set()
        self.tunnels: set[Tunnel] = set()
        self.is_draining = False
        self.replica_limit = settings.share(settings.max_in_flight_per_replica)
        self.queue_limit = settings.share(settings.max_queue_per_revision)
        self.shed_ratio = 0.0  # of the requests, while the loop is late
        self.access_log: AccessLog | None = None
        self.now = time.monotonic()  # as of the last tick; good to `tick_s`
        self._shedding = Shedding(settings.overload_lag_s)
        self._connection_limit = settings.share(settings.max_connections)
        self._per_client: dict[str, int] = {}
        self.date_line = b""
        self._trusted = [ipaddress.ip_network(n) for n in settings.trusted_proxies]
        self._ids = b""
        self._id_at = 0
        self._writes: list[tuple[asyncio.Transport, bytes]] = []
        self._connecting: set[asyncio.Task[None]] = set()
        self.tick()

    def tick(self) -> None:
        """Move the coarse clock on; everything that needs no better one reads `now`."""
        self.now = time.monotonic()
        self.date_line = b"Date: %b\r\n" % formatdate(usegmt=True).encode()

    def note_lag(self, late_s: float) -> None:
        """How late the last tick came: what every request waits for a busy loop."""
        self.shed_ratio = self._shedding.ratio_after(late_s)

    def sweep(self) -> None:
        """End what is late. One pass over plain floats costs less than a timer per request."""
        late = [c for c in self.clients if c.deadline < self.now]
        for client in late:
            client.on_deadline()
        for tunnel in list(self.tunnels):
            tunnel.look(self.now)
        oldest = self.now - self.settings.upstream_idle_s
        for replica in self.registry:
            while replica.idle and replica.idle[0].idle_since < oldest:
                replica.idle.pop(0).close()
            while replica.queue and self._has_room(replica):  # it came back, or is new
                replica.queue.popleft().admitted(replica)
        if self.access_log is not None:
            self.access_log.flush()

    def _has_room(self, replica: Replica) -> bool:
        is_usable = not replica.departed and replica.ejected_until <= self.now
        return is_usable and replica.in_flight < self.replica_limit

    # --- clients

    def admit(self, client: Deadlined, peer: str) -> Outcome | None:
        """Count a new connection in, or say why there may be no more."""
        if len(self.clients) + len(self.tunnels) >= self._connection_limit:
            return errors.TOO_MANY_CONNECTIONS
        limit = self.settings.max_connections_per_client
        if limit:
            n = self._per_client.get(peer, 0)
            if n >= limit:
                return errors.TOO_MANY_OF_CLIENT
            self._per_client[peer] = n + 1
        self.clients.add(client)
        return None

    def left(self, peer: str) -> None:
        """A connection that was admitted is gone."""
        if self._per_client:
            n = self._per_client.pop(peer, 0) - 1
            if n > 0:
                self._per_client[peer] = n

    def ingress_for(self, transport: asyncio.BaseTransport) -> Ingress:
        """What all requests on a client's connection have in common."""
        peer = transport.get_extra_info("peername")
        sock = transport.get_extra_info("sockname")
        address = peer[0] if isinstance(peer, tuple) else "unknown"
        port = sock[1] if isinstance(sock, tuple) else 80
        lines = (
            f"X-Forwarded-For: {address}\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: {port}\r\n"
        )
        settings = self.settings
        return Ingress(
            forwarded=lines.encode(),
            peer=address.encode(),
            is_trusted=bool(settings.trusted_proxies) and self._trusts(address),
            via=b"Via: 1.1 turnout\r\n" if settings.via else b"",
            max_target_bytes=settings.max_target_bytes,
            max_fields=settings.max_fields,
        )

    def _trusts(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._trusted)

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send bytes at the end of this turn of the loop, in order with all others.

        Sending wakes the receiver, and waking a sleeping core is what a send costs most. Sent one
        after the other, the writes of a turn find it awake; see benchmarks/README.md.
        """
        if not self._writes:
            self.loop.call_soon(self.flush)
        self._writes.append((transport, data))

    def write_more(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send bytes that follow others: with them in one call if those have not left yet.

        A request's head and its body come in one read; apart they cost a second system call.
        """
        if self._writes and self._writes[-1][0] is transport:
            _, before = self._writes[-1]
            self._writes[-1] = (transport, before + data)
        else:
            self.write(transport, data)

    def flush(self) -> None:
        """Send what was written in this turn."""
        writes, self._writes = self._writes, []
        for transport, data in writes:
            transport.write(data)

    def new_id(self) -> bytes:
        """A fresh request id: 128 random bits in hexadecimal."""
        at = self._id_at
        if at >= len(self._ids):
            self._ids = os.urandom(16 * _IDS_AT_ONCE).hex().encode()  # one call for many requests
            at = 0
        self._id_at = at + 32
        return self._ids[at : at + 32]

    def connect(self, replica: Replica, waiting: Waiting) -> None:
        """Open a connection to a replica; `waiting` hears how it went."""
        task = self.loop.create_task(self._connect(replica, waiting))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, replica: Replica, waiting: Waiting) -> None:
        try:
            async with asyncio.timeout(self.settings.connect_timeout_s):
                _, connection = await self.loop.create_connection(
                    partial(UpstreamConnection, self, replica), replica.host, replica.port
                )
        except TimeoutError:
            waiting.connect_failed(errors.CONNECT_TIMEOUT)
        except OSError:
            waiting.connect_failed(errors.CONNECT_FAILED)
        else:
            waiting.connected(connection)
