"""The loop: look, plan, record, act; again whenever something changed or time did.

It only carries out what `planner.py` decides. Every effect outside is idempotent and is recorded
before it begins, so being killed at any line and started again converges to the same state.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Coroutine, Mapping

from control import traffic
from control.commands import SUFFIX_ALPHABET
from control.errors import ControlError
from control.lifecycle import may_move
from control.metrics import ControlCounters
from control.planner import Limits, plan
from control.prober import Prober, Verdict, probes_of
from control.publisher import Publisher
from control.resources import AppView, Replica, ReplicaState, Revision, replace
from control.runtime import Launch, Runtime, StartFailed
from control.settings import ControlSettings
from control.store import Store
from router.hosts import revision_host

log = logging.getLogger("turnout.control")

_SUFFIX_LENGTH = 5  # of a replica's name
_RETRY_S = 1.0  # after the store or a plan failed
_S = ReplicaState


class Reconciler:
    """Makes the world follow the store."""

    def __init__(
        self,
        settings: ControlSettings,
        store: Store,
        publisher: Publisher,
        counters: ControlCounters,
    ) -> None:
        self._settings = settings
        self._store = store
        self._publisher = publisher
        self._counters = counters
        self._limits = Limits(
            settings.progress_deadline_s, settings.crash_loop_exits, settings.drain_timeout_s
        )
        self._runtimes: Mapping[str, Runtime] = {}
        self._prober = Prober(self._on_verdict, self._on_probe_failure)
        self._dirty: set[str] = set()
        self._unpublished: set[str] = set()
        self._wake_at: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._is_closing = False
        self._busy: dict[str, asyncio.Task[None]] = {}  # one action per replica at a time
        store.watch(self._on_change)

    def use(self, runtimes: Mapping[str, Runtime]) -> None:
        """Hand over the runtimes; they report to `on_exit`."""
        self._runtimes = runtimes

    def _runtime_of(self, replica: Replica) -> Runtime:
        """Who runs a replica."""
        return self._runtimes[replica.runtime]

    # --- the loop

    async def run(self) -> None:
        """Reconcile until cancelled."""
        while True:
            started = time.perf_counter()
            for name in self._due():
                self._reconcile(name)
            self._counters.observe_reconcile(time.perf_counter() - started)
            await self._publish()
            await self._sleep()

    def _due(self) -> list[str]:
        now = time.time()
        late = {name for name, at in self._wake_at.items() if at <= now}
        due, self._dirty = self._dirty | late, set()
        self._wake.clear()
        return sorted(due)

    async def _sleep(self) -> None:
        if self._dirty:
            return
        until = min(self._wake_at.values(), default=float("inf"))
        pause = min(self._settings.tick_s, max(0.0, until - time.time()))
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            self._dirty |= {n for n, view in self._store.every() if _is_moving(view)}

    def _on_change(self, name: str) -> None:
        self._dirty.add(name)
        self._unpublished.add(name)
        self._wake.set()

    def routers_reported(self) -> None:
        """A router applied a version or finished requests: what drains may be able to end."""
        self._dirty |= {n for n, view in self._store.every() if _is_draining(view)}
        if self._dirty:
            self._wake.set()

    def _reconcile(self, name: str) -> None:
        self._wake_at.pop(name, None)
        view = self._store.view(name)
        result = plan(
            view, time.time(), self._limits, self._publisher.can_stop, self._new_replica_name
        )
        if not self._record(name, view, result.view):
            self._wake_at[name] = time.time() + _RETRY_S
            return
        if result.wake_at < float("inf"):
            self._wake_at[name] = result.wake_at
        for replica in result.starts:
            self._act(replica, self._start(replica))
        for replica in result.stops:
            self._prober.forget(replica.name)
            self._act(replica, self._stop(replica))
        for replica in result.view.replicas.values():
            if replica.state is _S.DRAINING:
                self._prober.forget(replica.name)

    def _record(self, name: str, old: AppView, new: AppView) -> bool:
        try:
            self._store.write(name, old, new)
        except ControlError as error:
            log.error("event=not_recorded app=%s reason=%r", name, error.message)
            return False
        return True

    def _new_replica_name(self, revision: str) -> str:
        tail = "".join(secrets.choice(SUFFIX_ALPHABET) for _ in range(_SUFFIX_LENGTH))
        return f"{revision}-{tail}"

    async def _publish(self) -> None:
        """Tell the routers; changes within a moment become one version."""
        if not self._unpublished:
            return
        changed, self._unpublished = self._unpublished, set()
        try:
            is_new = self._publisher.publish([(n, self._store.view(n)) for n in changed])
        except ControlError as error:
            log.error("event=not_published reason=%r", error.message)
            self._unpublished |= changed
            await asyncio.sleep(_RETRY_S)
            return
        if is_new:
            await asyncio.sleep(self._settings.conflate_ms / 1000)

    # --- acting

    def _act(self, replica: Replica, coroutine: Coroutine[None, None, None]) -> None:
        if replica.name in self._busy:
            coroutine.close()
            return
        task = asyncio.create_task(coroutine)
        self._busy[replica.name] = task
        task.add_done_callback(lambda t: self._acted(replica, t))

    def _acted(self, replica: Replica, task: asyncio.Task[None]) -> None:
        self._busy.pop(replica.name, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("event=action_failed replica=%s", replica.name, exc_info=task.exception())
        self._on_change(replica.app)

    async def _start(self, replica: Replica) -> None:
        view = self._store.view(replica.app)
        revision = view.revisions.get(replica.revision)
        if revision is None:
            return
        try:
            address = await self._runtime_of(replica).start(self._launch(view, replica, revision))
        except StartFailed as error:
            self._back_off(replica.name, replica.app, error.reason, str(error), None)
            return
        self._move(
            replica.name,
            replica.app,
            _S.STARTING,
            address=address,
            started_at=time.time(),
            exit_code=None,
        )
        self._probe(replica.app, replica.name)

    def _launch(self, view: AppView, replica: Replica, revision: Revision) -> Launch:
        assert view.app is not None
        configuration = view.app.configuration
        return Launch(
            replica,
            revision,
            siblings=[r for r in view.of(revision.name) if r.name != replica.name],
            host=revision_host(revision.name, self._settings.domain),
            target_port=configuration.ingress.target_port if configuration.ingress else 80,
            secrets=configuration.secret_values,
            registries=configuration.registries,
        )

    async def _stop(self, replica: Replica) -> None:
        await self._runtime_of(replica).stop(replica, replica.grace_s)
        self._forget(replica)

    def _forget(self, replica: Replica) -> None:
        view = self._store.view(replica.app)
        left = {n: r for n, r in view.replicas.items() if n != replica.name}
        if self._record(replica.app, view, AppView(view.app, view.revisions, left)):
            self._publisher.forget(replica.name)
            self._runtime_of(replica).forget(replica.name)
            log.info("event=replica_gone app=%s replica=%s", replica.app, replica.name)

    def _probe(self, app: str, name: str) -> None:
        view = self._store.view(app)
        replica = view.replicas.get(name)
        revision = view.revisions.get(replica.revision) if replica is not None else None
        if replica is None or revision is None or view.app is None or replica.is_leaving:
            return
        has_ingress = view.app.configuration.ingress is not None
        probes = probes_of(revision.template, has_ingress=has_ingress)
        self._prober.watch(name, replica.address, probes, is_started=replica.is_ready)

    # --- what is seen

    def _move(self, name: str, app: str, state: ReplicaState, **changes: object) -> bool:
        """Record a replica's new state, if it may go there; a late event may not."""
        view = self._store.view(app)
        replica = view.replicas.get(name)
        if replica is None or not may_move(replica.state, state):
            return False
        moved = replace(replica, state=state, **changes)  # type: ignore[arg-type]
        after = AppView(view.app, view.revisions, {**view.replicas, name: moved})
        if not self._record(app, view, after):
            return False
        log.info("event=replica_%s app=%s replica=%s", state.lower(), app, name)
        return True

    def _find(self, name: str) -> Replica | None:
        return self._store.view(name.partition("--")[0]).replicas.get(name)

    def _on_verdict(self, name: str, verdict: Verdict, seen: str) -> None:
        replica = self._find(name)
        if replica is None:
            return
        if verdict is Verdict.READY:
            self._move(name, replica.app, _S.READY, ready_at=time.time(), reason="", message="")
        elif verdict is Verdict.UNREADY:
            message = f"Readiness probe failed: {seen}."
            if replica.state is _S.STARTING:
                self._note(replica, message)
            else:
                self._move(name, replica.app, _S.UNREADY, reason="ProbeFailed", message=message)
        else:
            kind = "startup" if verdict is Verdict.STARTUP_FAILED else "liveness"
            container = "main"
            message = f"Container {container} failed {kind} probe, will be restarted: {seen}."
            self._act(replica, self._restart(replica, message))

    def _note(self, replica: Replica, message: str) -> None:
        """Keep what was seen last, for the case that it never becomes ready."""
        if replica.message != message:
            view = self._store.view(replica.app)
            noted = replace(replica, message=message)
            after = AppView(view.app, view.revisions, {**view.replicas, replica.name: noted})
            self._record(replica.app, view, after)

    def _on_probe_failure(self, name: str, kind: str) -> None:
        replica = self._find(name)
        if replica is not None:
            self._counters.count_probe_failure(replica.app, replica.revision, kind)

    async def _restart(self, replica: Replica, message: str) -> None:
        if not self._back_off(replica.name, replica.app, "ProbeFailed", message, None):
            return
        await self._runtime_of(replica).stop(replica, replica.grace_s)

    def on_exit(self, name: str, code: int | None, tail: list[str]) -> None:
        """A replica ended by itself, or because it was told to."""
        replica = self._find(name)
        if replica is None or replica.is_leaving or replica.state is _S.BACKOFF:
            return
        if self._is_closing:  # we ended it; what is recorded is what should run next time
            return
        what = f"exit code '{code}'" if code is not None else "an unknown exit code"
        message = f"Container 'main' was terminated with {what}"
        message += " (killed, often out of memory)." if code == 137 else "."
        if tail:
            message += " Last output: " + " | ".join(tail)
        self._back_off(name, replica.app, "CrashLoopBackOff", message, code)

    def _back_off(self, name: str, app: str, reason: str, message: str, code: int | None) -> bool:
        """It failed: again at once the first time, then after a growing pause (contract §7)."""
        self._prober.forget(name)
        replica = self._find(name)
        if replica is None:
            return False
        now = time.time()
        was_well = replica.ready_at and now - replica.ready_at > self._settings.healthy_after_s
        restarts = 0 if was_well else replica.restarts
        pause = self._settings.restart_backoff_s * 2 ** (restarts - 1) if restarts else 0.0
        log.warning("event=replica_failed app=%s replica=%s reason=%r", app, name, message)
        return self._move(
            name,
            app,
            _S.BACKOFF,
            restarts=restarts + 1,
            start_again_at=now + min(pause, self._settings.max_backoff_s),
            reason=reason,
            message=message,
            exit_code=code,
        )

    # --- beginning and end

    async def recover(self) -> None:
        """After a start: match what is recorded with what runs, then publish the result.

        A replica that was ready is taken for ready until its probes say otherwise: routers would
        lose it for seconds for no other reason than that we were restarted.
        """
        alive: set[str] = set()
        for runtime in self._runtimes.values():
            alive |= await runtime.survivors()
        recorded = {n for _, view in self._store.every() for n in view.replicas}
        for stray in alive - recorded:
            log.warning("event=stray_stopped replica=%s", stray)
            await self._runtimes["process"].stop(_stray(stray), 1.0)
        for app, view in self._store.every():
            for name, replica in view.replicas.items():
                self._resume(app, replica, is_alive=name in alive)
            self._on_change(app)
        self._publisher.publish(self._store.every())
        self._unpublished.clear()

    def _resume(self, app: str, replica: Replica, *, is_alive: bool) -> None:
        has_process = replica.runtime == "process"
        if replica.state in (_S.STARTING, _S.READY, _S.UNREADY):
            if has_process and not is_alive:
                self.on_exit(replica.name, None, [])
            else:
                self._probe(app, replica.name)

    async def close(self, *, stop_replicas: bool) -> None:
        """Stop probing; with `stop_replicas`, end the local processes too."""
        self._is_closing = True
        await self._prober.close()
        pending = list(self._busy.values())
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if stop_replicas:
            replicas = [r for _, view in self._store.every() for r in view.replicas.values()]
            process = self._runtimes["process"]
            await asyncio.gather(*(process.stop(r, r.grace_s) for r in replicas))


def _stray(name: str) -> Replica:
    return Replica(name=name, app="", revision="", created_at=0.0)


def _is_draining(view: AppView) -> bool:
    return any(r.state is _S.DRAINING for r in view.replicas.values())


def _is_moving(view: AppView) -> bool:
    """Whether looking again may find something to do though no event came."""
    if view.app is not None and view.app.is_single and view.app.candidate:
        return True
    weights = traffic.shares(view) if view.app is not None else {}
    return any(not r.is_ready for r in view.replicas.values()) or any(
        not view.ready(name) for name in weights
    )
