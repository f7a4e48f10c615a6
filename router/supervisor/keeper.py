"""Keeps a worker in every slot: starts it, watches it, replaces it, has others accept for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from router.contract.settings import RouterSettings
from router.contract.snapshot import Snapshot
from router.process.serving import CannotServe
from router.supervisor import standins
from router.supervisor.handover import OldWorker
from router.supervisor.worker_handle import WorkerHandle
from router.tracing.exporter import Exporter

log = logging.getLogger("turnout.router")

_LOOK_S = 0.25
_START_S = 30.0  # until a worker's first message, on a busy machine
_STEADY_S = 10.0  # a worker that served this long did not die because of its start
_HOPELESS_DEATHS = 3
_OLD_IDLE_S = 5.0  # for late requests on idle connections; nothing waits for an old worker to end
_OLD_MARGIN_S = 10.0  # after its allowed time, an old worker is killed


class Owner(Protocol):
    """The supervisor as the keeper needs it."""

    @property
    def snapshot(self) -> Snapshot:
        """The table in force."""

    @property
    def is_leaving(self) -> bool:
        """Whether the router is ending, so that workers are not replaced."""

    def retire(self, worker: WorkerHandle) -> None:
        """Keep the counts of a worker that has ended."""


class Keeper:
    """The workers of one router; `on_change` is called when one comes, goes or falls silent."""

    def __init__(
        self, settings: RouterSettings, owner: Owner, on_change: Callable[[], None]
    ) -> None:
        self.workers: list[WorkerHandle] = []
        # workers of the code before an upgrade, which finish their requests
        self.old: list[WorkerHandle] = []
        self.restarts = 0
        self.spans = Exporter(settings.otlp_endpoint) if settings.otlp_endpoint else None
        self.inherited: list[int] = []  # descriptors that each worker holds for as long as it lives
        self._settings = settings
        self._owner = owner
        self._on_change = on_change
        self._handed_over: set[int] = set()  # slots that workers of other slots accept for
        self._has_served = False
        self._is_handing_over = False

    @property
    def everyone(self) -> list[WorkerHandle]:
        """All workers, including those of the code before an upgrade."""
        return [*self.workers, *self.old]

    async def keep(self, worker: WorkerHandle) -> None:
        """Run the worker of one slot, and another whenever it ends. Raises CannotServe."""
        self._hear(worker)
        while not self._owner.is_leaving:
            code = await self._run(worker)
            if self._owner.is_leaving:
                return
            self.restarts += 1
            log.warning("event=worker_died slot=%d exit=%s", worker.slot, code)
            self.look()
            if self._is_hopeless():
                raise CannotServe(
                    f"no worker starts (the last one ended with {code}); see what it wrote above"
                )
            await asyncio.sleep(standins.pause_s(worker.deaths))
            if self._is_handing_over:
                # the next supervisor starts one: ours might be handed over with half a message sent
                return

    async def _run(self, worker: WorkerHandle) -> int | str:
        """Run a worker to its end; returns its exit code, or why it could not be started."""
        began = time.monotonic()
        try:
            await worker.start(self._settings, self.inherited)
        # no process or descriptor to be had: retry later instead of ending
        except OSError as error:
            worker.has_died(is_steady=False)
            return str(error)
        if self._owner.is_leaving:
            worker.kill()  # it was told to leave before it could receive that
        snapshot = self._owner.snapshot
        worker.send_table(snapshot, snapshot.apps, ())
        code = await worker.reap()
        worker.has_died(is_steady=worker.routes and time.monotonic() - began > _STEADY_S)
        self._owner.retire(worker)
        return code

    def _hear(self, worker: WorkerHandle) -> None:
        if self.spans is not None:
            worker.on_spans = self.spans.take

    def _is_hopeless(self) -> bool:
        return (
            not self._has_served
            and not self.old
            and all(worker.deaths >= _HOPELESS_DEATHS for worker in self.workers)
        )

    async def watch(self) -> None:
        """Kill workers that are silent for too long: only that frees the connections they hold."""
        limit = self._settings.worker_silence_s
        while True:
            await asyncio.sleep(_LOOK_S)
            for worker in self.workers:
                allowed_s = limit if worker.has_spoken else max(limit, _START_S)
                if worker.is_running and worker.quiet_s > allowed_s:
                    log.error("event=worker_silent slot=%d pid=%d", worker.slot, worker.pid)
                    worker.kill()
            self.look()

    async def see_off(self, worker: WorkerHandle) -> None:
        """Let an old worker finish its requests and leave, now that others serve."""
        settings = self._settings
        self._hear(worker)
        worker.drain(idle_s=_OLD_IDLE_S, tunnels_s=settings.tunnel_drain_s)
        granted = max(settings.drain_timeout_s, settings.tunnel_drain_s + settings.tunnel_spread_s)
        try:
            async with asyncio.timeout(_OLD_IDLE_S + granted + _OLD_MARGIN_S):
                await worker.reap()
        except TimeoutError:
            log.error("event=old_worker_stuck slot=%d pid=%d", worker.slot, worker.pid)
            worker.kill()
            await worker.reap()
        self._owner.retire(worker)
        self.old.remove(worker)

    async def all_told(self) -> None:
        """Wait until every worker's socket holds all messages sent to the worker.

        Half a message would make a worker deaf to the next supervisor. A worker that reads nothing
        for as long as one may be silent is killed, and no more workers are started.
        """
        self._is_handing_over = True
        for worker in self.everyone:
            if not worker.is_told:
                log.info("event=upgrade_waits slot=%d", worker.slot)
            try:
                async with asyncio.timeout(self._settings.worker_silence_s):
                    await worker.all_told()
            except TimeoutError:
                worker.kill()

    def hand_over(self) -> list[OldWorker]:
        """What the next supervisor needs to go on with the workers; ended workers' counts are kept.

        The keeper task of an ended worker may not have retired it yet, and will not do so any more.
        """
        given = []
        for worker in self.everyone:
            old = worker.hand_over()
            if old is None:
                self._owner.retire(worker)
            else:
                given.append(old)
        return given

    def look(self) -> None:
        """Have workers accept for the slots that have none accepting, and stop where it is not
        needed.
        """
        self._on_change()
        if self._owner.is_leaving:
            return
        serving = [w for w in self.workers if w.is_serving]
        absent = [w.slot for w in self.workers if w.is_absent]
        plan = standins.stand_ins([w.slot for w in serving], absent)
        for worker in serving:
            self._has_served = True
            worker.stand_in_for(plan[worker.slot])
        before, self._handed_over = self._handed_over, {s for taken in plan.values() for s in taken}
        for slot in sorted(self._handed_over - before):
            log.warning("event=slot_handed_over slot=%d", slot)
        for slot in sorted(before - set(absent)):
            log.info("event=slot_taken_back slot=%d", slot)
