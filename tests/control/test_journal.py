"""The journal and the way back: what is recorded, and what a rollback restores."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from control.history import journal
from control.history.caller import Caller
from control.history.journal import Record
from control.model import traffic
from control.model.errors import Conflict, NotFound
from control.model.resources import AppView
from control.rules import commands
from control.rules.rollback import roll_back
from control.store import Store
from tests.control.support import ALICE, World, changes_of
from tests.support.builders import a_body


def shares(world: World) -> dict[str, int]:
    found = traffic.shares(world.view)
    return {n.partition("--")[2]: s.weight for n, s in found.items() if s.weight}


def state(world: World) -> dict[str, Any]:
    found = journal.state_of(world.view)
    assert found is not None
    return found


def changed(old: AppView, new: AppView) -> list[str]:
    return list(journal.changes(old, new))


def two(mode: str = "multiple") -> World:
    world = World()
    for suffix in ("v1", "v2"):
        world.deploy(suffix=suffix, image=f"process:{suffix}", mode=mode)
        world.settle()
    return world


def test_a_record_says_what_changed_in_words() -> None:
    world = World()
    world.deploy(suffix="v1")
    assert changed(AppView(None), world.view) == [
        "app shop created",
        "revision shop--v1 made from image process:demo",
    ]
    world.settle()
    before = world.view
    world.traffic(v1=100)
    lines = changed(before, world.view)
    assert "configuration.ingress.traffic[0].revisionName: nothing -> shop--v1" in lines
    assert changed(world.view, AppView(None)) == ["app deleted"]


def test_a_deploy_that_was_given_up_is_told_from_a_deactivation() -> None:
    world = two("single")
    world.broken = {"shop--v3"}
    world.deploy(suffix="v3", image="process:v3", mode="single")
    world.plan()
    before = world.view
    world.view = commands.cancel(world.view, world.now)
    assert changed(before, world.view) == [
        "revision shop--v3 deactivated: its deploy is cancelled",
    ]


def test_a_split_is_restored() -> None:
    world = two()
    world.traffic(v1=80, v2=20)
    record = state(world)
    world.traffic(v2=100)
    world.view = roll_back(world.view, record, world.now)
    assert shares(world) == {"v1": 80, "v2": 20}


def test_a_resting_revision_is_woken_and_traffic_waits_for_it() -> None:
    world = two()
    world.traffic(v1=80, v2=20)
    record = state(world)
    world.traffic(v2=100)
    world.view = commands.deactivate(world.view, "shop--v1", world.now)
    world.settle()
    world.view = roll_back(world.view, record, world.now)
    world.plan()  # replicas are wanted, none is ready
    assert shares(world) == {"v2": 100}
    world.settle()
    assert shares(world) == {"v1": 80, "v2": 20}
    assert not world.app.restoring
    assert not world.app.problem


def test_latest_means_whom_it_meant_then() -> None:
    world = World()
    world.deploy(suffix="v1")
    world.settle()
    record = state(world)
    world.deploy(suffix="v2", image="process:v2")
    world.settle()
    assert shares(world) == {"v2": 100}
    world.view = roll_back(world.view, record, world.now)
    world.settle()
    assert shares(world) == {"v1": 100}


def test_in_single_mode_the_old_revision_takes_over_when_it_is_ready() -> None:
    world = World()
    world.deploy(suffix="v1", mode="single")
    record = state(world)
    world.settle()
    world.deploy(suffix="v2", mode="single", image="process:v2")
    world.settle()
    assert world.active() == ["v2"]
    world.view = roll_back(world.view, record, world.now)
    world.plan()
    assert shares(world) == {"v2": 100}
    world.settle()
    assert shares(world) == {"v1": 100}
    assert world.active() == ["v1"]


def test_a_label_that_was_on_its_way_is_part_of_the_record() -> None:
    world = World()
    world.deploy(suffix="v1", mode="labels", target_label="prod")
    world.settle()
    world.deploy(suffix="v2", mode="labels", target_label="next", image="process:v2")
    record = state(world)  # before v2 is ready
    world.settle()
    world.view = commands.swap_labels(world.view, "prod", "next", world.now)
    world.view = roll_back(world.view, record, world.now)
    world.settle()
    rules = {r.label: r.revision_name for r in traffic.rules_of(world.app)}
    assert rules == {"prod": "shop--v1", "next": "shop--v2"}
    assert world.active() == ["v1", "v2"]


def test_a_woken_revision_that_fails_leaves_everything_as_it_is() -> None:
    world = two()
    world.traffic(v1=80, v2=20)
    record = state(world)
    world.traffic(v2=100)
    world.view = commands.deactivate(world.view, "shop--v1", world.now)
    world.settle()
    world.broken.add("shop--v1")
    world.view = roll_back(world.view, record, world.now)
    world.settle()
    world.now += 601
    world.settle()
    assert shares(world) == {"v2": 100}
    assert not world.app.restoring
    assert "shop--v1 did not become ready" in world.app.problem


def test_what_was_purged_cannot_come_back_and_nothing_changes() -> None:
    world = two()
    world.traffic(v1=100)
    record = state(world)
    record["configuration"]["ingress"]["traffic"][0]["revision_name"] = "shop--v0"
    with pytest.raises(Conflict, match="shop--v0"):
        roll_back(world.view, record, world.now)


def test_a_record_is_written_with_its_change_and_survives(tmp_path: Path) -> None:
    alice = Caller("alice (turnout/1)", "because")
    store = Store(tmp_path / "control.db")
    world = World()
    world.deploy(suffix="v1")
    old = store.view("shop")
    store.write("shop", old, world.view, journal.record("shop", old, world.view, alice, 1000.0))
    store.close()
    store = Store(tmp_path / "control.db")
    (found,) = store.journal("shop", 1 << 62, 10)
    store.close()
    assert isinstance(found, Record)
    assert (found.number, found.who, found.note) == (1, "alice (turnout/1)", "because")
    assert found.state is not None
    assert found.state["configuration"]["active_revisions_mode"] == "multiple"


def test_a_record_of_a_time_when_nobody_was_active_can_be_gone_back_to() -> None:
    world = World()
    world.deploy(suffix="v1")
    world.settle()
    world.view = commands.deactivate(world.view, "shop--v1", world.now)
    record = state(world)
    world.view = commands.activate(world.view, "shop--v1", world.now)
    world.view = roll_back(world.view, record, world.now)
    world.settle()
    assert shares(world) == {"v1": 100}


@pytest.mark.parametrize("mode", ["single", "labels"])
@pytest.mark.parametrize("is_settled", [True, False])
def test_a_mode_that_keeps_one_revision_keeps_those_the_way_back_needs(
    mode: str, is_settled: bool
) -> None:
    world = two()
    world.traffic(v1=80, v2=20)
    record = state(world)
    world.traffic(v2=100)
    world.view = commands.set_mode(world.view, mode, world.now, "prod" if mode == "labels" else "")
    if is_settled:
        world.settle()
    world.view = roll_back(world.view, record, world.now)
    world.settle()
    assert not world.app.problem
    assert shares(world) == {"v1": 80, "v2": 20}
    assert world.app.configuration.active_revisions_mode == "multiple"


def test_the_way_back_to_a_split_runs_both_although_updates_recreate() -> None:
    world = two()
    world.traffic(v1=80, v2=20)
    record = state(world)
    body = world.app.configuration.model_copy(
        update={"active_revisions_mode": "single", "update_strategy": "recreate"}
    )
    world.view = commands.configure(world.view, body, world.now)
    world.settle()
    assert world.active() == ["v2"]
    world.view = roll_back(world.view, record, world.now)
    world.settle()
    assert shares(world) == {"v1": 80, "v2": 20}


def test_a_given_up_way_back_leaves_single_mode_with_one_revision() -> None:
    world = two()
    world.traffic(v1=80, v2=20)
    record = state(world)
    world.view = commands.set_mode(world.view, "single", world.now)
    world.settle()
    world.broken.add("shop--v1")
    world.view = roll_back(world.view, record, world.now)
    world.settle()
    world.now += 601
    world.settle()
    assert "shop--v1 did not become ready" in world.app.problem
    assert shares(world) == {"v2": 100}
    assert world.active() == ["v2"]


@pytest.mark.parametrize("doc", ["no JSON", "[]", '{"changes": 5}', '{"unheard": "of"}'])
def test_records_that_cannot_be_read_cost_only_themselves(tmp_path: Path, doc: str) -> None:
    store = Store(tmp_path / "control.db")
    changes = changes_of(store)
    for n in range(6):
        changes.put(ALICE, "shop", a_body(f"v{n}", image=f"endpoint:127.0.0.1:{n + 1}"))
    with sqlite3.connect(tmp_path / "control.db") as db:
        db.execute("UPDATE journal SET doc = ? WHERE number IN (2, 3)", (doc,))
        db.execute("UPDATE journal SET at = 1e300 WHERE number = 5")  # no calendar shows that
    db.close()

    assert [r.number for r in changes.read.journal("shop")] == [6, 4, 1]
    assert [r.number for r in changes.read.journal("shop", limit=2)] == [6, 4]
    assert [r.number for r in changes.read.journal("shop", before=4)] == [1]
    app = changes.roll_back(ALICE, "shop")[0].app
    assert app is not None
    assert app.restored == {"shop--v3"}  # of the change 4
    store.close()


def test_a_number_beyond_all_records_is_none_of_the_apps(tmp_path: Path) -> None:
    store = Store(tmp_path / "control.db")
    try:
        world = two()
        store.write("shop", store.view("shop"), world.view)
        for number in ((1 << 63) - 1, 1 << 70):
            with pytest.raises(NotFound, match=f"no record {number}; its numbers: turnout journal"):
                changes_of(store).roll_back(ALICE, "shop", number)
    finally:
        store.close()
