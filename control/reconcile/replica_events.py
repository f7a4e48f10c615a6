"""What happens to replicas, written down: verdicts of probes, exits, pauses and failed starts.

Each event moves one replica in the table of `states.py`; a failure also sets when it is started
again (`states.failed`). Whether its revision is ready, who serves and what is started follows from
the record, and is the planner's affair.

Events come late: a probe's answer or an exit may be of a replica that drains by now, or of one
that somebody restarted. Every event looks the replica up again, and moves that are not in the
table change nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from control.history.journal import Record
from control.model.clock import Clock
from control.model.errors import ControlError
from control.model.kinds import AppName, ReplicaName, app_in
from control.model.resources import AppView, Replica, ReplicaState, replace
from control.model.states import (
    KILLED,
    OUT_OF_MEMORY,
    TERMINATED,
    Failure,
    Pauses,
    failed,
    may_move,
)
from control.ops.metrics import ControlCounters
from control.probes.defaults import Probes, probes_of
from control.probes.prober import OnFailure, OnVerdict, Verdict
from control.reconcile.actions import Action
from control.runtime import Exit, Runtime
from control.settings import ControlSettings
from control.store import Store

log = logging.getLogger("turnout.control")

_S = ReplicaState
_ON_ITS_WAY = (_S.PENDING, _S.STARTING, _S.BACKOFF)

Act = Callable[[Replica, Action], None]


class ReplicaProber(Protocol):
    """Probes replicas and reports verdicts; `Prober` does it over the network."""

    def watch(self, replica: Replica, probes: Sequence[Probes], *, is_started: bool) -> None:
        """Begin to probe; `is_started` for a replica that was ready before we were."""

    def watches(self, replica: ReplicaName) -> bool:
        """Whether a replica is being probed."""

    def forget(self, replica: ReplicaName) -> None:
        """Stop probing a replica."""

    async def close(self) -> None:
        """Stop probing everything."""


MakeProber = Callable[[OnVerdict, OnFailure], ReplicaProber]


class ReplicaEvents:
    """Takes events from runtimes and probers, and records what they mean."""

    def __init__(
        self,
        settings: ControlSettings,
        store: Store,
        counters: ControlCounters,
        clock: Clock,
        act: Act,
        make_prober: MakeProber,
    ) -> None:
        self._clock = clock
        self._pauses = Pauses(
            settings.restart_backoff_s, settings.max_backoff_s, settings.healthy_after_s
        )
        self._store = store
        self._counters = counters
        self._act = act
        self._runtimes: Mapping[str, Runtime] = {}
        self.prober = make_prober(self.on_verdict, self.on_probe_failure)
        self.is_closing = False

    def use(self, runtimes: Mapping[str, Runtime]) -> None:
        """Hand over the runtimes, which are made with our `on_exit` and so after us."""
        self._runtimes = runtimes

    def record(
        self, name: AppName, old: AppView, new: AppView, record: Record | None = None
    ) -> bool:
        """Show a view from now on, and write it when that is possible; False if it is outdated.

        A disk that is full must not stop replicas from being restarted, so this never waits for it.
        """
        try:
            self._store.observe(name, old, new, record)
        except ControlError as error:
            log.error("event=not_recorded app=%s reason=%r", name, error.message)
            return False
        return True

    def probe(self, app: AppName, name: ReplicaName) -> None:
        """Begin to probe a replica that runs, unless it was given up meanwhile."""
        view = self._store.view(app)
        replica = view.replicas.get(name)
        revision = view.revisions.get(replica.revision) if replica is not None else None
        if replica is None or revision is None or view.app is None or replica.is_leaving:
            return
        if revision.uid != replica.revision_uid:
            return
        has_ingress = view.app.configuration.ingress is not None
        probes = probes_of(revision.template, has_ingress=has_ingress, other_ports=replica.ports)
        self.prober.watch(replica, probes, is_started=replica.is_ready)

    def images_of(self, replica: Replica) -> Mapping[str, str]:
        """The ids of the images that a replica's revision is made of; empty while not known."""
        revision = self._store.view(replica.app).revisions.get(replica.revision)
        is_its = revision is not None and revision.uid == replica.revision_uid
        return revision.images if revision is not None and is_its else {}

    def made_of(self, replica: Replica, images: Mapping[str, str]) -> None:
        """Note what images a revision's first replica has.

        Later replicas get the same, whatever their tags mean by then: a revision never changes.
        """
        view = self._store.view(replica.app)
        revision = view.revisions.get(replica.revision)
        if revision is None or revision.uid != replica.revision_uid or revision.images:
            return
        if images:
            made = replace(revision, images=dict(images))
            self.record(replica.app, view, view.with_revision(made))

    def move(self, name: ReplicaName, app: AppName, state: ReplicaState, **changes: object) -> bool:
        """Record a replica's new state; False, and nothing changes, for a move not in the table."""
        replica = self._store.view(app).replicas.get(name)
        if replica is None:
            return False
        return self._put(replace(replica, **changes), state)  # type: ignore[arg-type]

    def _put(self, replica: Replica, state: ReplicaState) -> bool:
        name, app = replica.name, replica.app
        view = self._store.view(app)
        if not may_move(view.replicas[name].state, state):
            return False
        if not self.record(app, view, view.with_replica(replace(replica, state=state))):
            return False
        log.info("event=replica_%s app=%s replica=%s", state.lower(), app, name)
        return True

    def find(self, name: ReplicaName) -> Replica | None:
        """The replica of that name; None if it is gone."""
        return self._store.view(app_in(name)).replicas.get(name)

    def on_verdict(self, name: ReplicaName, verdict: Verdict, seen: str) -> None:
        """Record what a replica's probes say: ready, not ready, or to be restarted."""
        replica = self.find(name)
        if replica is None:
            return
        if verdict is Verdict.READY:
            ready_at = self._clock.now().steady
            self.move(name, replica.app, _S.READY, ready_at=ready_at, reason="", message="")
        elif verdict is Verdict.UNREADY:
            if replica.state is _S.STARTING:
                self._act(replica, self._guess(name, f"Not ready yet: {seen}."))
            else:
                message = f"Readiness probe failed: {seen}."
                self.move(name, replica.app, _S.UNREADY, reason="ProbeFailed", message=message)
        else:
            kind = "startup" if verdict is Verdict.STARTUP_FAILED else "liveness"
            container = self._container(replica)
            message = f"Container {container} failed {kind} probe, will be restarted: {seen}."
            self.fail(name, _S.RESTARTING, Failure("ProbeFailed", message))

    async def _guess(self, name: ReplicaName, message: str) -> None:
        """Note why a replica that starts is not ready yet, with the runtime's idea of the cause.

        If it never becomes ready, this is what the failed revision says.
        """
        replica = self.find(name)
        if replica is None or replica.message.endswith(message):
            return
        hint = await self._runtimes[replica.runtime].hint(replica)
        replica = self.find(name)
        if replica is not None and replica.state is _S.STARTING:
            self.note(name, f"{hint} {message}".strip())

    def note(self, name: ReplicaName, message: str) -> None:
        """Note what a replica that is on its way waits for, such as an image being pulled."""
        replica = self.find(name)
        if replica is None or replica.state not in _ON_ITS_WAY or replica.message == message:
            return
        view = self._store.view(replica.app)
        self.record(replica.app, view, view.with_replica(replace(replica, message=message)))

    def on_probe_failure(self, name: ReplicaName, kind: str) -> None:
        """Count a failed probe, also one that changes no state."""
        replica = self.find(name)
        if replica is not None:
            self._counters.count_probe_failure(replica.app, replica.revision, kind)

    def _container(self, replica: Replica) -> str:
        """The name of a replica's main container; some name, if its revision is gone."""
        revision = self._store.view(replica.app).revisions.get(replica.revision)
        return revision.template.containers[0].name if revision is not None else "main"

    def on_exit(self, name: ReplicaName, end: Exit) -> None:
        """Record that a replica ended by itself, and schedule its restart."""
        replica = self.find(name)
        if replica is None or self.is_closing:
            # While we close, a service manager may be ending our whole process group: that is no
            # failure of the replicas, and they must not come back with a pause.
            return
        end = replace(end, container=end.container or self._container(replica))
        at = time.strftime("%H:%M:%SZ", time.gmtime(self._clock.now().wall))
        message = end.sentence(end.container, at)
        reason = KILLED if end.is_killed else TERMINATED
        if end.is_out_of_memory:
            reason = OUT_OF_MEMORY
        self.fail(name, _S.BACKOFF, Failure(reason, message, end.code, end.container))

    def on_pause(self, name: ReplicaName, is_paused: bool) -> None:
        """Take a replica out of rotation while somebody has paused its container.

        Probes would find out late: the kernel of a paused program still accepts connections.
        """
        replica = self.find(name)
        if replica is None or replica.state not in (_S.STARTING, _S.READY, _S.UNREADY):
            return
        if is_paused:
            self.prober.forget(name)
            message = f"Its container is paused; `docker unpause {name}` has it go on."
            self.move(name, replica.app, _S.UNREADY, reason="Paused", message=message)
        elif not self.prober.watches(name):
            self.probe(replica.app, name)

    def fail(self, name: ReplicaName, state: ReplicaState, failure: Failure) -> None:
        """Record a failure and schedule the restart: at once, then after longer and longer pauses.

        `state` is BACKOFF for a replica that has ended, RESTARTING for one to be ended first.
        """
        replica = self.find(name)
        if replica is None or not may_move(replica.state, state):
            return
        if replica.state is _S.RESTARTING:
            return  # it ends because we end it: the failure that led to it is counted already
        self.prober.forget(name)
        after = failed(replica, failure, self._clock.now(), self._pauses)
        self._counters.count_restart(replica.app, replica.revision, after.reason)
        log.warning(
            "event=replica_failed app=%s replica=%s reason=%r", replica.app, name, after.message
        )
        self._put(after, state)

    def lost(self, name: ReplicaName) -> None:
        """Start a replica again that ended while we did not run.

        No failure is counted: most likely it ended with us, at a reboot for example.
        """
        replica = self.find(name)
        if replica is not None:
            self.prober.forget(name)
            self.move(name, replica.app, _S.PENDING)

    def end_pauses(self, kind: str) -> None:
        """Start the waiting replicas of a runtime at once, with their failures forgotten.

        For an engine that was away: it ended what ran and spoiled every attempt to start it again,
        so the replicas are not to blame, and there is no reason to wait.
        """
        for app, view in list(self._store.every()):
            waiting = [
                replace(r, state=_S.PENDING, restarts=0)
                for r in view.replicas.values()
                if r.runtime == kind and r.state in (_S.BACKOFF, _S.PENDING)
            ]
            if waiting:
                self.record(app, view, view.with_replica(*waiting))
