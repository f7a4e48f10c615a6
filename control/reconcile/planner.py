"""What to do next for one app: a pure function from what is to the steps towards what should be.

Level-triggered: it looks at the state, never at what happened, so it may run at any time, any
number of times, after any crash. The order of a deploy is the order of the rules in `_followed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from control.history import journal, label_history
from control.history.journal import Record
from control.model import labels
from control.model.clock import Moment
from control.model.kinds import ReplicaName
from control.model.resources import AppView, Replica, ReplicaState
from control.reconcile import readiness, scaling, switching
from control.reconcile.limits import Limits
from control.reconcile.scaling import NewReplicaName
from control.rules import faults
from control.rules.commands import purge
from control.rules.rollback import restore
from control.rules.sameness import is_same

_S = ReplicaState


@dataclass(frozen=True, slots=True)
class Plan:
    """The view as it should be recorded, and what is to be done outside."""

    view: AppView
    wake_at: float  # steady: when time alone changes the plan
    record: Record | None  # what of it belongs in the journal

    @property
    def starts(self) -> list[Replica]:
        return self._in(_S.PENDING)

    @property
    def ends(self) -> list[Replica]:
        """To be started again later."""
        return self._in(_S.RESTARTING)

    @property
    def stops(self) -> list[Replica]:
        return self._in(_S.STOPPING)

    def _in(self, state: ReplicaState) -> list[Replica]:
        return [replica for replica in self.view.replicas.values() if replica.state is state]


CanStop = Callable[[ReplicaName, bool], bool]  # a replica, and whether its drain timeout is over


def plan(
    view: AppView, now: Moment, limits: Limits, can_stop: CanStop, new_name: NewReplicaName
) -> Plan:
    """The next steps for one app. `can_stop` says whether no router uses a replica."""
    after = _followed(view, now, limits, new_name) if view.app is not None else view
    after = scaling.drained(after, now.steady)
    after = after.with_replica(*_due(after, now.steady, limits, can_stop))
    after = label_history.follow(view, after, now.wall)
    wake_at = min(_alarms(after, now.steady, limits), default=float("inf"))
    app = after.app
    if app is None or is_same(view, _unstamped(after, view)):
        return Plan(after, wake_at, None)
    # A change that no caller made raises the version too: If-Match has to notice it.
    after = after.with_app(replace(app, version=app.version + 1))
    return Plan(after, wake_at, journal.own_record(app.name, view, after, now.wall))


def _followed(view: AppView, now: Moment, limits: Limits, new_name: NewReplicaName) -> AppView:
    """What follows from how the app's replicas are, one rule after the other."""
    for name in view.revisions:
        view = readiness.judged(view, name, now.steady, limits)
    view = restore(view, now.wall)
    view = switching.switched(view, now.wall)
    view = labels.settle(view, now.wall)
    view = faults.without_ended(purge(view), now.steady)
    for name in view.revisions:
        view = scaling.scaled(view, name, now, new_name)
    return view


def _unstamped(view: AppView, old: AppView) -> AppView:
    """The view without what only says since when an attempt is timed: nobody is shown that."""
    return view.with_revision(
        *(
            replace(r, attempt_at=was.attempt_at, attempt_since=was.attempt_since)
            for name, r in view.revisions.items()
            if (was := old.revisions.get(name)) is not None and r is not was
        )
    )


def _due(view: AppView, now: float, limits: Limits, can_stop: CanStop) -> Iterator[Replica]:
    """The replicas whose pause is over or that nobody uses any more, in their next state."""
    for replica in view.replicas.values():
        if replica.state is _S.BACKOFF and now >= replica.start_again_at:
            yield replace(replica, state=_S.PENDING)
        elif replica.state is _S.DRAINING:
            is_late = now >= replica.drain_since + limits.drain_timeout_s
            # The timeout ends the wait for answers, never that for a router which still routes
            # to the replica: that one would send requests to nobody.
            if can_stop(replica.name, is_late):
                yield replace(replica, state=_S.STOPPING)


def _alarms(view: AppView, now: float, limits: Limits) -> Iterator[float]:
    """The steady moments at which time alone changes the plan."""
    app = view.app
    if app is not None and not app.is_stopped:
        for revision in view.revisions.values():
            if readiness.is_timed(revision):
                yield revision.attempt_since + limits.progress_deadline_s
    if app is not None:
        yield from (fault["ends_at"] for fault in app.faults.values())
    for replica in view.replicas.values():
        if replica.state is _S.BACKOFF:
            yield replica.start_again_at
        elif replica.state is _S.DRAINING:
            ends_at = replica.drain_since + limits.drain_timeout_s
            if now < ends_at:  # later, only a router's report changes anything
                yield ends_at
