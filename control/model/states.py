"""The states of replicas and revisions, as tables.

Pure. MOVES has all moves of a replica. A revision's state is derived from its replicas and its
provisioning, and never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from control.model import traffic
from control.model.clock import Moment
from control.model.resources import App, AppView, Provisioning, Replica, ReplicaState, Revision

R = TypeVar("R", Replica, Revision)

_S = ReplicaState

_ENDS = frozenset({_S.BACKOFF, _S.RESTARTING, _S.PENDING, _S.DRAINING})

MOVES: dict[ReplicaState, frozenset[ReplicaState]] = {
    _S.PENDING: frozenset({_S.STARTING, _S.BACKOFF, _S.DRAINING}),
    _S.STARTING: _ENDS | {_S.READY},
    _S.READY: _ENDS | {_S.UNREADY},
    _S.UNREADY: _ENDS | {_S.READY},
    _S.RESTARTING: frozenset({_S.BACKOFF, _S.DRAINING}),
    _S.BACKOFF: frozenset({_S.PENDING, _S.DRAINING}),
    _S.DRAINING: frozenset({_S.STOPPING}),
    _S.STOPPING: frozenset(),
}
_FAILING = (_S.BACKOFF, _S.RESTARTING)

# Why a replica failed, unless a probe or a start did.
TERMINATED = "ContainerTerminated"
CRASH_LOOP = "CrashLoopBackOff"
KILLED = "Killed"
OUT_OF_MEMORY = "OOMKilled"
# A replica that somebody ended by `docker kill` is not at fault. The kernel kills in the same way
# when the host is out of memory, and that must not meet an endless series of quick restarts.
_KILLS_AT_ONCE = 3


def may_move(old: ReplicaState, new: ReplicaState) -> bool:
    """Whether a replica may make this move; a late event may ask for one that is not allowed."""
    return new in MOVES[old]


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long a failed replica waits before its restart; reasons in `settings.py`."""

    first_s: float
    most_s: float
    healthy_after_s: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a replica failed."""

    reason: str  # machine word
    message: str  # sentence for a person
    exit_code: int | None = None
    exited: str = ""  # the container that ended


def failed(replica: Replica, failure: Failure, now: Moment, pauses: Pauses) -> Replica:
    """The replica with a restart due: at once the first time, then after a growing pause.

    The pause is `first_s`, doubling up to `most_s`; after good health for long enough it begins
    anew. The time it was ready counts towards the pause, which bounds how often it fails and brings
    one that has served for long back at once. A replica that ended by itself and has to wait is in
    a crash loop. The caller sets the state, because a replica that still runs is ended first.
    """
    well_s = now.steady - replica.ready_at if replica.ready_at else 0.0
    restarts = 0 if well_s > pauses.healthy_after_s else replica.restarts
    at_once = _KILLS_AT_ONCE if failure.reason == KILLED else 1
    pause = pauses.first_s * 2 ** min(restarts - at_once, 30) if restarts >= at_once else 0.0
    wait_s = max(0.0, min(pause, pauses.most_s) - well_s)
    reason, message = failure.reason, failure.message
    if reason == TERMINATED and wait_s:
        reason = CRASH_LOOP
    if reason == KILLED:
        message += f" Restarted {f'after {wait_s:.0f} s' if wait_s else 'at once'}."
    return replace(
        replica,
        restarts=restarts + 1,
        start_again_at=now.steady + wait_s,
        ready_at=0.0,  # the next failure may come before it is ready again
        reason=reason,
        message=message,
        exit_code=failure.exit_code,
        exited=failure.exited,
        restarts_ever=replica.restarts_ever + 1,
        last_failed_at=now.wall,
        last_reason=reason,
        last_message=message,
    )


def after_start(view: AppView, now: float, *, is_same_boot: bool, most_s: float) -> AppView:
    """A view with its steady moments adjusted when a control plane starts.

    After another boot they mean nothing: attempts begin anew and pauses are over. Within a boot
    they stay, but none may lie further ahead than possible: a virtual machine may be set back.
    """

    def past(moment: float) -> float:
        return min(moment, now) if is_same_boot or not moment else now

    def taken(replica: Replica) -> Replica:
        latest = now + most_s if is_same_boot else now
        return _with(
            replica,
            ready_at=past(replica.ready_at),
            drain_since=past(replica.drain_since),
            start_again_at=min(replica.start_again_at, latest),
        )

    revisions = [_with(r, attempt_since=past(r.attempt_since)) for r in view.revisions.values()]
    return view.with_revision(*revisions).with_replica(*map(taken, view.replicas.values()))


def _with(resource: R, **moments: float) -> R:
    """The resource with these moments; the same object if nothing changes, so it is not written."""
    has_them = all(getattr(resource, name) == moment for name, moment in moments.items())
    return resource if has_them else replace(resource, **moments)  # type: ignore[arg-type]


def running_state(app: App, revision: Revision, replicas: Sequence[Replica]) -> str | None:
    """The revision's runningState in ACA's long words; None while it is inactive."""
    if not revision.is_active:
        return None
    if app.is_stopped:
        return "Stopped"
    current = [r for r in replicas if not r.is_leaving]
    ready = sum(r.is_ready for r in current)
    if revision.provisioning is Provisioning.PROVISIONING:
        return "Activating"
    if revision.provisioning is Provisioning.FAILED and not ready:
        return "ActivationFailed"
    failing = any(r.state in _FAILING for r in current)
    if not ready:
        return "Failed" if failing else "Activating"
    if failing:
        return "Degraded"
    if ready < len(current):
        return "Processing"
    return "RunningAtMaxScale" if ready >= revision.template.scale.max_replicas else "Running"


def health_state(app: App, revision: Revision, replicas: Sequence[Replica]) -> str | None:
    """The revision's healthState; None while it is inactive."""
    state = running_state(app, revision, replicas)
    if state is None:
        return None
    if state in ("Failed", "ActivationFailed", "Degraded"):
        return "Unhealthy"
    return "None" if state in ("Activating", "Stopped") else "Healthy"


def details(revision: Revision, replicas: Sequence[Replica]) -> str:
    """A sentence for people: what failed, or how many replicas are ready."""
    current = [r for r in replicas if not r.is_leaving]
    ready = sum(r.is_ready for r in current)
    wanted = max(revision.needed, len(current))
    counts = f"{ready}/{wanted} replicas ready."
    worst = revision.message or next((r.message for r in current if r.message), "")
    return f"{worst} {counts}" if worst else counts


def app_provisioning(app: App, revisions: Sequence[Revision]) -> str:
    """The app's provisioningState: how its last change is going."""
    is_moving = any(r.is_active and r.leaving_port for r in revisions) and not app.is_stopped
    if app.restoring or is_moving:
        return "InProgress"
    if app.problem:
        return "Failed"
    if app.is_stopped:
        return "Succeeded"
    # A deploy that was given up is inactive, so the serving revision counts: with `recreate`, it
    # first has to come back.
    active = {r.name: r for r in revisions if r.is_active}
    latest = active.get(app.candidate or app.latest) or active.get(app.serving)
    if latest is None:
        return "Succeeded"
    return {
        Provisioning.PROVISIONING: "InProgress",
        Provisioning.FAILED: "Failed",
        Provisioning.PROVISIONED: "Succeeded",
    }[latest.provisioning]


def app_running(view: AppView) -> str:
    """The app's runningStatus: Running as long as any replica answers."""
    active = [name for name, r in view.revisions.items() if r.is_active]
    if view.app is None or view.app.is_stopped or not active:
        return "Stopped"
    return "Running" if any(view.ready(name) for name in active) else "Progressing"


def is_draining(view: AppView) -> bool:
    """Whether a replica waits for its last requests to end."""
    return any(r.state is _S.DRAINING for r in view.replicas.values())


def is_moving(view: AppView) -> bool:
    """Whether looking again may find something to do without an event."""
    if view.app is not None and view.app.is_single and view.app.candidate:
        return True
    weights = traffic.shares(view) if view.app is not None else {}
    return any(not r.is_ready for r in view.replicas.values()) or any(
        not view.ready(name) for name in weights
    )
