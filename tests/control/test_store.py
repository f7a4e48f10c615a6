"""The store: what was acknowledged stays, what was not leaves no trace."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.errors import Conflict, StoreUnavailable
from control.resources import AppView, replace
from control.store import Store
from router.config import BadSettings
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
    store.write("shop", view, AppView(view.app, dict(view.revisions), dict(view.replicas)))

    assert heard == ["shop"]


def test_a_second_control_plane_is_refused(store: Store, file: Path) -> None:
    with pytest.raises(BadSettings, match="another control plane"):
        Store(file)


def test_a_corrupted_file_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "control.db"
    file.write_bytes(b"this is no database" * 100)

    with pytest.raises(BadSettings, match="restore a copy"):
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
