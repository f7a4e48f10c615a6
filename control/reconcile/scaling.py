"""How many replicas each revision has, and which of them leave. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from control.model.clock import Moment
from control.model.kinds import ReplicaName, RevisionName
from control.model.resources import AppView, Provisioning, Replica, ReplicaState, Revision
from control.rules import target_ports

NewReplicaName = Callable[[RevisionName], ReplicaName]


def wanted(revision: Revision) -> int:
    """Replicas to run. Scaling on load comes later, so min 0 keeps one."""
    if revision.template.endpoints:
        return len(revision.template.endpoints)
    is_young = revision.provisioning is not Provisioning.PROVISIONED
    return max(1, revision.template.scale.min_replicas, revision.needed if is_young else 0)


def scaled(view: AppView, name: RevisionName, now: Moment, new_name: NewReplicaName) -> AppView:
    """The view with as many replicas of a revision as are wanted.

    A restart brings a new one up before an old one goes.
    """
    app, revision = view.existing_app(), view.revisions[name]
    if not revision.is_active or app.is_stopped:
        return view
    mine = view.of(name)
    if app.recreates and len(mine) < len(view.replicas):
        return view  # the other revision's replicas end first: two must never run
    staying = [r for r in mine if not r.is_leaving]
    current = [r for r in staying if target_ports.is_current(r, revision)]
    surge = 1 if len(current) < len(staying) else 0
    room = wanted(revision) + surge - len(staying)
    missing = max(0, min(room, wanted(revision) - len(current)))
    made = [_made(revision, new_name(name), now.wall) for _ in range(missing)]
    leaving = [_leaving(r, now.steady) for r in _superfluous(staying, revision)]
    return view.with_replica(*made, *leaving)


def drained(view: AppView, now: float) -> AppView:
    """The view with every replica on its way out whose revision is not to run any more."""
    return view.with_replica(
        *(
            _leaving(replica, now)
            for replica in view.replicas.values()
            if not replica.is_leaving and not _is_wanted(view, replica)
        )
    )


def _made(revision: Revision, name: ReplicaName, now: float) -> Replica:
    return Replica(
        name=name,
        app=revision.app,
        revision=revision.name,
        revision_uid=revision.uid,
        created_at=now,
        generation=revision.generation,
        target_port=revision.target_port,
        runtime=revision.template.runtime,
        grace_s=revision.template.termination_grace_period_seconds,
    )


def _superfluous(staying: list[Replica], revision: Revision) -> list[Replica]:
    """Those beyond what is wanted: old ones first, and of these the ones that are not ready."""
    count, ready, found = wanted(revision), sum(r.is_ready for r in staying), []
    current = [r for r in staying if target_ports.is_current(r, revision)]
    old = [r for r in staying if not target_ports.is_current(r, revision)]
    surplus = [*sorted(old, key=lambda r: r.is_ready), *reversed(current)]
    for replica in surplus[: max(0, len(staying) - count)]:
        if replica.is_ready and ready <= count:
            continue  # it still carries its share; the one that replaces it is not ready yet
        ready -= replica.is_ready
        found.append(replica)
    return found


def _leaving(replica: Replica, now: float) -> Replica:
    return replace(replica, state=ReplicaState.DRAINING, drain_since=now)


def _is_wanted(view: AppView, replica: Replica) -> bool:
    app, revision = view.app, view.revisions.get(replica.revision)
    if app is None or app.is_stopped or revision is None:
        return False
    return revision.uid == replica.revision_uid and revision.is_active
