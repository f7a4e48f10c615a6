"""How a request gets to a replica: waiting for room, connecting, sending, and sending again.

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
from router.forwarding.choice import STALE, Choice
from router.forwarding.context import Context
from router.forwarding.held_body import HeldBody
from router.forwarding.states import CONNECTING, DELAYED, ENDED, QUEUED, ROUTING, SENT, moved
from router.http.request_head import RequestHead
from router.http.seams import ClientSide, ExchangeSide, UpstreamSide
from router.routing.replicas import Queued, Replica
from router.routing.table import FaultRoute

if TYPE_CHECKING:
    import asyncio

# A pooled connection idle for longer than this is not used for a request that cannot be sent
# twice: the replica may be closing it this very moment, and the loss would be the client's.
_FRESH_ENOUGH_S: Final = 1.0
# An injected delay is its timer's to end and a connect the connector's; the sweeper ends only
# what these have missed.
_DELAY_GRACE_S: Final = 5.0
_CONNECT_GRACE_S: Final = 1.0


class Asker(ExchangeSide):
    """The exchange as its attempts know it: what waits for them, and hears what comes of one."""

    __slots__ = ()

    @abstractmethod
    def delayed(self) -> None:
        """An injected delay is over."""

    @abstractmethod
    def admitted(self, replica: Replica) -> None:
        """The first of the queue is called: the replica has room, or left the table."""

    @abstractmethod
    def connected(self, connection: UpstreamSide) -> None:
        """The connection that was asked for is open."""

    @abstractmethod
    def connect_failed(self, outcome: Outcome) -> None:
        """The connection could not be opened."""

    @abstractmethod
    def replica_left(self) -> None:
        """The replica left the table before it accepted."""


class Attempts:
    """The attempts of one request to reach a replica, one after the other.

    Each step returns None while the request is on its way, or the answer that is left to give
    when there is no way on. The exchange is handed to each step and not kept: the two would be a
    cycle, which only the collector can free.
    """

    __slots__ = (
        "state",
        "replica",
        "upstream",
        "sent_at",
        "_client",
        "_choice",
        "_connecting",
        "_context",
        "_head",
        "_held",
        "_queue",
        "_queued_until",
        "_delayed_until",
        "_was_sent",
    )

    def __init__(
        self, context: Context, client: ClientSide, head: RequestHead, choice: Choice
    ) -> None:
        self.state = ROUTING
        self.replica: Replica | None = None  # at which the request is in flight
        self.upstream: UpstreamSide | None = None  # while SENT, until the answer is complete
        self.sent_at = 0.0
        self._client = client
        self._choice = choice
        self._connecting: asyncio.Task[None] | None = None  # while CONNECTING
        self._context = context
        self._head = head
        self._held = HeldBody(context.settings.replay_bytes) if head.has_body else None
        self._queue: deque[Queued] | None = None  # while QUEUED
        self._queued_until = 0.0  # however often it is called in vain
        self._delayed_until = 0.0
        self._was_sent = False  # on a connection that broke

    # --- choosing

    def start(self, asker: Asker) -> Outcome | None:
        """Make the first attempt."""
        choice = self._choice
        refusal = choice.draw()
        if refusal is not None or choice.revision is None:
            return refusal
        if choice.revision.fault is not None:
            return self._suffer(asker, choice.revision.fault)
        return self._attempt(asker, outcomes.NO_READY_REPLICA)

    def _suffer(self, asker: Asker, fault: FaultRoute) -> Outcome | None:
        """An injected fault: some requests are answered with an error, some wait first."""
        if monotonic() >= fault.ends_at:  # it ends by itself, also when no table comes
            return self._attempt(asker, outcomes.NO_READY_REPLICA)
        if random() * 100 < fault.abort_percent:
            return fault.outcome
        if random() * 100 < fault.delay_percent:
            self.state = moved(self.state, DELAYED)
            self._delayed_until = self._context.clock.now + fault.delay_s
            self._context.clock.later(fault.delay_s, asker.delayed)
            return None
        return self._attempt(asker, outcomes.NO_READY_REPLICA)

    def delayed(self, asker: Asker) -> Outcome | None:
        """Go on after an injected delay, in which the table may have changed."""
        self.state = moved(self.state, ROUTING)
        refusal = self._choice.follow_table()
        if refusal is not None:
            return refusal
        return self._attempt(asker, outcomes.NO_READY_REPLICA)

    def _retry(self, asker: Asker, otherwise: Outcome, reason: str) -> Outcome | None:
        choice = self._choice
        failed = choice.revision
        assert failed is not None
        # Routed anew: since the request was, its replicas may have left the table, and are ended.
        if not choice.may_retry(reason) or choice.follow_table() is not None:
            return otherwise
        refusal = self._attempt(asker, otherwise)
        if refusal is None:
            failed.stats.retries[reason] += 1
            choice.reason = "retry"
        return refusal

    def _attempt(self, asker: Asker, otherwise: Outcome) -> Outcome | None:
        """Try one more replica, or give the answer that the last attempt earned."""
        choice = self._choice
        replica = choice.replica()
        if replica is not None and self._head.upgrade:
            otherwise = outcomes.REPLICA_OVERLOADED
            replica = choice.with_tunnel_left(replica)
        if replica is None:
            return otherwise
        if replica.in_flight >= replica.limit:
            return self._find_room(asker, replica)
        self._use(asker, replica)
        return None

    # --- waiting for room

    def _find_room(self, asker: Asker, full: Replica) -> Outcome | None:
        """Another replica of the revision that has room, else a place in the queue."""
        context = self._context
        roomy = self._choice.with_room()
        if roomy is not None:
            self._use(asker, roomy)
            return None
        if len(full.queue) >= context.queue_limit:
            return outcomes.REPLICA_OVERLOADED
        if not self._queued_until:
            self._queued_until = context.clock.now + context.settings.queue_timeout_s
        self._wait(asker, full.queue)
        return None

    def _wait(self, asker: Asker, queue: deque[Queued]) -> None:
        self.state = moved(self.state, QUEUED)
        self._queue = queue
        queue.append(asker)

    def admitted(self, asker: Asker, replica: Replica) -> Outcome | None:
        """It was the first of the queue, and has left it by this call."""
        self._queue = None
        self.state = moved(self.state, ROUTING)
        if replica.departed:
            return self._start_again(asker)
        if self._choice.excludes(replica):  # room for others; this one waits for another replica
            self._wait(asker, replica.queue)
            return None
        context = self._context
        is_ejected = replica.ejected_until > context.clock.now
        # It became free because it fails, or by a request and not by a tunnel: choose anew.
        if is_ejected or (self._head.upgrade and replica.tunnels >= context.tunnel_limit):
            return self._attempt(asker, outcomes.NO_READY_REPLICA)
        self._use(asker, replica)
        return None

    def _start_again(self, asker: Asker) -> Outcome | None:
        """By the table in force now: nothing has been sent."""
        self._choice.forget_revision()
        return self.start(asker)

    # --- connecting

    def _use(self, asker: Asker, replica: Replica) -> None:
        self.replica = replica
        replica.in_flight += 1
        connection = None
        if not self._was_sent:  # one that may be closing is no place for a last attempt
            fresh = self._context.clock.now - _FRESH_ENOUGH_S
            connection = replica.take_idle(0.0 if self._head.is_idempotent else fresh)
        if connection is not None:
            self._send(asker, connection)
        else:
            self.state = moved(self.state, CONNECTING)
            self._connecting = self._context.connector.connect(replica, asker)

    def connected(self, asker: Asker, connection: UpstreamSide) -> None:
        """The connection that was asked for is open."""
        self._connecting = None
        self._send(asker, connection)

    def _send(self, asker: Asker, connection: UpstreamSide) -> None:
        """Send the head and what has arrived of the body."""
        self.state = moved(self.state, SENT)
        self.upstream = connection
        self.sent_at = perf_counter()
        head = self._head
        wire = head.wire if self._held is None else self._held.behind(head.wire)
        connection.begin(asker, wire, is_head=head.method == b"HEAD")
        if self._client.is_blocked:  # by the answer before, while this request waited
            connection.hold()

    def patience_s(self) -> float:
        """How long the request may still wait before it is sent."""
        if self.state == QUEUED:
            return self._queued_until - self._context.clock.now
        if self.state == DELAYED:
            return self._delayed_until - self._context.clock.now + _DELAY_GRACE_S
        return self._context.settings.connect_timeout_s + _CONNECT_GRACE_S

    def send_body(self, data: bytes) -> None:
        """Send more of the body, or hold it until there is a connection."""
        held, upstream = self._held, self.upstream
        assert held is not None
        held.add(data)
        if upstream is None:
            if held.is_full:
                self._client.hold_body()
            return
        # One that is long or must not be sent twice is let go of, once the replica may have seen
        # something of it.
        if held.is_whole and (held.is_full or (not self._head.is_idempotent and upstream.has_sent)):
            held.let_go()
        upstream.write(data)

    # --- what became of an attempt

    def connect_failed(self, asker: Asker, outcome: Outcome) -> Outcome | None:
        """Nothing was sent, so any request may go to another replica."""
        self._connecting = None
        self.state = moved(self.state, ROUTING)
        if outcome is outcomes.OUT_OF_SOCKETS:
            # The router's own trouble. Ejecting the replica for it would send the load, and the
            # same trouble, to the next one.
            return outcome
        self._lose_replica()
        return self._retry(asker, outcome, "connect")

    def replica_left(self, asker: Asker) -> Outcome | None:
        """The address of a dead container never answers, so it is not waited for."""
        self._stop_connecting()
        self.state = moved(self.state, ROUTING)
        self._leave_replica()
        return self._start_again(asker)

    def answered(self, status: int) -> None:
        """The replica answers: the request is not sent again, whatever comes of the answer."""
        replica = self.replica
        assert replica is not None
        if self._held is not None:
            self._held.let_go()
        if 502 <= status <= 504:
            self._choice.note_fault(replica)
        elif replica.failures or replica.faults:
            replica.answered()

    def silent(self) -> None:
        """The replica did not answer in time."""
        if self.replica is not None:
            self._choice.note_fault(self.replica)

    def lost(self, asker: Asker) -> Outcome | None:
        """The connection broke before the answer began."""
        connection, self.upstream = self.upstream, None
        assert connection is not None
        self.state = moved(self.state, ROUTING)
        has_sent = connection.has_sent
        is_replayable = self._held is None or self._held.is_whole
        if not is_replayable or (has_sent and not self._head.is_idempotent):
            # What the replica did with it is not known, and only the client can tell whether it
            # does harm a second time.
            return outcomes.UPSTREAM_RESET
        if self._was_sent and has_sent:
            # The second connection that broke on it: it may be the request that breaks replicas,
            # and sent on and on it would take all of them down.
            self._lose_replica()
            return outcomes.UPSTREAM_RESET
        if connection.used > 1:
            # The replica closed an idle connection as we used it: its right (RFC 9112 §9.3.1).
            self._was_sent = True
            self._leave_replica()
            return self._retry(asker, outcomes.UPSTREAM_RESET, STALE)
        self._was_sent = self._was_sent or has_sent
        self._lose_replica()
        return self._retry(asker, outcomes.UPSTREAM_RESET, "reset")

    def _lose_replica(self) -> None:
        replica = self.replica
        assert replica is not None
        # Eject first: leaving hands this slot to the next queued request, which must not go to a
        # replica that just failed.
        self._choice.eject(replica)
        self._leave_replica()
        self._choice.exclude(replica)

    def _leave_replica(self) -> None:
        replica, self.replica = self.replica, None
        assert replica is not None
        replica.leave()

    # --- the end

    def done(self, *, is_reusable: bool) -> None:
        """The answer is complete: what becomes of the connection."""
        upstream, self.upstream = self.upstream, None
        if upstream is None:
            return
        if is_reusable:
            upstream.release(self._context.clock.now)
        else:
            upstream.close()

    def drop(self) -> None:
        """Give up the connection, or the one on its way: the replica need not go on."""
        self._stop_connecting()
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.close()

    def end(self, asker: Asker) -> None:
        """The exchange is over: leave the queue or the replica, which stays named for the log."""
        self.state = ENDED  # from any state; the exchange sees to it that it is over only once
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.remove(asker)
        replica = self.replica
        if replica is not None:
            replica.leave()

    def _stop_connecting(self) -> None:
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
