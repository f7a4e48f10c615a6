"""Versions, waiting routers, and when a replica may be stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from control import commands
from control.publisher import Publisher
from control.store import Store
from tests.control.support import World


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "control.db")
    yield store
    store.close()


@pytest.fixture
def publisher(store: Store) -> Publisher:
    return Publisher(store, "localhost", lease_s=60)


def a_world() -> World:
    world = World()
    world.deploy(suffix="v1")
    world.settle()
    return world


def table(publisher: Publisher) -> dict[str, list[str]]:
    return {
        app["name"]: [r["name"] for r in app["revisions"]]
        for app in orjson.loads(publisher.snapshot())["apps"]
    }


def test_the_version_rises_only_when_the_table_changes(publisher: Publisher) -> None:
    world = a_world()
    assert publisher.publish([("shop", world.view)])
    assert not publisher.publish([("shop", world.view)])
    assert publisher.version == 1
    assert table(publisher) == {"shop": ["shop--v1"]}


def test_the_version_never_goes_back_over_a_restart(store: Store, publisher: Publisher) -> None:
    publisher.publish([("shop", a_world().view)])
    again = Publisher(store, "localhost", lease_s=60)
    again.publish([])

    assert again.version == 2


async def test_a_waiting_router_gets_the_next_table(store: Store, publisher: Publisher) -> None:
    publisher.publish([])
    waiting = asyncio.create_task(publisher.newer_than(store.epoch, publisher.version, 5))
    await asyncio.sleep(0)
    publisher.publish([("shop", a_world().view)])

    assert await waiting == publisher.snapshot()
    assert await publisher.newer_than(store.epoch, publisher.version, 0) is None
    assert await publisher.newer_than("another-store", publisher.version, 0) is not None


def leave(publisher: Publisher, world: World) -> str:
    """Take the only replica out of the table; its name."""
    (name,) = world.view.replicas
    world.view = commands.deactivate(world.view, "shop--v1", world.now)
    publisher.publish([("shop", world.view)])
    return name


def test_a_replica_is_stopped_when_every_router_left_it_and_owes_it_nothing(
    store: Store, publisher: Publisher
) -> None:
    world = a_world()
    publisher.publish([("shop", world.view)])
    for router in ("one", "two"):
        publisher.hear(router, store.epoch, publisher.version, {})
    (name,) = world.view.replicas
    assert not publisher.can_stop(name)

    leave(publisher, world)
    assert not publisher.can_stop(name)
    publisher.hear("one", store.epoch, publisher.version, {})
    assert not publisher.can_stop(name)
    publisher.hear("two", store.epoch, publisher.version, {name: 3})
    assert not publisher.can_stop(name)
    publisher.hear("two", store.epoch, publisher.version, {})
    assert publisher.can_stop(name)


def test_a_router_known_before_a_restart_is_waited_for(store: Store, publisher: Publisher) -> None:
    world = a_world()
    publisher.publish([("shop", world.view)])
    publisher.hear("one", store.epoch, publisher.version, {})
    again = Publisher(store, "localhost", lease_s=60)
    again.publish([("shop", world.view)])

    name = leave(again, world)
    assert not again.can_stop(name)
    again.hear("one", store.epoch, again.version, {})
    assert again.can_stop(name)


def test_a_silent_router_is_waited_for_until_its_lease_ends(store: Store) -> None:
    publisher = Publisher(store, "localhost", lease_s=0.0)
    world = a_world()
    publisher.publish([("shop", world.view)])
    publisher.hear("gone", store.epoch, 0, {})

    assert publisher.can_stop(leave(publisher, world))
    publisher.hear("there", store.epoch, 0, {}, is_connected=lambda: True)
    assert not publisher.can_stop(leave(publisher, world))
