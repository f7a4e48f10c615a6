"""What to do next for one app: a pure function from what is to the steps towards what should be.

Level-triggered: it looks at the state, never at what happened, so it may run at any time, any
number of times, after any crash. The order of a deploy is the order of the rules below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from control.history import journal, label_history
from control.history.journal import Record
from control.model import labels, traffic
from control.model.clock import Moment
from control.model.errors import Invalid
from control.model.resources import App, AppView, Provisioning, Replica, ReplicaState, Revision
from control.model.schema import Configuration
from control.model.states import CRASH_LOOP
from control.rules import target_ports
from control.rules.base_revision import base_of
from control.rules.commands import expire, is_same, purge, rested, woken
from control.rules.rollback import restore


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers a plan depends on; reasons in `settings.py`."""

    progress_deadline_s: float
    crash_loop_exits: int
    drain_timeout_s: float


@dataclass(slots=True)
class Plan:
    """The view as it should be recorded, and what is to be done outside."""

    view: AppView
    starts: list[Replica] = field(default_factory=list)
    stops: list[Replica] = field(default_factory=list)
    ends: list[Replica] = field(default_factory=list)  # to be started again later
    wake_at: float = float("inf")  # steady: when time alone changes the plan
    record: Record | None = None  # what of it belongs in the journal

    def wake(self, at: float) -> None:
        """Plan again at that time at the latest."""
        self.wake_at = min(self.wake_at, at)


CanStop = Callable[[str, bool], bool]  # a replica, and whether its drain timeout is over
NewReplicaName = Callable[[str], str]


def plan(
    view: AppView, now: Moment, limits: Limits, can_stop: CanStop, new_name: NewReplicaName
) -> Plan:
    """The next steps for one app. `can_stop` says whether no router uses a replica."""
    result = Plan(AppView(view.app, dict(view.revisions), dict(view.replicas)))
    if view.app is not None:
        for name in list(view.revisions):
            _judge(result, name, now.steady, limits)
        result.view = restore(result.view, now.wall)
        _switch(result, now.wall)
        settled = labels.settle(result.view, now.wall)
        result.view, fault_ends_at = expire(purge(settled), now.steady)
        result.wake(fault_ends_at)
        for revision in result.view.revisions.values():
            _scale(result, revision, now, new_name)
    _leave(result, now.steady)
    _execute(result, now.steady, limits, can_stop)
    result.view = label_history.follow(view, result.view, now.wall)
    _record(result, view, now.wall)
    return result


def _record(plan: Plan, old: AppView, now: float) -> None:
    """A change that no caller made raises the version too: If-Match has to notice it."""
    app = plan.view.app
    if app is None or is_same(old, _unstamped(plan.view, old)):
        return
    plan.view.app = replace(app, version=app.version + 1)
    plan.record = journal.own_record(app.name, old, plan.view, now)


def _unstamped(view: AppView, old: AppView) -> AppView:
    """The view without what only says since when an attempt is timed: nobody is shown that."""
    revisions = {
        name: replace(r, attempt_at=was.attempt_at, attempt_since=was.attempt_since)
        if (was := old.revisions.get(name)) is not None
        else r
        for name, r in view.revisions.items()
    }
    return AppView(view.app, revisions, view.replicas)


# --- is a revision ready, or has it failed?


def _judge(plan: Plan, name: str, now: float, limits: Limits) -> None:
    view, revision = plan.view, plan.view.revisions[name]
    app = view.app
    assert app is not None
    if not revision.is_active or app.is_stopped:
        return
    if revision.leaving_port:  # ready or, after a stop of the app, about to be so again
        revision = _judge_port(plan, revision, now, limits)
        app = plan.view.app
        assert app is not None
    if revision.leaving_port or revision.provisioning is Provisioning.PROVISIONED:
        return
    if len(view.ready(name)) >= revision.needed:
        if revision.provisioning is Provisioning.FAILED and _has_better(view, name):
            return
        revision = replace(
            revision,
            provisioning=Provisioning.PROVISIONED,
            has_been_ready=True,
            reason="",
            message="",
        )
        latest = view.revisions.get(app.latest_ready)
        if latest is None or latest.number < revision.number:
            view.app = replace(app, latest_ready=name)
    elif revision.provisioning is Provisioning.PROVISIONING:
        revision = _failed_if(plan, _timed(revision, now), now, limits)
    view.revisions[name] = revision
    if revision.provisioning is Provisioning.FAILED and name == app.latest:
        view.app = target_ports.taken_back(view).app


def _judge_port(plan: Plan, revision: Revision, now: float, limits: Limits) -> Revision:
    """Whether a revision answers at its new port; if it never does, the old one comes back."""
    view, app = plan.view, plan.view.app
    assert app is not None
    there = [r for r in view.ready(revision.name) if target_ports.is_current(r, revision)]
    timed = _timed(revision, now)
    judged = _failed_if(plan, timed, now, limits)
    if len(there) >= min(revision.needed, _wanted(revision)):
        timed = target_ports.arrived(timed)
    elif judged.provisioning is Provisioning.FAILED:
        timed = replace(target_ports.staying(timed), attempt_since=now)
        if (
            target_ports.of_app(app) == revision.target_port
        ):  # else a deploy has named another since
            view.app = _with_port_given_up(view, app, timed, judged.message)
    view.revisions[revision.name] = timed
    return timed


def _with_port_given_up(view: AppView, app: App, stays: Revision, why: str) -> App:
    """The app after a revision stays at its port; it has that port only from the one it shows."""
    base, given_up = base_of(view), target_ports.of_app(app)
    if base is not None and base.name != stays.name:
        what = f"revision {stays.name} stays at port {stays.target_port}"
        return replace(app, problem=f"{what}: at {given_up}: {why}")
    what = f"target port {given_up} was taken back"
    return replace(target_ports.with_port(app, stays.target_port), problem=f"{what}: {why}")


def _timed(revision: Revision, now: float) -> Revision:
    if revision.attempt_at == revision.activated_at:
        return revision
    return replace(revision, attempt_at=revision.activated_at, attempt_since=now)


def _has_better(view: AppView, name: str) -> bool:
    """Whether another revision is ready: then a failed one that comes up late stays failed.

    Its deploy was reported as failed, so nobody expects traffic on it; `activate`, `restart` or
    deploying it again is a new attempt. With nobody else ready, it is better than nothing.
    """
    return any(
        r.is_active and r.provisioning is Provisioning.PROVISIONED and r.name != name
        for r in view.revisions.values()
    )


def _failed_if(plan: Plan, revision: Revision, now: float, limits: Limits) -> Revision:
    deadline = revision.attempt_since + limits.progress_deadline_s
    looping = [
        r
        for r in plan.view.of(revision.name)
        if r.state is ReplicaState.BACKOFF
        and r.restarts >= limits.crash_loop_exits
        and target_ports.is_current(r, revision)
    ]
    if looping:
        worst = looping[0]
        return replace(
            revision,
            provisioning=Provisioning.FAILED,
            reason=worst.reason or CRASH_LOOP,
            message=worst.message,
        )
    if now >= deadline:
        known = next((r.message for r in plan.view.of(revision.name) if r.message), "")
        return replace(
            revision,
            provisioning=Provisioning.FAILED,
            reason="ProgressDeadlineExceeded",
            message=f"Deployment Progress Deadline Exceeded. {known}".rstrip(),
        )
    plan.wake(deadline)
    return revision


# --- single mode: who serves?


def _switch(plan: Plan, now: float) -> None:
    """Routes first, then the rest: the old revision leaves once the new one is ready."""
    view, app = plan.view, plan.view.app
    assert app is not None
    if not app.is_single:
        return
    candidate = view.revisions.get(app.candidate)
    is_lost = candidate is None or (
        # A failed one never takes over, not even when it comes up late: its deploy was reported
        # as failed. The first revision has nobody to take over from and may recover.
        candidate.provisioning is Provisioning.FAILED and app.serving != ""
    )
    if is_lost or candidate is None:
        if app.candidate:
            kept = app.serving if app.kept == app.candidate else app.kept
            app = replace(app, candidate=_fallback(view, app, now), kept=kept)
    elif candidate.is_active and candidate.provisioning is Provisioning.PROVISIONED:
        app = replace(app, serving=candidate.name, candidate="")
        app = target_ports.with_port(app, candidate.target_port)
        app = _with_default_traffic(app)
    view.app = app
    if not app.serving and not app.candidate:
        return
    wanted = {app.candidate or app.serving} if app.recreates else {app.serving, app.candidate}
    wanted |= app.restored
    for name, revision in list(view.revisions.items()):
        is_wanted = name in wanted
        # Until the switch is made, what had traffic keeps it.
        is_needed = (
            not app.serving
            and not app.recreates
            and traffic.shares(view).get(name, traffic.Share()).weight > 0
        )
        is_evidence = (
            not app.recreates
            and name == app.latest
            and revision.provisioning is Provisioning.FAILED
        )
        if revision.is_active and not (is_wanted or is_needed or is_evidence):
            view.revisions[name] = rested(revision, now)


def _fallback(view: AppView, app: App, now: float) -> str:
    """Who is to come back: with `recreate` the old revision rests when its successor fails."""
    old = view.revisions.get(app.serving)
    if old is None or old.is_active:
        return ""
    try:
        view.revisions[old.name] = woken(old, view, app, now)
    except Invalid:  # a secret that it needs was taken away meanwhile
        return ""
    return old.name


def _with_default_traffic(app: App) -> App:
    """Single mode has no split; a label of the latest-revision rule stays."""
    ingress = app.configuration.ingress
    if ingress is None or not ingress.traffic:
        return app
    kept = tuple(
        rule.model_copy(update={"weight": 100}) for rule in ingress.traffic if rule.latest_revision
    )
    configuration: Configuration = app.configuration.model_copy(
        update={"ingress": ingress.model_copy(update={"traffic": kept})}
    )
    return replace(app, configuration=configuration)


# --- how many replicas?


def _scale(plan: Plan, revision: Revision, now: Moment, new_name: NewReplicaName) -> None:
    """As many replicas as wanted; a restart brings the new one up before the old one goes."""
    view, app = plan.view, plan.view.app
    assert app is not None
    if not revision.is_active or app.is_stopped:
        return
    mine = view.of(revision.name)
    if app.recreates and len(mine) < len(view.replicas):
        return  # the other revision's replicas end first: two must never run
    wanted = _wanted(revision)
    staying = [r for r in mine if not r.is_leaving]
    current = [r for r in staying if target_ports.is_current(r, revision)]
    old = [r for r in staying if not target_ports.is_current(r, revision)]
    surge = 1 if old else 0
    room = wanted + surge - len(staying)
    for _ in range(max(0, min(room, wanted - len(current)))):
        name = new_name(revision.name)
        view.replicas[name] = Replica(
            name=name,
            app=revision.app,
            revision=revision.name,
            revision_uid=revision.uid,
            created_at=now.wall,
            generation=revision.generation,
            target_port=revision.target_port,
            runtime=revision.template.runtime,
            grace_s=revision.template.termination_grace_period_seconds,
        )
    surplus = [*sorted(old, key=lambda r: r.is_ready), *reversed(current)]
    ready = sum(r.is_ready for r in staying)
    for replica in surplus[: max(0, len(staying) - wanted)]:
        if replica.is_ready and ready <= wanted:
            continue  # it still carries its share; the one that replaces it is not ready yet
        ready -= replica.is_ready
        _drain(plan, replica, now.steady)


def _wanted(revision: Revision) -> int:
    """Replicas to run. Scaling on load comes later, so min 0 keeps one."""
    if revision.template.endpoints:
        return len(revision.template.endpoints)
    is_young = revision.provisioning is not Provisioning.PROVISIONED
    return max(1, revision.template.scale.min_replicas, revision.needed if is_young else 0)


def _drain(plan: Plan, replica: Replica, now: float) -> None:
    plan.view.replicas[replica.name] = replace(
        replica, state=ReplicaState.DRAINING, drain_since=now
    )


# --- replicas nobody wants any more


def _leave(plan: Plan, now: float) -> None:
    view = plan.view
    for replica in list(view.replicas.values()):
        revision = view.revisions.get(replica.revision)
        is_wanted = (
            view.app is not None
            and not view.app.is_stopped
            and revision is not None
            and revision.uid == replica.revision_uid
            and revision.is_active
        )
        if not is_wanted and not replica.is_leaving:
            _drain(plan, replica, now)


# --- what is to be done outside


def _execute(plan: Plan, now: float, limits: Limits, can_stop: CanStop) -> None:
    for replica in list(plan.view.replicas.values()):
        for step in _steps(plan, replica, now, limits, can_stop):
            plan.view.replicas[replica.name] = step


def _steps(
    plan: Plan, replica: Replica, now: float, limits: Limits, can_stop: CanStop
) -> Iterator[Replica]:
    state = replica.state
    if state is ReplicaState.PENDING:
        plan.starts.append(replica)
    elif state is ReplicaState.RESTARTING:
        plan.ends.append(replica)
    elif state is ReplicaState.BACKOFF:
        if now >= replica.start_again_at:
            pending = replace(replica, state=ReplicaState.PENDING)
            plan.starts.append(pending)
            yield pending
        else:
            plan.wake(replica.start_again_at)
    elif state is ReplicaState.DRAINING:
        ends_at = replica.drain_since + limits.drain_timeout_s
        # The timeout ends the wait for answers, never that for a router which still routes to it.
        if can_stop(replica.name, now >= ends_at):
            stopping = replace(replica, state=ReplicaState.STOPPING)
            plan.stops.append(stopping)
            yield stopping
        elif now < ends_at:
            plan.wake(ends_at)
    elif state is ReplicaState.STOPPING:
        plan.stops.append(replica)
