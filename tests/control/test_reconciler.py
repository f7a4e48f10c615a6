"""The loop goes on whatever an action, the disk or an engine does, and does nothing too often."""

from __future__ import annotations

import asyncio
import errno
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from control.changes.changes import Changes
from control.model.resources import Replica, ReplicaState
from control.model.schema import Configuration
from control.model.targets import Targets
from control.publish.publisher import Publisher
from control.runtime import Launch, Started, Survivor
from control.runtime.endpoint import EndpointRuntime
from control.settings import ControlSettings
from control.store import Store
from tests.control.support import ALICE, a_reconciler, changes_of
from tests.support.builders import a_body


class Calls(EndpointRuntime):
    """Counts what it is asked for, and fails at what it is told to."""

    def __init__(self) -> None:
        super().__init__(Targets(["127.0.0.0/8"]))
        self.calls: Counter[tuple[str, str]] = Counter()
        self.failing: set[tuple[str, str]] = set()
        self.alive: dict[str, Survivor] = {}
        self.may_stop = asyncio.Event()
        self.may_stop.set()

    def _count(self, what: str, app: str) -> None:
        self.calls[what, app] += 1
        if (what, app) in self.failing:
            raise ValueError("nobody thought of that")

    async def start(self, launch: Launch) -> Started:
        self._count("start", launch.replica.app)
        return await super().start(launch)

    async def stop(self, replica: Replica, grace_s: float) -> None:
        self._count("stop", replica.app)
        await self.may_stop.wait()
        self.alive.pop(replica.name, None)

    async def survivors(self) -> dict[str, Survivor] | None:  # type: ignore[override]
        return dict(self.alive)


class Loop:
    """A reconciler that runs on a store, with one runtime."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.store = Store(folder / "control.db")
        self.changes: Changes = changes_of(self.store)
        self.runtime = Calls()
        given = ControlSettings(state=folder, tick_s=0.01, **settings)
        self.publisher = Publisher(self.store, "localhost", lease_s=60)
        self.reconciler = a_reconciler(given, self.store, self.publisher)
        self.reconciler.use({"endpoint": self.runtime})

    def replicas(self, app: str) -> list[Replica]:
        return list(self.store.view(app).replicas.values())

    async def turns(self) -> None:
        """Until the loop has started one more app."""
        name = f"other{len(self.store.names())}"
        self.changes.put(ALICE, name, BODY)
        await until(lambda: any(r.state is ReplicaState.STARTING for r in self.replicas(name)))


BODY = a_body(suffix="v1", image="endpoint:127.0.0.1:9")


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(loop: Loop) -> AsyncIterator[asyncio.Task[None]]:
    await loop.reconciler.recover()
    task = asyncio.create_task(loop.reconciler.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await loop.reconciler.close(stop_replicas=False)
        loop.store.close()


async def test_a_start_that_fails_unexpectedly_is_a_failure_that_waits(tmp_path: Path) -> None:
    loop = Loop(tmp_path, restart_backoff_s=3600.0, max_backoff_s=3600.0)
    loop.runtime.failing.add(("start", "shop"))
    async with running(loop):
        loop.changes.put(ALICE, "shop", BODY)
        await until(lambda: any(r.restarts == 2 for r in loop.replicas("shop")))
        for _ in range(5):
            await loop.turns()

        (replica,) = loop.replicas("shop")
        assert replica.state is ReplicaState.BACKOFF
        assert "nobody thought of that" in replica.message
        assert loop.runtime.calls["start", "shop"] == 2


@pytest.mark.parametrize("is_restart", [True, False])
async def test_an_end_that_fails_unexpectedly_is_not_tried_at_once_for_ever(
    tmp_path: Path, is_restart: bool
) -> None:
    loop = Loop(tmp_path)
    loop.runtime.failing.add(("stop", "shop"))
    async with running(loop):
        loop.changes.put(ALICE, "shop", BODY)
        await until(lambda: any(r.state is ReplicaState.STARTING for r in loop.replicas("shop")))
        (replica,) = loop.replicas("shop")
        if is_restart:
            loop.reconciler.events.move(replica.name, "shop", ReplicaState.RESTARTING)
        else:
            loop.changes.delete(ALICE, "shop")
        for _ in range(5):
            await loop.turns()

        assert 1 <= loop.runtime.calls["stop", "shop"] < 5  # without a pause one each turn
        assert [r.name for r in loop.replicas("shop")] == [replica.name]


async def test_what_waits_for_its_turn_starts_when_the_engine_is_back(tmp_path: Path) -> None:
    loop = Loop(tmp_path, restart_backoff_s=600)
    loop.runtime.failing = {("start", "shop")}
    async with running(loop):
        loop.changes.put(ALICE, "shop", BODY)
        await until(lambda: any(r.restarts == 2 for r in loop.replicas("shop")))
        loop.runtime.failing = set()
        await loop.turns()
        assert loop.runtime.calls["start", "shop"] == 2
        await loop.reconciler.recovery.engine_back("endpoint", True)
        await until(lambda: loop.runtime.calls["start", "shop"] == 3)
        assert [r.restarts for r in loop.replicas("shop")] == [0]  # it was the engine's fault


async def test_a_replica_that_was_paused_while_nobody_looked_is_not_ready(tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    async with running(loop):
        loop.changes.put(ALICE, "shop", BODY.model_copy(update={"configuration": Configuration()}))
        await until(lambda: any(r.is_ready for r in loop.replicas("shop")))
        (ready,) = loop.replicas("shop")
        for is_paused in (True, False):
            loop.runtime.alive = {ready.name: Survivor(ready.revision_uid, True, is_paused)}
            await loop.reconciler.recovery.resync("endpoint")
            await until(lambda now=is_paused: loop.replicas("shop")[0].is_ready is not now)
        assert loop.replicas("shop")[0].restarts_ever == 0


async def test_what_a_survivor_is_made_of_is_noted_when_nobody_has(tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    async with running(loop):
        loop.changes.put(ALICE, "shop", BODY.model_copy(update={"configuration": Configuration()}))
        await until(lambda: any(r.is_ready for r in loop.replicas("shop")))
        (ready,) = loop.replicas("shop")
        for image in ("a", "b"):  # whichever was seen first
            survivor = Survivor(ready.revision_uid, True, images={"web:1": image})
            loop.runtime.alive = {ready.name: survivor}
            await loop.reconciler.recovery.resync("endpoint")
            assert loop.store.view("shop").revisions["shop--v1"].images == {"web:1": "a"}


async def test_a_stray_that_does_not_end_holds_up_nothing(tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    loop.runtime.may_stop.clear()
    loop.runtime.alive = {"shop--v1-stray": Survivor("gone", True)}
    async with running(loop):
        assert loop.publisher.is_published
        await until(lambda: loop.runtime.calls["stop", "shop"] == 1)
        loop.runtime.may_stop.set()
        await loop.turns()
        assert loop.runtime.alive == {}
        assert loop.runtime.calls["stop", "shop"] == 1


async def test_a_stray_ends_when_no_router_may_use_it_any_more(tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    publisher, stray = loop.publisher, "shop--v1-stray"
    publisher.hear("one", "a run before", 7, {}, lambda: True)
    loop.runtime.alive = {stray: Survivor("gone", True)}
    async with running(loop):
        await loop.turns()
        assert stray in loop.runtime.alive
        publisher.hear("one", publisher.epoch, publisher.version, {stray: 1}, lambda: True)
        loop.reconciler.routers_reported()
        await loop.turns()
        assert stray in loop.runtime.alive
        publisher.hear("one", publisher.epoch, publisher.version, {}, lambda: True)
        loop.reconciler.routers_reported()
        await until(lambda: stray not in loop.runtime.alive)


async def test_a_replica_is_started_under_the_name_of_a_stray_once_that_has_ended(
    tmp_path: Path,
) -> None:
    before = Loop(tmp_path)
    async with running(before):
        before.changes.put(ALICE, "shop", BODY)
        await until(lambda: bool(before.runtime.calls["start", "shop"]))
        (replica,) = before.replicas("shop")

    loop = Loop(tmp_path)
    loop.publisher.hear("one", "a run before", 7, {}, lambda: True)
    loop.runtime.alive = {replica.name: Survivor("of other code", True)}
    async with running(loop):
        await loop.turns()
        assert loop.runtime.calls["start", "shop"] == 0
        loop.publisher.hear("one", loop.publisher.epoch, loop.publisher.version, {})
        loop.reconciler.routers_reported()
        await until(lambda: loop.runtime.calls["start", "shop"] == 1)
        assert loop.runtime.alive == {}


async def test_a_state_that_cannot_be_looked_at_is_trouble_and_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop(tmp_path)
    async with running(loop) as task:
        with monkeypatch.context() as patched:
            patched.setattr("control.store.state_file.os.pread", _input_output_error)
            await until(lambda: "Input/output error" in loop.store.trouble or task.done())
        assert not task.done()
        await until(lambda: not loop.store.trouble)
        await loop.turns()


def _input_output_error(*_: object) -> bytes:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


async def test_a_plan_that_never_settles_leaves_turns_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop(tmp_path)
    asked = 0

    def may_stop(_: str, __: bool = False) -> bool:
        nonlocal asked
        asked += 1
        loop.reconciler.routers_reported()  # there may be something to end: plan again
        return asked > 1000

    async with running(loop):
        loop.changes.put(ALICE, "shop", BODY)
        await until(lambda: bool(loop.runtime.calls["start", "shop"]))
        monkeypatch.setattr(loop.publisher, "can_stop", may_stop)
        loop.changes.delete(ALICE, "shop")
        seen = set()
        while loop.replicas("shop"):
            await asyncio.sleep(0)
            seen.add(asked)
        assert len(seen) > 500
