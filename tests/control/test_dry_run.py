"""A dry run says what would happen, and nothing does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control.changes.changes import Changes
from control.changes.dry_run import Preview, Previews, preview
from control.model.schema import TrafficRule
from control.rules import commands
from control.store import Store
from router.contract.snapshot import Fault
from tests.control.support import ALICE, World, changes_of
from tests.support.builders import a_body

TRYING = replace(ALICE, is_dry_run=True)
V2 = a_body("v2", image="endpoint:127.0.0.1:2")


def would(world: World, **given: Any) -> Preview:
    new = commands.deploy(world.view, "shop", a_body(**given), world.now, world.new_suffix)
    return preview(world.view, new, "localhost", world.now)


def test_a_first_deploy() -> None:
    found = would(World(), suffix="v1")
    assert found.revision == "shop--v1"
    assert found.traffic_before == {}
    assert found.traffic_after == {"shop--v1": 100}
    assert found.hosts_appear == ["shop--v1.localhost", "shop.localhost"]


def test_single_mode_ends_with_the_new_revision_alone() -> None:
    world = World()
    world.deploy(suffix="v1", mode="single")
    world.settle()
    before = world.view
    found = would(world, suffix="v2", mode="single", image="process:v2")
    assert (found.activates, found.deactivates) == (["shop--v2"], ["shop--v1"])
    assert found.traffic_before == {"shop--v1": 100}
    assert found.traffic_after == {"shop--v2": 100}
    assert found.hosts_vanish == ["shop--v1.localhost"]
    assert world.view is before


def test_a_revision_without_a_rule_is_warned_of() -> None:
    world = World()
    world.deploy(suffix="v1")
    world.settle()
    world.traffic(v1=100)
    found = would(world, suffix="v2", image="process:v2")
    assert found.traffic_after == {"shop--v1": 100}
    assert "revision shop--v2 would get no traffic" in found.warnings[0]


def test_labels_mode_shows_where_the_label_would_go() -> None:
    world = World()
    world.deploy(suffix="v1", mode="labels", target_label="prod")
    world.settle()
    found = would(world, suffix="v2", mode="labels", target_label="prod", image="process:v2")
    assert found.traffic_after == {"shop--v2": 100}
    assert found.deactivates == ["shop--v1"]
    assert "label prod goes to shop--v2 once it is ready" in found.changes


def test_the_same_again_changes_nothing() -> None:
    world = World()
    world.deploy(suffix="v1")
    world.settle()
    found = preview(world.view, world.view, "localhost", world.now)
    assert (found.changes, found.revision, found.activates) == ([], None, [])


CHANGES: dict[str, Callable[[Changes], Any]] = {
    "put": lambda c: c.put(TRYING, "shop", V2),
    "put of a new one": lambda c: c.put(TRYING, "new", V2),
    "patch": lambda c: c.patch(TRYING, "shop", lambda _: V2, is_asked=True),
    "copy": lambda c: c.copy(TRYING, "shop", "shop--v1", lambda _: V2.template, ""),
    "delete": lambda c: c.delete(TRYING, "shop"),
    "delete of its group": lambda c: c.delete_group(TRYING, "mine"),
    "mode": lambda c: c.set_mode(TRYING, "shop", "single"),
    "traffic": lambda c: c.set_traffic(
        TRYING, "shop", (TrafficRule(revision_name="shop--v1", weight=100),)
    ),
    "label": lambda c: c.add_label(TRYING, "shop", "blue", "shop--v1"),
    "no label": lambda c: c.remove_label(TRYING, "shop", "green"),
    "restart": lambda c: c.restart(TRYING, "shop", "shop--v1"),
    "stop": lambda c: c.set_stopped(TRYING, "shop", is_stopped=True),
    "secret": lambda c: c.set_secrets(TRYING, "shop", {"key": "value"}),
    "fault": lambda c: c.set_fault(TRYING, "shop", "shop--v1", Fault(9e9, delay_ms=9), 9e9),
    "rollback": lambda c: c.roll_back(TRYING, "shop"),
    "cancel": lambda c: c.cancel(TRYING, "shop"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_tried_nothing_is_changed(tmp_path: Path, change: str) -> None:
    store = Store(tmp_path / "control.db")
    changes = changes_of(store)
    changes.places.put_group(ALICE, "mine", None, None)
    body = a_body("v1", image="endpoint:127.0.0.1:1")
    changes.put(ALICE, "shop", body.model_copy(update={"resource_group": "mine"}))
    changes.add_label(ALICE, "shop", "green", "shop--v1")
    before, journal = store.view("shop"), changes.read.journal()

    done = CHANGES[change](changes)

    assert isinstance(done, Previews)
    assert [preview for preview in done.apps.values() if preview.changes]
    assert (store.view("shop"), store.names()) == (before, ["shop"])
    assert changes.read.journal() == journal
    assert len(changes.places.groups()) == 2
    store.close()
