"""The store: what was acknowledged stays, what was not leaves no trace."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from control.history.journal import Record
from control.model.errors import Conflict, StoreUnavailable
from control.model.resources import AppView, ReplicaState, replace
from control.publish.publisher import Publisher
from control.store import Store
from control.store.write_ahead_log import LONG_BYTES
from router.process.config import BadSettings
from tests.control.support import World


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "control.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    store = Store(file)
    yield store
    store.close()


def a_world() -> World:
    world = World()
    world.deploy(suffix="v1")
    world.deploy(suffix="v2", replicas=2)
    world.settle()
    return world


def again(store: Store, file: Path) -> Store:
    store.close()
    return Store(file)


def test_what_was_written_is_read_back_the_same(store: Store, file: Path) -> None:
    view = a_world().view
    store.write("shop", store.view("shop"), view)

    reopened = again(store, file)
    assert reopened.view("shop") == view
    assert reopened.names() == ["shop"]
    reopened.close()


def test_a_change_made_from_an_older_view_is_refused(store: Store) -> None:
    store.write("shop", store.view("shop"), a_world().view)
    old = store.view("shop")
    assert old.app is not None
    store.write("shop", old, AppView(replace(old.app, is_stopped=True), old.revisions))

    with pytest.raises(Conflict):
        store.write("shop", old, AppView(old.app))
    now = store.view("shop").app
    assert now is not None
    assert now.is_stopped


def test_what_was_changed_and_changed_back_was_changed(store: Store) -> None:
    store.write("shop", store.view("shop"), a_world().view)
    first = store.view("shop")
    store.write("shop", first, first.with_app(replace(first.existing_app(), is_stopped=True)))
    store.write("shop", store.view("shop"), first)
    assert store.view("shop") == first
    with pytest.raises(Conflict):
        store.write("shop", first, AppView(first.app))
    copy = replace(store.view("shop"))
    store.write("shop", copy, AppView(first.app))  # it says which view it was made from


def test_revisions_and_replicas_that_are_gone_are_gone(store: Store, file: Path) -> None:
    view = a_world().view
    store.write("shop", store.view("shop"), view)
    left = AppView(view.app, {"shop--v2": view.revisions["shop--v2"]})
    store.write("shop", store.view("shop"), left)

    reopened = again(store, file)
    assert set(reopened.view("shop").revisions) == {"shop--v2"}
    assert reopened.view("shop").replicas == {}
    reopened.close()


def test_a_deleted_app_stays_until_its_replicas_are_gone(store: Store, file: Path) -> None:
    view = a_world().view
    store.write("shop", store.view("shop"), view)
    store.write("shop", store.view("shop"), AppView(None, {}, view.replicas))

    reopened = again(store, file)
    assert reopened.names() == []
    assert len(reopened.view("shop").replicas) == 3
    reopened.write("shop", reopened.view("shop"), AppView(None))
    assert list(reopened.every()) == []
    reopened.close()


def test_watchers_hear_of_changes_and_not_of_none(store: Store) -> None:
    heard: list[str] = []
    store.watch(heard.append)
    view = a_world().view
    store.write("shop", store.view("shop"), view)
    store.write(
        "shop", store.view("shop"), AppView(view.app, dict(view.revisions), dict(view.replicas))
    )

    assert heard == ["shop"]


def test_a_second_control_plane_is_refused(store: Store, file: Path) -> None:
    with pytest.raises(BadSettings, match="another control plane"):
        Store(file)


def test_a_corrupted_file_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "control.db"
    file.write_bytes(b"this is no database" * 100)

    with pytest.raises(BadSettings, match="turnout restore FILE"):
        Store(file)


def test_a_newer_schema_is_refused(store: Store, file: Path) -> None:
    store.close()
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(BadSettings, match="newer turnout"):
        Store(file)


def test_a_full_disk_changes_nothing(store: Store, file: Path) -> None:
    store.write("shop", store.view("shop"), a_world().view)
    before = store.view("shop")
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    world = a_world()
    for n in range(40):
        world.deploy(suffix=f"more{n}", replicas=n + 3)

    with pytest.raises(StoreUnavailable, match="nothing was changed"):
        store.write("shop", before, world.view)

    assert store.view("shop") is before
    reopened = again(store, file)
    assert reopened.view("shop") == before
    reopened.close()


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Somebody else writes to the file, for as long as it takes."""
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def test_what_is_seen_holds_at_once_and_is_written_when_it_can_be(store: Store, file: Path) -> None:
    store.write("shop", store.view("shop"), a_world().view)
    before = store.view("shop")
    (replica,) = before.of("shop--v1")
    ended = replace(replica, state=ReplicaState.BACKOFF)
    seen = AppView(before.app, before.revisions, {**before.replicas, replica.name: ended})
    heard: list[str] = []
    store.watch(heard.append)

    with locked(file):
        store.observe("shop", before, seen, Record("shop", "turnout", "", ["seen"]))
        assert store.view("shop").replicas[replica.name] is ended
        assert heard == ["shop"]
        assert "locked" in store.trouble
        with pytest.raises(StoreUnavailable):
            store.write("shop", store.view("shop"), AppView(before.app))
        store.settle()
        assert store.trouble
    store.settle()
    assert store.trouble == ""
    assert [r.changes for r in store.journal("shop", 99, 9)] == [["seen"]]

    reopened = again(store, file)
    assert reopened.view("shop") == seen
    reopened.close()


def test_a_change_carries_along_what_was_seen_and_not_written(store: Store, file: Path) -> None:
    store.write("shop", store.view("shop"), a_world().view)
    before = store.view("shop")
    (replica,) = before.of("shop--v1")
    left = {n: r for n, r in before.replicas.items() if n != replica.name}
    with locked(file):
        store.observe("shop", before, AppView(before.app, before.revisions, left))
    now = store.view("shop")
    assert now.app is not None
    store.write("shop", now, AppView(replace(now.app, is_stopped=True), now.revisions, left))

    reopened = again(store, file)
    assert replica.name not in reopened.view("shop").replicas
    reopened.close()


@pytest.mark.parametrize("how", ["removed", "replaced", "overwritten"])
def test_a_file_that_a_next_start_would_not_find_takes_no_writes(
    store: Store, file: Path, how: str
) -> None:
    if how == "overwritten":
        with file.open("r+b") as opened:
            opened.write(b"\0" * 100)
    else:
        copy = file.read_bytes()
        file.unlink()
        if how == "replaced":
            file.write_bytes(copy)

    store.settle()
    assert str(file) in store.trouble
    with pytest.raises(StoreUnavailable):
        store.write("shop", store.view("shop"), a_world().view)
    store.observe("shop", store.view("shop"), a_world().view)
    assert store.names() == ["shop"]


def test_of_a_damaged_file_every_app_is_served_as_it_was(store: Store, file: Path) -> None:
    store.write("shop", store.view("shop"), a_world().view)
    publisher = Publisher(store, "localhost", lease_s=60)
    publisher.publish(store.every())
    publisher.keep_served()
    store.close()
    with sqlite3.connect(file) as db:
        found = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'revisions'")
        ((page,), (size,)) = found.fetchone(), db.execute("PRAGMA page_size").fetchone()
    db.close()
    with file.open("r+b") as opened:
        opened.seek((page - 1) * size)
        opened.write(b"\xff" * size)

    damaged = Store(file)
    publisher = Publisher(damaged, "localhost", lease_s=60)
    publisher.put({name: found.why for name, found in damaged.unreadable.items()})
    assert "turnout restore FILE" in damaged.trouble
    (app,) = orjson.loads(publisher.snapshot())["apps"]
    assert [r["name"] for r in app["revisions"]] == ["shop--v1", "shop--v2"]
    with pytest.raises(StoreUnavailable, match="damaged"):
        damaged.write("blog", damaged.view("blog"), a_world().view)
    damaged.close()


async def test_a_long_log_is_moved_while_it_is_written_to(store: Store, file: Path) -> None:
    log = file.with_name("control.db-wal")
    store.write("shop", store.view("shop"), a_world().view)
    await store.move_log()
    assert file.stat().st_size < LONG_BYTES / 2, "a short log stays where it is"

    def write(rounds: int) -> None:
        for number in range(rounds):
            store.put_documents([("room", str(number), {"text": "x" * 50_000})])

    write(LONG_BYTES // 50_000 + 1)
    length = log.stat().st_size
    assert length >= LONG_BYTES
    moving = asyncio.create_task(store.move_log())
    await asyncio.sleep(0)
    store.write("shop", store.view("shop"), AppView(None))
    await moving
    await store.move_log()
    write(10)

    assert file.stat().st_size > LONG_BYTES
    assert log.stat().st_size < length * 1.5, "the log is written from its start again"
    reopened = again(store, file)
    assert reopened.names() == []
    assert len(reopened.documents("room", dict)) > 10
    reopened.close()
