"""How a request gets to a replica: routing, waiting for room, attempts, retries.

A request is sent again only if no byte of a response was passed on and it can be replayed; to
each replica at most once, and only within the budget of the revision that failed. One that a
replica may have died of is sent once more in all: it must not take the others along.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from random import random
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final

from router.contract import outcomes
from router.contract.outcomes import Outcome
from router.forwarding.context import Edge
from router.http.request_head import RequestHead
from router.http.response_head import ResponseHead
from router.http.seams import ClientSide, ExchangeSide, UpstreamSide
from router.routing.replicas import Queued, Replica
from router.routing.selection import less_loaded, with_room
from router.routing.table import FaultRoute, RevisionRoute, Route

if TYPE_CHECKING:
    import asyncio


# A pooled connection idle for longer than this is not used for a request that cannot be sent
# twice: the replica may be closing it this very moment, and the loss would be the client's.
_FRESH_ENOUGH_S: Final = 1.0
_DELAY_GRACE_S: Final = 5.0  # an injected delay is the timer's to end, never the sweeper's


class Attempts(ExchangeSide):
    """The way of one request to a replica; `Exchange` goes on from there."""

    __slots__ = (
        "edge",
        "client",
        "head",
        "route",
        "revision",
        "replica",
        "upstream",
        "reason",
        "is_over",
        "response",
        # attempts
        "_tried",
        "_resent",
        "_queue",
        "_waits_until",
        "_connecting",
        "_held",
        "_held_bytes",
        "request_ended",
        # accounting
        "started",
        "sent_at",
    )

    def __init__(self, edge: Edge, client: ClientSide, head: RequestHead) -> None:
        self.edge = edge
        self.client = client
        self.head = head
        self.route: Route | None = None
        self.revision: RevisionRoute | None = None
        self.replica: Replica | None = None
        self.upstream: UpstreamSide | None = None
        self.reason = ""
        self.is_over = False
        self.response: ResponseHead | None = None
        self._tried: tuple[Replica, ...] = ()
        self._resent = False  # after a connection broke on which it had been sent
        self._queue: deque[Queued] | None = None
        self._waits_until = 0.0  # for room, however often it is called in vain
        self._connecting: asyncio.Task[None] | None = None
        self._held: list[bytes] | None = []
        self._held_bytes = 0
        self.request_ended = not head.has_body
        self.started = perf_counter()
        self.sent_at = 0.0

    # --- choosing

    def start(self) -> None:
        """Route the request by the table in force now, and make the first attempt."""
        edge = self.edge
        found = edge.table.lookup(self.head.host_key)
        if isinstance(found, Outcome):
            found = edge.missed(found, self.head.host_key, self.client)
        if isinstance(found, Outcome):
            self._refuse(found)
            return
        self.route = found
        if edge.shedding and random() < edge.shedding.get(found.app, 0.0):
            self._refuse(outcomes.ROUTER_OVERLOADED)
            return
        if not self.request_ended and 0 < edge.settings.max_body_bytes < self.head.length:
            self._refuse(outcomes.CONTENT_TOO_LARGE)
            return
        revision = found.revision()
        if revision is None:
            self._refuse(found.outcome or outcomes.NO_READY_REPLICA)
            return
        self.reason = found.reason
        self.revision = revision
        revision.stats.in_flight += 1
        if revision.fault is None:
            self._attempt(outcomes.NO_READY_REPLICA)
        else:
            self._suffer(revision.fault)

    def _suffer(self, fault: FaultRoute) -> None:
        """An injected fault: some requests are answered with an error, some wait first."""
        if monotonic() >= fault.ends_at:
            self._attempt(outcomes.NO_READY_REPLICA)
        elif random() * 100 < fault.abort_percent:
            self._refuse(fault.outcome)
        elif random() * 100 < fault.delay_percent:
            self.client.arm(fault.delay_s + _DELAY_GRACE_S)
            self.edge.clock.later(fault.delay_s, self._delayed)
        else:
            self._attempt(outcomes.NO_READY_REPLICA)

    def _delayed(self) -> None:
        if self.is_over:
            return
        gone = self._follow_table()
        if gone is None:
            self._attempt(outcomes.NO_READY_REPLICA)
        else:
            self._refuse(gone)

    def _attempt(self, otherwise: Outcome, *, retry_for: str = "") -> None:
        """Try one more replica, or give the answer that the last attempt earned."""
        failed = self.revision
        if retry_for and (not self._may_retry(retry_for) or self._follow_table() is not None):
            self._refuse(otherwise)
            return
        replica = self._next_replica()
        if replica is not None and self.head.upgrade:
            otherwise = outcomes.REPLICA_OVERLOADED
            replica = self._with_tunnel_left(replica)
        if replica is None:
            self._refuse(otherwise)
            return
        if retry_for and failed is not None:
            failed.stats.retries[retry_for] += 1
            self.reason = "retry"
        if replica.in_flight < replica.limit:
            self._use(replica)
        else:
            self._find_room(replica)

    def _follow_table(self) -> Outcome | None:
        """Route by the table in force, some time after the request was; an answer if it cannot be.

        A replica that left the table is ended once what it was sent is answered: nothing may go
        there any more. The revision stays the same if it can.
        """
        edge, known = self.edge, self.revision
        assert known is not None
        found = edge.table.lookup(self.head.host_key)
        if isinstance(found, Outcome):
            found = edge.missed(found, self.head.host_key, self.client)
        if isinstance(found, Outcome):
            return found
        if found is self.route:
            return None
        revision = found.named(known.name) or found.revision()
        if revision is None:
            return found.outcome or outcomes.NO_READY_REPLICA
        known.stats.in_flight -= 1
        revision.stats.in_flight += 1
        self.route, self.revision, self.reason = found, revision, found.reason
        return None

    def _may_retry(self, reason: str) -> bool:
        assert self.revision is not None
        if reason == "stale":
            return True  # the replica is well, only the connection was old: no load is added
        stats, settings = self.revision.stats, self.edge.settings
        return stats.budget.take(
            stats.requests + stats.in_flight,
            settings.retry_budget_percent / 100,
            settings.retry_min_per_s,
        )

    def _next_replica(self) -> Replica | None:
        assert self.revision is not None
        assert self.route is not None
        now = self.edge.clock.now
        replica = less_loaded(self.revision.replicas, now, self._tried)
        if replica is not None or not self._tried or not self.edge.settings.retry_other_revisions:
            return replica
        for other in self.route.others(self.revision):  # a dead revision costs no user a failure
            replica = less_loaded(other.replicas, now, self._tried)
            if replica is not None:
                self.revision.stats.in_flight -= 1
                other.stats.in_flight += 1
                self.revision = other
                return replica
        return None

    def _with_tunnel_left(self, drawn: Replica) -> Replica | None:
        """The replica that was drawn, or another of its revision if that has all its tunnels.

        A full one counts as tried, so that neither the queue nor a retry leads to it. The split is
        for the operator to say: what does not fit goes to no other revision, just as requests.
        """
        assert self.revision is not None
        replicas, limit = self.revision.replicas, self.edge.tunnel_limit
        full = [r for r in replicas if r.tunnels >= limit and r not in self._tried]
        self._tried = (*self._tried, *full)
        return less_loaded(replicas, self.edge.clock.now, self._tried) if drawn in full else drawn

    # --- waiting for room

    def _find_room(self, full: Replica) -> None:
        """Another replica of the revision that has room, else a place in the queue."""
        assert self.revision is not None
        edge = self.edge
        roomy = with_room(self.revision.replicas, edge.clock.now, self._tried)
        if roomy is not None:
            self._use(roomy)
        elif len(full.queue) >= edge.queue_limit:
            self._refuse(outcomes.REPLICA_OVERLOADED)
        else:
            self._waits_until = self._waits_until or edge.clock.now + edge.settings.queue_timeout_s
            self._wait(full.queue)

    def _wait(self, queue: deque[Queued]) -> None:
        self._queue = queue
        queue.append(self)
        self.client.arm(self._waits_until - self.edge.clock.now)

    def admitted(self, replica: Replica) -> None:
        """The first of the queue is called: a replica has room, or left the table."""
        self._queue = None
        assert self.revision is not None
        if replica.departed:
            self._start_again()
        elif replica in self._tried:  # room for others; this one waits for another replica
            self._wait(replica.queue)
        elif replica.ejected_until > self.edge.clock.now or (
            self.head.upgrade and replica.tunnels >= self.edge.tunnel_limit
        ):
            self._attempt(outcomes.NO_READY_REPLICA)
        else:
            self._use(replica)

    def _start_again(self) -> None:
        """By the table in force now: nothing has been sent."""
        assert self.revision is not None
        self.revision.stats.in_flight -= 1
        self.revision = None
        self.start()

    def _leave_queue(self) -> None:
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.remove(self)

    # --- connecting

    def _use(self, replica: Replica) -> None:
        self.replica = replica
        replica.in_flight += 1
        connection = None
        if not self._resent:  # one that may be closing is no place for a last attempt
            fresh = self.edge.clock.now - _FRESH_ENOUGH_S
            connection = replica.take_idle(0.0 if self.head.is_idempotent else fresh)
        if connection is not None:
            self._send(connection)
        else:
            self.client.arm(self.edge.settings.connect_timeout_s + 1.0)
            self._connecting = self.edge.connector.connect(replica, self)

    def connected(self, connection: UpstreamSide) -> None:
        """The connection that was asked for is open."""
        self._connecting = None
        if self.is_over:
            connection.release(self.edge.clock.now)
            return
        self._send(connection)

    def _send(self, connection: UpstreamSide) -> None:
        """Send the head and what has arrived of the body."""
        self.upstream = connection
        self.sent_at = perf_counter()
        held = self._held or ()
        wire = self.head.wire if not held else b"".join((self.head.wire, *held))
        is_head = self.head.method == b"HEAD"
        connection.begin(self, wire, is_head=is_head)
        if self.client.is_blocked:  # by the answer before, while this request waited
            connection.hold()
        settings = self.edge.settings
        if self.request_ended:
            self.client.arm(settings.response_timeout_s)
        else:
            self.client.arm(settings.body_idle_timeout_s)
            if not connection.is_blocked:  # by the first bytes, which left at once if they are many
                self.client.resume_body()

    def _forget_unreplayable(self, connection: UpstreamSide) -> None:
        """Let go of a body that will not be sent twice, once the replica may have seen it."""
        is_long = self._held_bytes > self.edge.settings.replay_bytes
        if is_long or (not self.head.is_idempotent and connection.has_sent):
            self._held = None

    # --- losing

    def replica_left(self) -> None:
        """It left the table before it accepted; the address of a dead container never answers."""
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
            self._leave_replica()
            self._start_again()

    def connect_failed(self, outcome: Outcome) -> None:
        """No connection: nothing was sent, so any request may go to another replica."""
        self._connecting = None
        if self.is_over:
            return
        if outcome is outcomes.OUT_OF_SOCKETS:
            # The router's own trouble. Ejecting the replica for it would send the load, and the
            # same trouble, to the next one.
            self._refuse(outcome)
            return
        self._lose_replica()
        self._attempt(outcome, retry_for="connect")

    def upstream_lost(self) -> None:
        """The connection broke before the response was complete."""
        connection, self.upstream = self.upstream, None
        assert connection is not None
        is_replayable = self.head.is_idempotent or not connection.has_sent
        if self.response is not None:
            self._cut(outcomes.UPSTREAM_RESET)
        elif self._held is None or not is_replayable:
            self._refuse(outcomes.UPSTREAM_RESET)
        elif self._resent and connection.has_sent:
            self._lose_replica()
            self._refuse(outcomes.UPSTREAM_RESET)
        elif connection.used > 1:
            # The replica closed an idle connection as we used it: its right (RFC 9112 §9.3.1).
            self._resent = True
            self._leave_replica()
            self._attempt(outcomes.UPSTREAM_RESET, retry_for="stale")
        else:
            self._resent = self._resent or connection.has_sent
            self._lose_replica()
            self._attempt(outcomes.UPSTREAM_RESET, retry_for="reset")

    def _lose_replica(self) -> None:
        replica = self.replica
        assert replica is not None
        # Eject first: leaving hands this slot to the next queued request, which must not go to a
        # replica that just failed.
        self._eject(replica)
        self._leave_replica()
        self._tried = (*self._tried, replica)

    def _leave_replica(self) -> None:
        replica, self.replica = self.replica, None
        assert replica is not None
        replica.leave()

    def _eject(self, replica: Replica) -> None:
        assert self.revision is not None
        replica.eject(self.edge.clock.now, self.edge.settings.slow_start_s)
        self.revision.stats.ejections += 1

    def _note_fault(self, replica: Replica) -> None:
        """A 502, 503 or 504 of the replica's own: some in a row, and it is passed over."""
        replica.faults += 1
        limit, revision = self.edge.settings.eject_after_faults, self.revision
        if not limit or replica.faults < limit or revision is None:
            return
        if revision.can_spare(replica, self.edge.clock.now):
            self._eject(replica)

    # --- how it ends; `Exchange` knows

    @abstractmethod
    def _refuse(self, outcome: Outcome) -> None:
        """Answer in the replica's place."""

    @abstractmethod
    def _cut(self, outcome: Outcome) -> None:
        """End an answer that has begun and cannot be completed."""
