"""How the store lies in its file: as it did in older ones, and with little to write per change."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import orjson

from control.changes.changes import Change
from control.model.resources import to_doc
from control.model.schema import AppBody
from control.store import Store
from control.store.opening import MIGRATIONS
from tests.control.support import ALICE, World, changes_of

MANY = 100
FIRST_SCHEMA_WITH_EVERY_TABLE = 4


def test_a_state_of_an_older_schema_is_taken_over_whole(tmp_path: Path) -> None:
    file = tmp_path / "control.db"
    world = World()
    world.deploy(suffix="v1")
    world.deploy(suffix="v2", replicas=2)
    world.settle()
    view = world.view
    db = sqlite3.connect(file)
    for script in MIGRATIONS[:FIRST_SCHEMA_WITH_EVERY_TABLE]:
        db.executescript(script)
    with db:
        db.execute(f"PRAGMA user_version = {FIRST_SCHEMA_WITH_EVERY_TABLE}")
        db.execute("INSERT INTO apps VALUES ('shop', ?)", (orjson.dumps(to_doc(world.app)),))
        for table, resources in (("revisions", view.revisions), ("replicas", view.replicas)):
            for name, found in resources.items():
                values = (name, "shop", orjson.dumps(to_doc(found)))
                db.execute(f"INSERT INTO {table} VALUES (?, ?, ?)", values)
        db.execute("INSERT INTO served VALUES ('shop', ?)", (b'{"hosts":["a.example.com"]}',))
    db.close()

    store = Store(file)
    assert store.view("shop") == view
    assert store.served() == {"shop": b'{"hosts":["a.example.com"]}'}
    world.deploy(suffix="v3")
    store.write("shop", store.view("shop"), world.view)
    store.close()

    reopened = Store(file)
    assert reopened.view("shop") == world.view
    reopened.close()


def a_sizeable_body(version: int) -> AppBody:
    env = [{"name": f"SETTING_{n}", "value": "some text"} for n in range(12)]
    container = {"image": "endpoint:127.0.0.1:9", "env": env}
    template = {"revisionSuffix": f"v{version}", "containers": [container]}
    return AppBody.model_validate({"template": template})


def test_a_change_of_many_apps_writes_little_more_than_their_documents(tmp_path: Path) -> None:
    file = tmp_path / "control.db"
    names = [f"app{number}" for number in range(MANY)]
    store = Store(file)
    for name in names:  # one by one, as they come
        changes_of(store).put(ALICE, name, a_sizeable_body(1))
    store.close()  # which leaves no log
    store = Store(file)

    changes_of(store).transact(
        ALICE, [Change(name, lambda _: a_sizeable_body(2)) for name in names]
    )

    written = [record.state for record in store.journal("", 1 << 62, MANY)]
    for name in names:
        view = store.view(name)
        written += [to_doc(view.app), to_doc(view.revisions[f"{name}--v2"])]
    log = file.with_name("control.db-wal").stat().st_size
    assert log < 2 * sum(len(orjson.dumps(doc)) for doc in written)
    store.close()
