"""What the connections and exchanges of one worker share: parts that each own one thing."""

from __future__ import annotations

import asyncio

from router.contract.settings import RouterSettings
from router.forwarding.access_log import AccessLog
from router.forwarding.admission import Admission
from router.forwarding.tunnel import Tunnels
from router.http.request_ids import RequestIds
from router.loop.clock import Clock
from router.loop.outbox import Outbox
from router.routing import table
from router.routing.inside import Inside
from router.routing.replicas import ReplicaRegistry
from router.routing.stats import WorkerStats
from router.routing.table import RoutingTable
from router.tracing.tracer import Tracer
from router.upstream.connector import Connector


class Context:
    """One worker's shared state. `table` is replaced whole; its routes are never changed."""

    def __init__(self, settings: RouterSettings, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.clock = Clock(loop)
        self.outbox = Outbox(loop)
        self.stats = WorkerStats()
        self.access_log: AccessLog | None = None
        self.tracer: Tracer | None = None
        # clients
        self.tunnels = Tunnels(self.clock, self.outbox, settings, self.stats)
        self.clients = Admission(settings, self.stats, self.tunnels)
        self.ids = RequestIds()
        self.inside = Inside(settings.internal_networks)
        # replicas
        self.table: RoutingTable = table.EMPTY
        self.registry = ReplicaRegistry(settings.share(settings.max_in_flight_per_replica))
        self.connector = Connector(loop, self.outbox, settings)
        self.queue_limit = settings.share(settings.max_queue_per_revision)
        self.tunnel_limit = settings.share(settings.max_tunnels_per_replica)
        # how the worker is
        self.shedding: dict[str, float] = {}  # by app, of its requests, while the loop is late
        self.is_draining = False  # every answer from now on ends its connection
        self.is_leaving = False  # and so does the end of one that has begun
