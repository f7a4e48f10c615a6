"""An app that something is wrong with is served as it was; every other app goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from control.model.errors import Conflict
from control.model.resources import AppView, replace
from control.ops.quarantine import Quarantine
from control.publish.publisher import Publisher
from control.store import Store
from router.process.config import BadSettings
from tests.control.support import ALICE, World, changes_of

STORES: list[Store] = []


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """The file of a store with two apps that are served; closed by then."""
    store = an_open_store(tmp_path / "control.db")
    publisher = Publisher(store, "localhost", lease_s=60)
    for name in ("shop", "blog"):
        world = a_world(name)
        store.write(name, store.view(name), world.view)
    publisher.publish(store.every())
    publisher.keep_served()
    store.close()
    yield tmp_path / "control.db"
    for opened in STORES:
        opened.close()
    STORES.clear()


def an_open_store(file: Path) -> Store:
    store = Store(file)
    STORES.append(store)
    return store


def a_world(name: str) -> World:
    world = World(name)
    world.deploy(suffix="v1")
    world.settle()
    return world


def poison(file: Path, table: str, name: str, doc: bytes) -> None:
    with sqlite3.connect(file) as db:
        done = db.execute(f"UPDATE {table} SET doc = ? WHERE name LIKE ?", (doc, f"{name}%"))
        assert done.rowcount == 1
    db.close()


def table(publisher: Publisher) -> dict[str, Any]:
    return {a["name"]: a["revisions"] for a in orjson.loads(publisher.snapshot())["apps"]}


BAD = [
    ("apps", "shop", b"\xff\x00 no JSON"),
    ("apps", "shop", b'{"name": "shop"}'),
    ("apps", "shop", b"[]"),
    ("revisions", "shop--v1", b'{"name": "shop--v1", "provisioning": "unheard of"}'),
    ("replicas", "shop--v1", b'{"name": "shop--v1-other"}'),
]


@pytest.mark.parametrize(("kind", "name", "doc"), BAD)
def test_an_app_with_a_record_that_cannot_be_read_is_served_as_it_was(
    file: Path, kind: str, name: str, doc: bytes
) -> None:
    poison(file, kind, name, doc)

    store = an_open_store(file)
    publisher = Publisher(store, "localhost", lease_s=60)
    unreadable = {name: found.why for name, found in store.unreadable.items()}
    views = {n: publisher.compile(n, view) for n, view in store.every()}
    publisher.put(views | unreadable)

    assert set(table(publisher)) == {"shop", "blog"}
    assert len(table(publisher)["shop"][0]["endpoints"]) == 1
    assert "cannot be read" in Quarantine(store, publisher).all()["shop"]
    assert store.view("blog").app is not None


def test_a_record_with_a_field_that_nobody_could_use_is_no_other_apps_affair(file: Path) -> None:
    with sqlite3.connect(file) as db:
        (doc,) = db.execute("SELECT doc FROM apps WHERE name = 'shop'").fetchone()
    db.close()
    poison(file, "apps", "shop", orjson.dumps(orjson.loads(doc) | {"restoring": 5}))

    store = an_open_store(file)
    assert "restoring: Input should be a valid dictionary" in store.unreadable["shop"].why
    assert store.names() == ["blog"]


def test_an_app_whose_record_breaks_what_uses_it_is_set_aside(file: Path) -> None:
    store = an_open_store(file)
    store.set_aside("shop", ValueError("boom"))

    assert "cannot be used (ValueError('boom'))" in store.unreadable["shop"].why
    assert len(store.unreadable["shop"].replicas) == 1
    assert store.names() == ["blog"]
    publisher = a_publisher(store)
    assert set(table(publisher)) == {"shop", "blog"}


def test_it_can_be_read_by_nobody_changed_by_nobody_and_deleted(file: Path) -> None:
    poison(file, "apps", "shop", b"{}")
    store = an_open_store(file)
    changes = changes_of(store)

    for use in (changes.read.app, lambda app: changes.set_stopped(ALICE, app, is_stopped=True)):
        with pytest.raises(Conflict, match="quarantined") as raised:
            use("shop")
        assert raised.value.code == "AppQuarantined"
    changes.set_stopped(ALICE, "blog", is_stopped=True)

    changes.delete(ALICE, "shop")
    assert store.unreadable == {}
    assert len(store.view("shop").replicas) == 1  # it drains as that of any deleted app
    store.write("shop", store.view("shop"), AppView(None))
    store.close()
    assert an_open_store(file).unreadable == {}


def a_publisher(store: Store) -> Publisher:
    """One that has begun: with everything there is in the store."""
    publisher = Publisher(store, "localhost", lease_s=60)
    unreadable = {name: found.why for name, found in store.unreadable.items()}
    publisher.put({n: publisher.compile(n, view) for n, view in store.every()} | unreadable)
    return publisher


@pytest.mark.parametrize("known", ["", "x", "[", "5", "{}", '[["a"]]', "-1"])
def test_a_note_to_ourselves_that_cannot_be_read_costs_itself_only(file: Path, known: str) -> None:
    with sqlite3.connect(file) as db:
        db.execute("INSERT OR REPLACE INTO meta VALUES ('table_version', ?)", (known,))
        db.execute("INSERT OR REPLACE INTO meta VALUES ('routers', ?)", (known,))
    db.close()
    publisher = a_publisher(an_open_store(file))
    assert set(table(publisher)) == {"shop", "blog"}
    assert publisher.version >= 1


@pytest.mark.parametrize("doc", [b"no JSON", b"[]", b'{"name": "blog"}'])
def test_what_was_served_of_a_bad_app_can_be_bad_too(file: Path, doc: bytes) -> None:
    poison(file, "served", "shop", doc)
    poison(file, "apps", "shop", b"no JSON either")

    store = an_open_store(file)
    publisher = a_publisher(store)
    assert set(table(publisher)) == {"blog"}
    assert set(publisher.refused) == {"shop"}
    changed = a_world("blog")
    changed.deploy(suffix="v2")
    changed.settle()
    assert publisher.publish([("blog", changed.view)])
    assert len(table(publisher)["blog"]) == 2


def test_the_app_that_was_served_with_a_host_keeps_it_over_a_restart(file: Path) -> None:
    store = an_open_store(file)
    shop = a_world("shop")
    shop.deploy(suffix="v1", ingress={"customDomains": [{"name": "www.example.com"}]})
    shop.settle()
    store.write("shop", store.view("shop"), shop.view)
    a_publisher(store).keep_served()
    blog = a_world("blog")
    blog.deploy(suffix="v1", ingress={"customDomains": [{"name": "www.example.com"}]})
    store.write("blog", store.view("blog"), blog.view)  # first by name, and late

    again = a_publisher(store)
    assert set(again.refused) == {"blog"}
    hosts = {a["name"]: a["hosts"] for a in orjson.loads(again.snapshot())["apps"]}
    assert hosts == {"blog": [], "shop": ["www.example.com"]}


def test_an_app_that_was_deleted_before_that_was_kept_is_not_served(file: Path) -> None:
    store = an_open_store(file)
    for name in ("shop", "blog"):
        store.write(name, store.view(name), AppView(None))
    bad = a_world("able")
    bad.view = bad.view.with_app(replace(bad.app, faults={"able--v1": {"unheard": "of"}}))
    store.write("able", store.view("able"), bad.view)

    publisher = a_publisher(store)
    assert table(publisher) == {}
    publisher.keep_served()
    assert store.served() == {}


def test_a_start_that_fails_leaves_the_state_to_the_next(file: Path) -> None:
    with sqlite3.connect(file) as db:
        db.execute("ALTER TABLE meta RENAME TO kept")
    for _ in range(2):
        with pytest.raises(BadSettings, match="cannot be read"):
            Store(file)
    with sqlite3.connect(file) as db:
        db.execute("ALTER TABLE kept RENAME TO meta")
    db.close()
    assert an_open_store(file).names() == ["blog", "shop"]
