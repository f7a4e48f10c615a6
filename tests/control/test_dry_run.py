"""A dry run says what would happen, and nothing does."""

from __future__ import annotations

from typing import Any

from control.changes.dry_run import Preview, preview
from control.rules import commands
from tests.control.support import World
from tests.support.builders import a_body


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
