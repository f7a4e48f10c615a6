"""Versions, waiting routers, and when a replica may be stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from control.model.errors import Conflict
from control.model.resources import replace
from control.ops.health import Health
from control.ops.quarantine import Quarantine
from control.publish.publisher import Publisher
from control.rules import commands
from control.store import Store
from router.sources.received import Received
from tests.control.support import World


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "control.db")
    yield store
    store.close()


@pytest.fixture
def publisher(store: Store) -> Publisher:
    return Publisher(store, "localhost", lease_s=60)


def a_world(name: str = "shop") -> World:
    world = World(name)
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

    assert again.version > publisher.version
    assert again.epoch != publisher.epoch


def known(publisher: Publisher) -> dict[str, object]:
    """What a router says that has the table in force."""
    table = orjson.loads(publisher.snapshot())
    return {key: table[key] for key in ("epoch", "version", "hash")}


async def test_a_waiting_router_gets_what_changed(publisher: Publisher) -> None:
    publisher.publish([("blog", a_world("blog").view)])
    router = Received()
    router.take(orjson.loads(publisher.snapshot()))
    waiting = asyncio.create_task(publisher.newer_than(router.known, 5))
    await asyncio.sleep(0)
    publisher.publish([("shop", a_world().view)])

    body = await waiting
    assert body is not None
    assert b"blog" not in body
    assert router.take(orjson.loads(body)) == ""
    assert router.known == known(publisher)
    assert await publisher.newer_than(known(publisher), 0) is None


@pytest.mark.parametrize(
    "lacks",
    [{"epoch": "another"}, {"version": 5000}, {"hash": "00"}, {"version": 0}, {"hash": ""}],
)
async def test_a_router_with_a_table_that_is_not_ours_gets_it_whole(
    publisher: Publisher, lacks: dict[str, object]
) -> None:
    publisher.publish([("shop", a_world().view)])
    had = known(publisher)
    publisher.publish([("blog", a_world("blog").view)])

    assert await publisher.newer_than(had | lacks, 0) == publisher.snapshot()


async def test_a_router_that_has_the_content_before_a_restart_gets_only_the_new_version(
    store: Store, publisher: Publisher
) -> None:
    publisher.publish([("shop", a_world().view)])
    router = Received()
    router.take(orjson.loads(publisher.snapshot()))
    again = Publisher(store, "localhost", lease_s=60)
    again.publish([("shop", a_world().view)])

    body = await again.newer_than(router.known, 0)
    assert body is not None
    assert b"shop" not in body
    assert router.take(orjson.loads(body)) == ""
    assert (router.epoch, router.version) == (again.epoch, again.version)


def test_an_app_that_routers_would_refuse_keeps_its_last_good_version(
    publisher: Publisher,
) -> None:
    shop, blog = a_world(), a_world("blog")
    publisher.publish([("shop", shop.view), ("blog", blog.view)])
    before = table(publisher)
    shop.deploy(suffix="v2", ingress={"customDomains": [{"name": "blog"}]})

    assert not publisher.publish([("shop", shop.view)])
    assert "is the name of app blog" in publisher.refused["shop"]
    assert table(publisher) == before
    blog.deploy(suffix="v2")
    blog.settle()
    assert publisher.publish([("blog", blog.view)])
    assert table(publisher) == {"shop": ["shop--v1"], "blog": ["blog--v1", "blog--v2"]}


def test_an_app_that_cannot_be_compiled_costs_nobody_else(publisher: Publisher) -> None:
    shop = a_world()
    shop.view = shop.view.with_app(replace(shop.app, faults={"shop--v1": {"unheard": "of"}}))

    assert publisher.publish([("shop", shop.view), ("blog", a_world("blog").view)])
    assert table(publisher) == {"blog": ["blog--v1"]}
    assert "cannot be compiled" in publisher.refused["shop"]


def leave(publisher: Publisher, world: World) -> str:
    """Take the only replica out of the table; its name."""
    (name,) = world.view.replicas
    world.view = commands.deactivate(world.view, "shop--v1", world.now)
    publisher.publish([("shop", world.view)])
    return name


def test_a_replica_is_stopped_when_every_router_left_it_and_owes_it_nothing(
    publisher: Publisher,
) -> None:
    world = a_world()
    publisher.publish([("shop", world.view)])
    for router in ("one", "two"):
        publisher.hear(router, publisher.epoch, publisher.version, {})
    (name,) = world.view.replicas
    assert not publisher.can_stop(name)

    leave(publisher, world)
    assert not publisher.can_stop(name)
    publisher.hear("one", publisher.epoch, publisher.version, {})
    assert not publisher.can_stop(name)
    publisher.hear("two", publisher.epoch, publisher.version, {name: 3})
    assert not publisher.can_stop(name)
    publisher.hear("two", publisher.epoch, publisher.version, {})
    assert publisher.can_stop(name)


def test_a_router_known_before_a_restart_is_waited_for(store: Store, publisher: Publisher) -> None:
    world = a_world()
    publisher.publish([("shop", world.view)])
    publisher.hear("one", publisher.epoch, publisher.version, {})
    again = Publisher(store, "localhost", lease_s=60)
    again.publish([("shop", world.view)])

    name = leave(again, world)
    again.hear("one", publisher.epoch, publisher.version, {})
    assert not again.can_stop(name)  # a version of the run before says nothing
    again.hear("one", again.epoch, again.version, {})
    assert again.can_stop(name)


def test_a_replica_that_left_as_control_died_is_waited_for(
    store: Store, publisher: Publisher
) -> None:
    world = a_world()
    publisher.publish([("shop", world.view)])
    publisher.hear("one", publisher.epoch, publisher.version, {})
    (name,) = world.view.replicas
    world.view = commands.deactivate(world.view, "shop--v1", world.now)
    again = Publisher(store, "localhost", lease_s=60)
    again.publish([("shop", world.view)])  # the first table of this run has it no more

    assert not again.can_stop(name, True)
    again.hear("one", again.epoch, again.version, {})
    assert again.can_stop(name)


def test_a_timeout_ends_the_wait_for_answers_and_not_that_for_a_router(
    publisher: Publisher,
) -> None:
    world = a_world()
    publisher.publish([("shop", world.view)])
    publisher.hear("one", publisher.epoch, publisher.version, {}, is_connected=lambda: True)
    name = leave(publisher, world)
    assert not publisher.can_stop(name, True)
    publisher.hear("one", publisher.epoch, publisher.version, {name: 3})
    assert not publisher.can_stop(name)
    assert publisher.can_stop(name, True)


def test_nothing_that_left_is_stopped_while_a_router_has_workers_it_cannot_speak_for(
    store: Store, publisher: Publisher
) -> None:
    world = a_world()
    publisher.publish([("shop", world.view)])
    name = leave(publisher, world)

    def report(*, has_orphans: bool) -> None:
        epoch, version, there = publisher.epoch, publisher.version, lambda: True
        publisher.hear("one", epoch, version, {}, is_connected=there, has_orphans=has_orphans)

    report(has_orphans=True)
    for replica in (name, "of-a-run-before"):
        assert not publisher.can_stop(replica)
        assert not publisher.can_stop(replica, True)
    health = Health(store, publisher, Quarantine(store, publisher), behind_s=0.0)
    assert health.failures() == []  # it has the table: nobody has to look after it
    report(has_orphans=False)
    assert publisher.can_stop(name)
    assert publisher.can_stop("of-a-run-before")


def test_a_silent_router_is_waited_for_until_its_lease_ends(store: Store) -> None:
    publisher = Publisher(store, "localhost", lease_s=0.0)
    world = a_world()
    publisher.publish([("shop", world.view)])
    publisher.hear("gone", publisher.epoch, 0, {})

    assert publisher.can_stop(leave(publisher, world))
    publisher.hear("there", publisher.epoch, 0, {}, is_connected=lambda: True)
    assert not publisher.can_stop(leave(publisher, world))


def test_health_names_a_router_that_is_behind_and_what_a_router_refuses(
    store: Store, publisher: Publisher
) -> None:
    health = Health(store, publisher, Quarantine(store, publisher), behind_s=0.0)
    assert health.failures() == ["no table yet"]
    world = a_world()
    publisher.publish([("shop", world.view)])

    def report(version: int, refused: dict[str, str]) -> None:
        epoch, there = publisher.epoch, lambda: True
        publisher.hear("one", epoch, version, {}, is_connected=there, refused=refused)

    report(publisher.version, {})
    assert health.failures() == []
    leave(publisher, world)
    assert health.failures() == ["router one has not applied the table in force"]
    report(publisher.version, {"shop": "its weights sum to 120"})
    assert health.failures() == []
    assert health.notes() == ["router one refuses app shop: its weights sum to 120"]


def test_a_token_speaks_for_a_bounded_number_of_routers(publisher: Publisher) -> None:
    def hear_many() -> None:
        for n in range(5000):
            publisher.hear(f"one{n}", publisher.epoch, 0, {}, token="ours")

    publisher.publish([])
    with pytest.raises(Conflict, match="token of their own"):
        hear_many()
    heard = len(publisher.routers)
    assert heard < 5000
    publisher.hear("one0", publisher.epoch, publisher.version, {}, token="ours")
    publisher.hear("two", publisher.epoch, 0, {}, token="theirs")
    assert len(publisher.routers) == heard + 1


def test_of_a_report_only_what_can_matter_is_kept(store: Store, publisher: Publisher) -> None:
    world = a_world()
    publisher.publish([("shop", world.view)])
    name = leave(publisher, world)
    many = {f"stranger-{n}": 1 for n in range(20_000)} | {name: 1}
    why = dict.fromkeys((*many, "shop"), "x" * 10_000)
    publisher.hear("rogue", publisher.epoch, publisher.version, many, refused=why)

    assert not publisher.can_stop(name)
    assert len(repr(publisher.routers["rogue"])) < 2_000
    (note,) = Health(store, publisher, Quarantine(store, publisher)).notes()
    assert note.startswith("router rogue refuses app shop: xxx")


def test_a_router_that_owes_something_unknown_holds_what_only_runs_before_had(
    publisher: Publisher,
) -> None:
    publisher.publish([("shop", a_world().view)])
    publisher.hear("one", publisher.epoch, publisher.version, {"of-a-run-before": 1})
    assert not publisher.can_stop("of-a-run-before")
    assert publisher.can_stop("of-a-run-before", True)
    publisher.hear("one", publisher.epoch, publisher.version, {})
    assert publisher.can_stop("of-a-run-before")


def test_nobody_acknowledges_in_the_name_of_another_router(publisher: Publisher) -> None:
    world = a_world()
    publisher.publish([("shop", world.view)])
    publisher.hear("one", publisher.epoch, publisher.version, {}, key="its own")
    name = leave(publisher, world)
    for key in ("", "another"):
        with pytest.raises(Conflict, match="has another key"):
            publisher.hear("one", publisher.epoch, publisher.version, {}, key=key)
    assert not publisher.can_stop(name)
    publisher.hear("one", publisher.epoch, publisher.version, {}, key="its own")
    assert publisher.can_stop(name)


def test_nor_does_anybody_after_a_restart(store: Store, publisher: Publisher) -> None:
    world = a_world()
    publisher.publish([("shop", world.view)])
    publisher.hear("one", publisher.epoch, publisher.version, {}, key="its own")
    again = Publisher(store, "localhost", lease_s=60)
    again.publish([("shop", world.view)])
    name = leave(again, world)
    with pytest.raises(Conflict, match="has another key"):
        again.hear("one", again.epoch, again.version, {}, key="another")
    assert not again.can_stop(name)
    again.hear("one", again.epoch, again.version, {}, key="its own")
    assert again.can_stop(name)


def test_routers_that_were_noted_by_name_only_are_waited_for(store: Store) -> None:
    store.put_meta("routers", '["one"]')
    publisher = Publisher(store, "localhost", lease_s=60)
    world = a_world()
    publisher.publish([("shop", world.view)])
    name = leave(publisher, world)
    assert not publisher.can_stop(name)
    publisher.hear("one", publisher.epoch, publisher.version, {}, key="its own")
    assert publisher.can_stop(name)


def test_health_names_some_of_many_routers(store: Store, publisher: Publisher) -> None:
    publisher.publish([("shop", a_world().view)])
    for n in range(500):
        publisher.hear(f"r{n}", "", 0, {}, is_connected=lambda: True, refused={"shop": "why"})
    health = Health(store, publisher, Quarantine(store, publisher), behind_s=0.0)

    for lines in (health.failures(), health.notes()):
        assert len(lines) == 21
        assert "480 routers more" in lines[-1]
