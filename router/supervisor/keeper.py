"""Keeps a worker in every slot: started, watched, started again, stood in for meanwhile."""

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
_START_S = 30.0  # until a worker's first word, on a machine that is busy with other things
_STEADY_S = 10.0  # a worker that served for this long did not die of its start
_HOPELESS_DEATHS = 3
_OLD_IDLE_S = 5.0  # for requests on their way on idle connections; nobody waits for an old worker
_OLD_MARGIN_S = 10.0  # beyond what it was granted, after which it is ended


class Owner(Protocol):
    """The supervisor, as far as its workers are concerned."""

    @property
    def snapshot(self) -> Snapshot:
        """The table in force."""

    @property
    def is_leaving(self) -> bool:
        """Whether workers that end are not to be replaced."""

    def retire(self, worker: WorkerHandle) -> None:
        """Keep what a worker that has ended had counted."""


class Keeper:
    """The workers of one router; `on_change` is called when one comes, goes or falls silent."""

    def __init__(
        self, settings: RouterSettings, owner: Owner, on_change: Callable[[], None]
    ) -> None:
        self.workers: list[WorkerHandle] = []
        self.old: list[WorkerHandle] = []  # of the code before an upgrade, finishing
        self.restarts = 0
        self.spans = Exporter(settings.otlp_endpoint) if settings.otlp_endpoint else None
        self.inherited: list[int] = []  # descriptors that each worker holds for as long as it lives
        self._settings = settings
        self._owner = owner
        self._on_change = on_change
        self._handed_over: set[int] = set()  # slots that others accept for
        self._has_served = False
        self._is_handing_over = False

    @property
    def everyone(self) -> list[WorkerHandle]:
        """All workers, old ones too."""
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
                return  # the next supervisor starts one; ours might be handed over half told

    async def _run(self, worker: WorkerHandle) -> int | str:
        """Run a worker to its end; returns its exit code, or why it could not be started."""
        began = time.monotonic()
        try:
            await worker.start(self._settings, self.inherited)
        except OSError as error:  # no process or descriptor to be had: a reason to wait, not to end
            worker.has_died(is_steady=False)
            return str(error)
        if self._owner.is_leaving:
            worker.kill()  # it was told to leave before it could hear it
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
        """End workers that are silent for too long: only that frees the connections they hold."""
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
        """Have an old worker finish what it has and go, as others serve in its place."""
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
        """Wait until every worker's socket has all that the worker was told.

        Half a message would make it deaf to the next supervisor. One that reads nothing for as
        long as it may be silent is ended, and none is started any more.
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
        """What the next supervisor needs of all workers; what one that has ended had counted stays.

        Its keeper may not have come to retiring it, and will not any more.
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
        """Have the slots whose workers do not accept stood in for, and the others no more."""
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
