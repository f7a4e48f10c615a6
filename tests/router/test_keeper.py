"""What a supervisor hands to the code that replaces it, of workers that live and of others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from router.contract.settings import RouterSettings
from router.contract.snapshot import Snapshot
from router.routing.stats import WorkerStats
from router.supervisor.handover import OldWorker
from router.supervisor.keeper import Keeper
from router.supervisor.totals import Totals
from router.supervisor.worker_handle import WorkerHandle
from tests.support.edges import eventually


class Owner:
    """A supervisor that only keeps what its workers had counted."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.is_leaving = False
        self.totals = Totals()

    def retire(self, worker: WorkerHandle) -> None:
        if worker.stats is not None:
            self.totals.add(worker.stats, is_alive=False)
        worker.stats = None


@asynccontextmanager
async def a_worker(owner: Owner) -> AsyncIterator[tuple[Keeper, WorkerHandle, socket.socket]]:
    """A keeper with a worker that has counted an answer, and the worker's end of its channel."""
    counted = WorkerStats()
    counted.of("shop", "shop--v1").codes[200] = 1
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    keeper = Keeper(RouterSettings(routes="-"), owner, lambda: None)
    handle = WorkerHandle(0, [], lambda _: None)
    program = await asyncio.create_subprocess_exec("sleep", "60")
    await handle.adopt(OldWorker(0, program.pid, ours.detach(), b"", counted.report()))
    keeper.old.append(handle)
    try:
        yield keeper, handle, theirs
    finally:
        theirs.close()
        await handle.ended.wait()
        program.kill()
        await program.wait()


def answered(totals: Totals) -> int:
    return sum(revision.requests for revision in totals.revisions.values())


async def test_a_worker_is_handed_over_with_what_it_has_counted() -> None:
    owner = Owner()
    async with a_worker(owner) as (keeper, handle, _):
        (given,) = keeper.hand_over()
        socket.socket(fileno=given.channel).close()
        assert given.stats == handle.stats
        assert given.stats is not None
        assert answered(owner.totals) == 0


async def test_the_counts_of_a_worker_that_has_just_ended_stay() -> None:
    owner = Owner()
    async with a_worker(owner) as (keeper, handle, theirs):
        theirs.close()
        await eventually(handle.ended.is_set)
        assert keeper.hand_over() == []
        assert answered(owner.totals) == 1
