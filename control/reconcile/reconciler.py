"""The loop: plan the apps that changed or whose time has come, record the plans, carry them out.

Decisions are `planner.py`'s. What is to be done outside is recorded before it begins and is
idempotent, so a control plane that is killed at any line and started again arrives at the same
state: it plans the same actions, and finds them done.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from functools import partial

from control.changes.turn import Turn
from control.model.clock import Clock
from control.model.kinds import AppName, ReplicaName, RevisionName
from control.model.resources import AppView, Replica, ReplicaState, Revision
from control.model.states import Failure, is_draining, is_moving
from control.ops.metrics import ControlCounters
from control.ops.quarantine import Quarantine
from control.publish.publisher import Publisher
from control.reconcile.actions import Actions
from control.reconcile.alarms import Alarms
from control.reconcile.limits import Limits
from control.reconcile.planner import Plan, plan
from control.reconcile.recovery import Recovery
from control.reconcile.replica_events import MakeProber, ReplicaEvents
from control.reconcile.strays import Strays
from control.rules import target_ports
from control.rules.commands import SUFFIX_ALPHABET
from control.runtime import Launch, Runtime, StartFailed
from control.settings import ControlSettings
from control.store import Store
from router.contract.admission import News
from router.contract.hosts import revision_host

log = logging.getLogger("turnout.control")

_SUFFIX_LENGTH = 5  # of a replica's name
_STRAY_GRACE_S = 1.0
_RETRY_S = 1.0  # after the store failed
_PLAN_AGAIN_S = 10.0  # after a plan failed; a change of the app is planned at once
_KEEP_SERVED_S = 5.0  # between two looks for what is served and not kept yet
_S = ReplicaState


class Reconciler:
    """Makes the world follow the store."""

    def __init__(
        self,
        settings: ControlSettings,
        store: Store,
        publisher: Publisher,
        counters: ControlCounters,
        clock: Clock,
        make_prober: MakeProber,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._store = store
        self._publisher = publisher
        self._counters = counters
        self._limits = Limits(
            settings.progress_deadline_s, settings.crash_loop_exits, settings.drain_timeout_s
        )
        self._runtimes: Mapping[str, Runtime] = {}
        self._actions = Actions(self._on_change)
        self.events = ReplicaEvents(settings, store, counters, clock, self._actions.do, make_prober)
        self.quarantine = Quarantine(store, publisher)
        self._dirty: set[AppName] = set()
        self._strays = Strays(settings.drain_timeout_s, publisher.can_stop)
        self.recovery = Recovery(store, self.events, self._strays, clock, settings.max_backoff_s)
        self._draining: set[AppName] = set()  # apps with replicas that routers may still use
        self._keep_served_at = 0.0
        self._unpublished: set[AppName] = set()
        self._alarms = Alarms()
        # Apps that are planned at every tick: an action may have ended without an event.
        self._moving: set[AppName] = set()
        self._wake = asyncio.Event()
        store.watch(self._on_change)

    def use(self, runtimes: Mapping[str, Runtime]) -> None:
        """Hand over the runtimes, which report to our `events` and so are made after us."""
        self._runtimes = runtimes
        self.events.use(runtimes)
        self.recovery.use(runtimes)

    def _runtime_of(self, replica: Replica) -> Runtime:
        return self._runtimes[replica.runtime]

    # --- the loop

    async def run(self) -> None:
        """Reconcile until cancelled."""
        while True:
            await self.look()
            await self._sleep()

    async def look(self) -> None:
        """Plan what is due, begin what the plans say, and tell routers what changed."""
        started = time.perf_counter()
        turn = Turn()
        planned: dict[AppName, Plan] = {}
        for name in self._due():
            if (result := self._reconcile(name)) is not None:
                planned[name] = result
            if turn.is_over:
                self._carry_out(planned)
                planned = {}
                await turn.over()
        self._carry_out(planned)
        self._counters.observe_reconcile(time.perf_counter() - started)
        await self._publish()
        self._end_strays()

    def _due(self) -> list[AppName]:
        late = {AppName(name) for name in self._alarms.due(self._clock.now().steady)}
        due, self._dirty = self._dirty | late, set()
        self._wake.clear()
        return sorted(due)

    async def _sleep(self) -> None:
        if self._dirty:
            await asyncio.sleep(0)  # requests get a turn even if a plan never settles
            return
        until = self._alarms.next() - self._clock.now().steady
        pause = min(self._settings.tick_s, max(0.0, until))
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            self._dirty |= self._moving
            self._look_at_the_store()

    def _look_at_the_store(self) -> None:
        try:
            self._store.settle()
            self.recovery.note_boot()
            now = self._clock.now().steady
            if now > self._keep_served_at:
                self._keep_served_at = now + _KEEP_SERVED_S
                self._publisher.keep_served()
        except Exception:  # replicas are looked after whatever is wrong with the disk
            log.exception("event=store_not_looked_at")

    def _on_change(self, name: AppName) -> None:
        self._dirty.add(name)
        self._unpublished.add(name)
        self._wake.set()

    def routers_reported(self) -> None:
        """Plan the apps that drain: a router applied a version, or finished requests of theirs."""
        self._dirty |= self._draining
        if self._dirty or self._strays:
            self._wake.set()

    def _reconcile(self, name: AppName) -> Plan | None:
        """Plan one app and record the plan; one that cannot be planned is quarantined.

        The other apps go on. It is planned again after a pause, or when it changes.
        """
        try:
            result = self._plan(name)
        except Exception as error:
            self.quarantine.failed(name, error)
            self._alarms.put(name, self._clock.now().steady + _PLAN_AGAIN_S)
            return None
        self.quarantine.planned(name)
        return result

    def _plan(self, name: AppName) -> Plan | None:
        view, now = self._store.view(name), self._clock.now()
        # While the disk is behind, nothing drains: after a kill the app would be as it is on disk,
        # and what was stopped in the meantime would be its replicas.
        can_stop = _not_yet if self._store.is_behind(name) else self._publisher.can_stop
        result = plan(view, now, self._limits, can_stop, self._new_replica_name)
        if not self.events.record(name, view, result.view, result.record):
            self._alarms.put(name, now.steady + _RETRY_S)
            return None
        self._alarms.put(name, result.wake_at)
        for names, is_one in (
            (self._moving, is_moving(result.view)),
            (self._draining, is_draining(result.view)),
        ):
            (names.add if is_one else names.discard)(name)
        return result

    def _carry_out(self, planned: Mapping[AppName, Plan]) -> None:
        """Write the plans of many apps in one transaction, then begin what they say.

        In this order: what is begun and not written would be a stray after a crash.
        """
        self._store.keep(planned)
        for result in planned.values():
            self._act_on(result)

    def _act_on(self, result: Plan) -> None:
        for replica in result.starts:
            if replica.name not in self._strays:
                self._actions.do(replica, self._start(replica))
        for replica in result.ends:
            self._actions.end(replica, self._end(replica))
        for replica in result.stops:
            self.events.prober.forget(replica.name)
            self._actions.end(replica, self._stop(replica))
        for replica in result.view.replicas.values():
            if replica.state is _S.DRAINING:
                self.events.prober.forget(replica.name)

    def _new_replica_name(self, revision: RevisionName) -> ReplicaName:
        tail = "".join(secrets.choice(SUFFIX_ALPHABET) for _ in range(_SUFFIX_LENGTH))
        return ReplicaName(f"{revision}-{tail}")

    async def _publish(self) -> None:
        """Publish the apps that changed. A pause afterwards makes one version of what follows.

        Without it every replica of a deploy that becomes ready would be a version of its own.
        """
        if not self._unpublished:
            return
        changed, self._unpublished = self._unpublished, set()
        turn = Turn()
        news: dict[str, News] = {}
        for name in changed - self._store.unreadable.keys():
            news[name] = self._publisher.compile(name, self._store.view(name))
            await turn.over()
        try:
            is_new = self._publisher.put(news)
        except Exception:  # no single app is known to be at fault: the table in force stays
            log.exception("event=not_published")
            self._unpublished |= changed
            is_new = False
            await asyncio.sleep(_RETRY_S)
        if is_new:
            await asyncio.sleep(self._settings.conflate_ms / 1000)

    # --- acting

    async def _start(self, replica: Replica) -> None:
        view = self._store.view(replica.app)
        revision = view.revisions.get(replica.revision)
        if revision is None or revision.uid != replica.revision_uid:
            return
        try:
            started = await self._runtime_of(replica).start(self._launch(view, replica, revision))
        except StartFailed as error:
            self.events.fail(replica.name, _S.BACKOFF, Failure(error.reason, str(error)))
            return
        except Exception as error:  # a failure like any other: the pauses keep it from repeating
            log.exception("event=start_failed replica=%s", replica.name)
            failure = Failure("StartError", f"It cannot be started: {error!r}.")
            self.events.fail(replica.name, _S.BACKOFF, failure)
            return
        self.events.move(
            replica.name,
            replica.app,
            _S.STARTING,
            address=started.address,
            ports=started.ports,
            started_at=self._clock.now().wall,
            exit_code=None,
        )
        self.events.probe(replica.app, replica.name)

    def _launch(self, view: AppView, replica: Replica, revision: Revision) -> Launch:
        assert view.app is not None
        configuration = view.app.configuration
        return Launch(
            replica,
            revision,
            siblings=[r for r in view.of(revision.name) if r.name != replica.name],
            host=revision_host(revision.name, self._settings.domain),
            target_port=replica.target_port or target_ports.of_app(view.app) or 80,
            secrets=configuration.secret_values,
            registries=configuration.registries,
            progress=partial(self.events.note, replica.name),
            known_images=partial(self.events.images_of, replica),
            made_of=partial(self.events.made_of, replica),
        )

    async def _end(self, replica: Replica) -> None:
        await self._runtime_of(replica).stop(replica, replica.grace_s)
        self.events.move(replica.name, replica.app, _S.BACKOFF)

    async def _stop(self, replica: Replica) -> None:
        await self._runtime_of(replica).stop(replica, replica.grace_s)
        self._forget(replica)

    def _end_strays(self) -> None:
        for stray in self._strays.due(self._clock.now().steady):
            self._actions.end(stray, self._end_stray(stray))

    async def _end_stray(self, stray: Replica) -> None:
        log.warning("event=stray_stopped replica=%s", stray.name)
        await self._runtime_of(stray).stop(stray, _STRAY_GRACE_S)
        self._strays.remove(stray.name)

    def _forget(self, replica: Replica) -> None:
        view = self._store.view(replica.app)
        if self.events.record(replica.app, view, view.without_replica(replica.name)):
            self._publisher.forget(replica.name)
            self._runtime_of(replica).forget(replica.name)
            log.info("event=replica_gone app=%s replica=%s", replica.app, replica.name)

    # --- beginning and end

    async def recover(self) -> None:
        """After a start, match the record with what runs, then publish the first table.

        A replica that was ready counts as ready until its probes say otherwise: routers would
        lose it for seconds, only because we were restarted.
        """
        self.recovery.take_moments()
        for kind in self._runtimes:
            await self.recovery.resync(kind)
        for app, _ in self._store.every():
            self._on_change(app)
        news: dict[str, News] = {n: found.why for n, found in self._store.unreadable.items()}
        for name, view in self._store.every():
            news[name] = self._publisher.compile(name, view)
        self._publisher.put(news)
        self._unpublished.clear()

    async def close(self, *, stop_replicas: bool) -> None:
        """Stop probing; with `stop_replicas`, end the local processes too."""
        self.events.is_closing = True
        self._publisher.keep_served()
        await self.events.prober.close()
        await self._actions.close()
        if stop_replicas:
            replicas = [r for _, view in self._store.every() for r in view.replicas.values()]
            process = self._runtimes["process"]
            await asyncio.gather(*(process.stop(r, r.grace_s) for r in replicas))


def _not_yet(replica: ReplicaName, is_late: bool = False) -> bool:
    return False
