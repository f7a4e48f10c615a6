"""Which replica a request goes to: its route, the revision that was drawn, what was tried.

Invariant: from its routing to its end a request is in flight at exactly one revision. No I/O.
"""

from __future__ import annotations

from random import random
from typing import Final

from router.contract import outcomes
from router.contract.outcomes import Outcome
from router.forwarding.context import Context
from router.http.request_head import RequestHead
from router.http.seams import ClientSide
from router.routing.replicas import Replica
from router.routing.selection import less_loaded, with_room
from router.routing.table import RevisionRoute, Route

STALE: Final = "stale"  # the replica closed an idle connection just when it was used


class Choice:
    """The choice for one request; made anew when the table changes before it was sent."""

    __slots__ = ("reason", "revision", "route", "_client", "_context", "_head", "_tried")

    def __init__(self, context: Context, client: ClientSide, head: RequestHead) -> None:
        self.route: Route | None = None
        self.revision: RevisionRoute | None = None
        self.reason = ""  # of this revision: weight, label, revision, retry
        self._context = context
        self._client = client
        self._head = head
        self._tried: tuple[Replica, ...] = ()

    def draw(self) -> Outcome | None:
        """Route by the table in force and draw a revision, or the answer if there is none."""
        context = self._context
        found = context.table.lookup(self._head.host_key)
        if isinstance(found, Outcome):
            found = self._missed(found)
        if isinstance(found, Outcome):
            return found
        self.route = found
        if context.shedding and random() < context.shedding.get(found.app, 0.0):
            return outcomes.ROUTER_OVERLOADED
        if 0 < context.settings.max_body_bytes < self._head.length:
            return outcomes.CONTENT_TOO_LARGE
        revision = found.revision()
        if revision is None:
            return found.outcome or outcomes.NO_READY_REPLICA
        self.reason = found.reason
        self.revision = revision
        revision.stats.in_flight += 1
        return None

    def forget_revision(self) -> None:
        """The replica that was chosen left the table: draw again."""
        assert self.revision is not None
        self.revision.stats.in_flight -= 1
        self.revision = None

    def _missed(self, found: Outcome) -> Route | Outcome:
        """Where a host that is not there for the public leads for this client."""
        context = self._context
        if found is outcomes.HOST_NOT_FOUND and context.inside.has(self._client.peer):
            return context.table.lookup_inside(self._head.host_key)
        return found

    def follow_table(self) -> Outcome | None:
        """Route by the table in force, some time after the request was; an answer if it cannot be.

        A replica that left the table is ended once what it was sent is answered: nothing may go
        there any more. The revision stays the same if it can.
        """
        known = self.revision
        assert known is not None
        found = self._context.table.lookup(self._head.host_key)
        if isinstance(found, Outcome):
            found = self._missed(found)
        if isinstance(found, Outcome):
            return found
        if found is self.route:
            return None
        revision = found.named(known.name) or found.revision()
        if revision is None:
            return found.outcome or outcomes.NO_READY_REPLICA
        self.route, self.reason = found, found.reason
        self._move_to(revision)
        return None

    def _move_to(self, revision: RevisionRoute) -> None:
        assert self.revision is not None
        self.revision.stats.in_flight -= 1
        revision.stats.in_flight += 1
        self.revision = revision

    # --- replicas

    def replica(self) -> Replica | None:
        """The less loaded of two replicas that were not tried yet."""
        revision = self.revision
        assert revision is not None
        context = self._context
        now = context.clock.now
        replica = less_loaded(revision.replicas, now, self._tried)
        if replica is None and self._tried and context.settings.retry_other_revisions:
            return self._of_another_revision(now)
        return replica

    def _of_another_revision(self, now: float) -> Replica | None:
        """A replica of the same split: a dead revision costs no user a failure."""
        assert self.route is not None
        assert self.revision is not None
        for other in self.route.others(self.revision):
            replica = less_loaded(other.replicas, now, self._tried)
            if replica is not None:
                self._move_to(other)
                return replica
        return None

    def with_room(self) -> Replica | None:
        """One that has room, when the one that was drawn has none."""
        assert self.revision is not None
        return with_room(self.revision.replicas, self._context.clock.now, self._tried)

    def exclude(self, replica: Replica) -> None:
        """It failed: this request does not go there again."""
        self._tried = (*self._tried, replica)

    def excludes(self, replica: Replica) -> bool:
        """Whether this request was there already."""
        return replica in self._tried

    def with_tunnel_left(self, drawn: Replica) -> Replica | None:
        """The replica that was drawn, or another of its revision if that has all its tunnels.

        A full one counts as tried, so that neither the queue nor a retry leads to it. The split is
        for the operator to say: what does not fit goes to no other revision, just as requests.
        """
        assert self.revision is not None
        replicas, limit = self.revision.replicas, self._context.tunnel_limit
        full = [r for r in replicas if r.tunnels >= limit and r not in self._tried]
        self._tried = (*self._tried, *full)
        if drawn not in full:
            return drawn
        return less_loaded(replicas, self._context.clock.now, self._tried)

    # --- failures

    def may_retry(self, reason: str) -> bool:
        """Whether the budget of the revision that failed has one more retry in it."""
        assert self.revision is not None
        if reason == STALE:
            return True  # the replica is well, only the connection was old: no load is added
        stats, settings = self.revision.stats, self._context.settings
        return stats.budget.take(
            stats.requests + stats.in_flight,
            settings.retry_budget_percent / 100,
            settings.retry_min_per_s,
        )

    def eject(self, replica: Replica) -> None:
        """Pass the replica over for a while."""
        assert self.revision is not None
        replica.eject(self._context.clock.now, self._context.settings.slow_start_s)
        self.revision.stats.ejections += 1

    def note_fault(self, replica: Replica) -> None:
        """The replica answered 502, 503 or 504, or not in time: too often, and it is passed over.

        Not if less than half of its revision were left: then the fault is not this replica's.
        """
        replica.faults += 1
        limit, revision = self._context.settings.eject_after_faults, self.revision
        if not limit or replica.faults < limit or revision is None:
            return
        if revision.can_spare(replica, self._context.clock.now):
            self.eject(replica)
