"""Where apps live: groups and environments, what survives, and what may not move."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from control.changes.dry_run import NO_APP_CHANGES
from control.changes.places import Places
from control.model.errors import Conflict, ControlError, Invalid, NotFound, StoreUnavailable
from control.model.resources import AppView
from control.store import Store
from tests.control.support import ALICE, World, changes_of
from tests.support.builders import a_body


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "control.db")
    yield store
    store.close()


def places(store: Store) -> Places:
    return Places(store, "home", "base")


def an_app(store: Store, name: str, *, group: str = "", environment: str = "") -> AppView:
    world = World(name)
    world.deploy()
    world.view = world.view.with_app(
        replace(world.app, resource_group=group, environment=environment)
    )
    store.write(name, store.view(name), world.view)
    return store.view(name)


def test_a_record_that_cannot_be_read_costs_neither_its_apps_nor_other_groups(
    store: Store, tmp_path: Path
) -> None:
    first = places(store)
    for name in ("one", "two"):
        first.put_group(ALICE, name, None, {"kept": name})
        first.put_environment(ALICE, name, "env", None, None)
    view = an_app(store, "shop", group="one", environment="one/env")
    with closing(sqlite3.connect(tmp_path / "control.db", isolation_level=None)) as db:
        db.execute("UPDATE documents SET doc = '{' WHERE key LIKE 'one%'")

    again = places(store)
    assert view.app is not None
    assert again.group_of(view.app).name == "one"
    assert again.environment_of(view.app).key == "one/env"
    assert again.group("two").tags == {"kept": "two"}


def test_groups_of_apps_are_there_while_nothing_can_be_written(
    store: Store, tmp_path: Path
) -> None:
    view = an_app(store, "shop", group="old", environment="other/env")
    with closing(sqlite3.connect(tmp_path / "control.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        found = places(store)
        assert view.app is not None
        assert found.group_of(view.app).name == "old"
        assert found.group(found.environment_of(view.app).group).name == "other"
        with pytest.raises(StoreUnavailable):
            found.put_group(ALICE, "new", None, None)
        db.execute("ROLLBACK")


def test_the_group_of_an_app_of_an_earlier_version_is_made_for_it(store: Store) -> None:
    view = an_app(store, "shop", group="old")
    assert view.app is not None
    assert places(store).group_of(view.app).name == "old"
    store.write("shop", view, AppView(None))
    assert [group.name for group in places(store).groups()] == ["home", "old"]


def test_names_are_found_in_any_case_and_shown_as_they_were_made(store: Store) -> None:
    one = places(store)
    one.put_group(ALICE, "Music", "West Europe", {"a": "b"})
    one.put_environment(ALICE, "MUSIC", "My-Env", None, {})
    again = places(store)
    assert again.group("music").name == "Music"
    found = again.environment("mUsic", "my-env")
    assert (found.name, found.location) == ("My-Env", "West Europe")


def test_the_environment_of_the_settings_is_found_through_every_group(store: Store) -> None:
    here = places(store)
    here.put_group(ALICE, "rg", None, None)
    assert here.environment("rg", "BASE").group == "home"
    assert here.environments("rg") == []
    assert here.placed(a_body().model_copy(update={"environment": "rg/base"}), AppView(None))
    with pytest.raises(NotFound, match="nowhere"):
        here.environment("nowhere", "base")

    own = here.put_environment(ALICE, "rg", "base", None, None)
    assert here.environment("rg", "base") == own
    assert not here.remove_environment(ALICE, "rg", "other")
    assert here.remove_environment(ALICE, "rg", "base")
    assert here.environment("rg", "base").group == "home"


@pytest.mark.parametrize("name", ["", "a.", "a/b", "a b", "é", "x" * 91])
def test_what_is_not_a_group_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(Invalid, match="not a resource group name"):
        places(store).put_group(ALICE, name, None, None)


@pytest.mark.parametrize("name", ["", "-a", "a-", "a--b", "1a", "a_b", "x" * 61])
def test_what_is_not_an_environment_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(Invalid, match="not an environment name"):
        places(store).put_environment(ALICE, "home", name, None, None)


def test_a_dry_run_writes_nothing(store: Store) -> None:
    here = places(store)
    here.put_group(ALICE, "rg", None, None)
    trying = replace(ALICE, is_dry_run=True)
    for done in (
        here.put_group(trying, "other", None, None),
        here.put_environment(trying, "rg", "env", None, None),
        changes_of(store).delete_group(trying, "rg"),
    ):
        assert done == NO_APP_CHANGES
    assert [group.name for group in here.groups()] == ["home", "rg"]
    assert [group.name for group in places(store).groups()] == ["home", "rg"]


def test_an_app_does_not_move(store: Store) -> None:
    here = places(store)
    for group in ("one", "two"):
        here.put_group(ALICE, group, None, None)
    here.put_environment(ALICE, "one", "env", None, None)
    view = an_app(store, "shop", group="one", environment="one/env")
    body = a_body()
    for change, error in (
        ({"resource_group": "two"}, Conflict),
        ({"resource_group": "home"}, Conflict),
        ({"resource_group": "none"}, NotFound),
        ({"environment": "home/base"}, Invalid),
        ({"environment": "one/none"}, Invalid),
    ):
        with pytest.raises(error):
            here.placed(body.model_copy(update=change), view)
    same = {"resource_group": "ONE", "environment": "One/Env"}
    placed = here.placed(body.model_copy(update=same), view)
    assert (placed.resource_group, placed.environment) == ("one", "one/env")


def test_a_group_stays_while_apps_of_others_run_in_its_environment(store: Store) -> None:
    here = places(store)
    for group in ("one", "two"):
        here.put_group(ALICE, group, None, None)
    here.put_environment(ALICE, "one", "env", None, None)
    an_app(store, "own", group="one", environment="one/env")
    here.check_removal("one")
    an_app(store, "guest", group="two", environment="one/env")
    with pytest.raises(Conflict, match="first: guest"):
        here.check_removal("one")
    here.check_removal("two")
    with pytest.raises(ControlError, match="native API"):
        here.check_removal("HOME")
