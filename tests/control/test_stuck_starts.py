"""A start that never returns, of a pull or an init container that hangs, holds up no end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from control.model.resources import Replica, ReplicaState
from control.runtime import Launch, Started
from tests.control.support import ALICE
from tests.control.test_reconciler import Calls, Loop, running, until
from tests.support.builders import a_body


class Stuck(Calls):
    """Starts of the revisions in `stuck` never return."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck: set[str] = set()
        self.given_up: list[str] = []
        self.order: list[tuple[str, str]] = []

    async def start(self, launch: Launch) -> Started:
        revision = launch.revision.name
        self.order.append(("start", revision))
        if revision in self.stuck:
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up.append(revision)
        return await super().start(launch)

    async def stop(self, replica: Replica, grace_s: float) -> None:
        self.order.append(("stop", replica.revision))
        await super().stop(replica, grace_s)


class StuckLoop(Loop):
    """Its runtime can hang."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, drain_timeout_s=0.2)
        self.stuck = Stuck()
        self.runtime = self.stuck
        self.reconciler.use({"endpoint": self.stuck})

    def deploy(self, suffix: str) -> None:
        """Of an app that recreates; without ingress what has started is ready."""
        given = {"mode": "single", "updateStrategy": "recreate"}
        body = a_body(suffix, image="endpoint:127.0.0.1:9", **given)
        alone = body.configuration.model_copy(update={"ingress": None})
        self.changes.put(ALICE, "shop", body.model_copy(update={"configuration": alone}))

    async def until_stuck(self, revision: str) -> None:
        await until(lambda: ("start", revision) in self.stuck.order)


@pytest.mark.parametrize("how", ["delete", "stop"])
async def test_a_start_that_never_returns_is_given_up_for_the_end(tmp_path: Path, how: str) -> None:
    loop = StuckLoop(tmp_path)
    loop.stuck.stuck = {"shop--v1"}
    async with running(loop):
        loop.deploy("v1")
        await loop.until_stuck("shop--v1")
        if how == "delete":
            loop.changes.delete(ALICE, "shop")
        else:
            loop.changes.set_stopped(ALICE, "shop", is_stopped=True)
        await until(lambda: not loop.replicas("shop"))
    assert loop.stuck.given_up == ["shop--v1"]
    assert loop.stuck.order == [("start", "shop--v1"), ("stop", "shop--v1")]


async def test_it_is_stopped_once_however_often_the_plan_asks(tmp_path: Path) -> None:
    loop = StuckLoop(tmp_path)
    loop.stuck.stuck = {"shop--v1"}
    loop.stuck.may_stop.clear()
    async with running(loop):
        loop.deploy("v1")
        await loop.until_stuck("shop--v1")
        loop.changes.delete(ALICE, "shop")
        await until(lambda: loop.stuck.calls["stop", "shop"] == 1)
        for _ in range(5):
            loop.reconciler.routers_reported()
            await loop.turns()
        assert [r.state for r in loop.replicas("shop")] == [ReplicaState.STOPPING]
        loop.stuck.may_stop.set()
        await until(lambda: not loop.replicas("shop"))
    assert loop.stuck.calls["stop", "shop"] == 1


async def test_an_old_revision_comes_back_though_its_successor_hangs(tmp_path: Path) -> None:
    """With `recreate` the two never run at once, so one that hangs must not be waited for."""
    loop = StuckLoop(tmp_path)
    loop.stuck.stuck = {"shop--v2"}
    async with running(loop):
        loop.deploy("v1")
        await until(lambda: loop.changes.read.app("shop").app.serving == "shop--v1")
        loop.deploy("v2")
        await loop.until_stuck("shop--v2")
        loop.changes.cancel(ALICE, "shop")
        await until(lambda: loop.stuck.order[-1] == ("start", "shop--v1"))
    assert loop.stuck.order[-2:] == [("stop", "shop--v2"), ("start", "shop--v1")]
