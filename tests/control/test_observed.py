"""What is observed of replicas: written many apps at a time, and never ahead of what was asked."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from control.changes.changes import Change
from control.model.clock import boot_id
from control.model.resources import AppView, ReplicaState, replace
from control.model.schema import Configuration
from control.model.targets import Targets
from control.publish.publisher import Publisher
from control.reconcile.reconciler import Reconciler
from control.runtime.endpoint import EndpointRuntime
from control.settings import ControlSettings
from control.store import Store
from tests.control.support import ALICE, World, a_reconciler, changes_of
from tests.support.builders import a_body
from tests.support.origin import Origin

MANY = 100


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "control.db")
    yield store
    store.close()


def statements(store: Store) -> list[str]:
    """What SQLite is told from now on."""
    told: list[str] = []
    store._db.set_trace_callback(told.append)
    return told


def a_ticking_reconciler(store: Store) -> Reconciler:
    settings = ControlSettings(tick_s=0.01)
    publisher = Publisher(store, "localhost", lease_s=60)
    made = a_reconciler(settings, store, publisher)
    made.use({"endpoint": EndpointRuntime(Targets(["127.0.0.0/8"]))})
    return made


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[Reconciler]:
    reconciler = a_ticking_reconciler(store)
    await reconciler.recover()
    task = asyncio.create_task(reconciler.run())
    try:
        yield reconciler
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await reconciler.close(stop_replicas=False)


def deploy_many(store: Store, address: str) -> None:
    """Apps without ingress, so that no probe is waited for."""
    body = a_body("v1", image=f"endpoint:{address}")
    body = body.model_copy(update={"configuration": Configuration()})
    changes_of(store).transact(ALICE, [Change(f"app{n}", lambda _: body) for n in range(MANY)])


def are_ready(store: Store) -> bool:
    replicas = [r for _, view in store.every() for r in view.replicas.values()]
    return len(replicas) == MANY and all(r.is_ready for r in replicas)


async def test_many_apps_that_come_up_take_few_transactions(store: Store) -> None:
    async with Origin() as origin, running(store), asyncio.timeout(30):
        told = statements(store)
        deploy_many(store, origin.address)
        while not are_ready(store):
            await asyncio.sleep(0.01)

    assert told.count("COMMIT") < MANY / 2


async def test_a_start_of_the_same_boot_writes_no_app(store: Store) -> None:
    async with Origin() as origin, asyncio.timeout(30):
        deploy_many(store, origin.address)
        async with running(store):
            while not (are_ready(store) and store.meta("boot")):
                await asyncio.sleep(0.01)
        assert store.meta("boot") == boot_id()
        told = statements(store)
        await a_ticking_reconciler(store).recover()
        await asyncio.sleep(0)

    assert not [statement for statement in told if "INTO replicas" in statement]


def seen(store: Store, reason: str) -> AppView:
    """Observe something of the only replica of shop."""
    before = store.view("shop")
    ((name, replica),) = before.replicas.items()
    after = AppView(before.app, before.revisions, {name: replace(replica, reason=reason)})
    store.observe("shop", before, after)
    return after


def a_shop(store: Store) -> None:
    world = World()
    world.deploy(suffix="v1")
    world.settle()
    store.write("shop", store.view("shop"), world.view)


async def test_what_is_observed_waits_for_no_disk_and_what_is_asked_does(store: Store) -> None:
    a_shop(store)
    told = statements(store)
    seen(store, "one")
    last = seen(store, "two")
    assert told == []
    await asyncio.sleep(0)
    assert (told.count("COMMIT"), told[0]) == (1, "PRAGMA synchronous = NORMAL")

    seen(store, "three")
    told.clear()
    assert last.app is not None
    stopped = replace(last.app, is_stopped=True)
    now = store.view("shop")
    store.write("shop", now, AppView(stopped, now.revisions, now.replicas))
    assert told[0] == "PRAGMA synchronous = FULL"
    assert [s for s in told if "INTO replicas" in s and b"three".hex() in s.lower()]


async def test_what_was_observed_last_is_kept_at_the_end(tmp_path: Path, store: Store) -> None:
    a_shop(store)
    last = seen(store, "last")
    store.close()

    reopened = Store(tmp_path / "control.db")
    assert reopened.view("shop") == last
    reopened.close()


async def test_what_cannot_be_written_of_one_app_holds_up_no_other(
    tmp_path: Path, store: Store
) -> None:
    a_shop(store)
    blog = World("blog")
    blog.deploy(suffix="v1")
    seen(store, "\ud800")  # no character, so no JSON
    store.observe("blog", store.view("blog"), blog.view)
    await asyncio.sleep(0)
    assert (store.trouble, store.is_settled) == ("", True)
    store.close()

    reopened = Store(tmp_path / "control.db")
    assert reopened.names() == ["blog", "shop"]
    reopened.close()


async def test_what_could_not_be_written_ends_no_replica(tmp_path: Path, store: Store) -> None:
    """A kill would forget why it ended: the next start would route to it, and find nobody."""
    a_shop(store)
    reconciler = a_ticking_reconciler(store)
    before = store.view("shop")
    ((name, replica),) = before.replicas.items()
    leaving = replace(replica, state=ReplicaState.DRAINING, drain_since=1.0)
    with closing(sqlite3.connect(tmp_path / "control.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.observe("shop", before, AppView(before.app, before.revisions, {name: leaving}))
        store.settle()
        assert store.trouble
        plan = reconciler._plan("shop")
        assert plan is not None
        assert plan.stops == []

    store.settle()
    plan = reconciler._plan("shop")
    assert plan is not None
    assert [stopped.name for stopped in plan.stops] == [name]
