"""Labels mode as a story: labels decide who is active, and move when it is ready."""

from __future__ import annotations

from typing import Any

import pytest

from control.model import traffic
from control.model.errors import Conflict, Invalid
from control.model.resources import ReplicaState
from control.model.schema import TrafficRule
from control.rules import commands
from tests.control.support import World


def held(world: World) -> dict[str, tuple[str, int]]:
    """By label: who has it, and with what weight."""
    return {
        rule.label: ((rule.revision_name or "").partition("--")[2], rule.weight)
        for rule in traffic.rules_of(world.app)
        if rule.label
    }


def labelled(suffix: str = "v1", label: str = "prod", **given: Any) -> World:
    world = World()
    world.deploy(suffix=suffix, mode="labels", target_label=label, **given)
    world.settle()
    return world


def deploy(world: World, suffix: str, label: str) -> None:
    world.deploy(suffix=suffix, mode="labels", target_label=label, image=f"process:{suffix}")


def test_the_first_revision_gets_the_label_and_all_traffic() -> None:
    assert held(labelled()) == {"prod": ("v1", 100)}


def test_a_label_moves_with_its_weight_once_the_new_revision_is_ready() -> None:
    world = labelled()
    deploy(world, "v2", "prod")
    world.plan()  # replicas are wanted, none is ready
    assert held(world) == {"prod": ("v1", 100)}
    assert world.active() == ["v1", "v2"]

    world.settle()
    assert held(world) == {"prod": ("v2", 100)}
    assert world.active() == ["v2"]  # who has no label rests


def test_a_new_label_begins_without_weight() -> None:
    world = labelled()
    deploy(world, "v2", "staging")
    world.settle()
    assert held(world) == {"prod": ("v1", 100), "staging": ("v2", 0)}
    assert world.active() == ["v1", "v2"]


def test_deploys_for_several_labels_do_not_lose_each_other() -> None:
    world = labelled()
    deploy(world, "v2", "blue")
    deploy(world, "v3", "green")
    world.settle()
    assert held(world) == {"prod": ("v1", 100), "blue": ("v2", 0), "green": ("v3", 0)}


def test_of_two_deploys_for_one_label_the_last_one_counts() -> None:
    world = labelled()
    deploy(world, "v2", "prod")
    deploy(world, "v3", "prod")
    world.settle()
    assert held(world) == {"prod": ("v3", 100)}
    assert world.active() == ["v3"]


def test_a_revision_that_fails_never_gets_the_label() -> None:
    world = labelled()
    world.broken.add("shop--v2")
    deploy(world, "v2", "prod")
    world.settle()
    world.now += 601  # the progress deadline
    world.settle()
    world.broken.clear()
    for replica in world.view.of("shop--v2"):
        world.set(replica.name, state=ReplicaState.READY)
    world.settle()
    assert held(world) == {"prod": ("v1", 100)}


def test_a_deploy_without_a_label_is_refused_whole() -> None:
    world = labelled()
    before = world.view
    with pytest.raises(Invalid, match="targetLabel"):
        deploy(world, "v2", "")
    assert world.view == before


@pytest.mark.parametrize("label", ["latest", "v--1", "2x"])
def test_a_bad_target_label_is_refused(label: str) -> None:
    with pytest.raises(Invalid):
        deploy(labelled(), "v2", label)


def test_a_label_wakes_a_resting_revision_and_moves_when_it_is_ready() -> None:
    world = labelled()
    deploy(world, "v2", "prod")
    world.settle()
    world.view = commands.add_label(world.view, "old", "shop--v1", world.now)
    assert held(world) == {"prod": ("v2", 100)}
    world.settle()
    assert held(world) == {"prod": ("v2", 100), "old": ("v1", 0)}
    assert world.active() == ["v1", "v2"]


def test_taking_a_label_away_sends_its_revision_to_rest() -> None:
    world = labelled()
    deploy(world, "v2", "staging")
    world.settle()
    with pytest.raises(Conflict, match="100 %"):
        commands.remove_label(world.view, "prod", world.now)
    world.view = commands.remove_label(world.view, "staging", world.now)
    world.settle()
    assert world.active() == ["v1"]


def test_revisions_are_not_switched_by_hand() -> None:
    world = labelled()
    with pytest.raises(Conflict, match="label"):
        commands.deactivate(world.view, "shop--v1", world.now)
    with pytest.raises(Conflict, match="label"):
        commands.activate(world.view, "shop--v1", world.now)


def test_rules_without_a_label_are_refused() -> None:
    world = labelled()
    with pytest.raises(Invalid, match="label"):
        world.traffic(v1=100)
    with pytest.raises(Invalid, match="label"):
        world.traffic(latest=100)


def test_single_becomes_labels_with_a_label_for_who_serves() -> None:
    world = World()
    world.deploy(suffix="v1", mode="single")
    world.settle()
    with pytest.raises(Invalid, match="targetLabel"):
        commands.set_mode(world.view, "labels", world.now)
    world.view = commands.set_mode(world.view, "labels", world.now, "prod")
    world.settle()
    assert held(world) == {"prod": ("v1", 100)}


def test_multiple_becomes_labels_when_every_rule_has_one_and_the_rest_goes() -> None:
    world = World()
    for suffix in ("v1", "v2", "v3"):
        world.deploy(suffix=suffix, image=f"process:{suffix}")
        world.settle()
    world.traffic(v1=50, v2=50)
    with pytest.raises(Invalid, match="shop--v1, shop--v2"):
        commands.set_mode(world.view, "labels", world.now, "prod")
    rules = (
        TrafficRule(revision_name="shop--v1", weight=50, label="a"),
        TrafficRule(revision_name="shop--v2", weight=50, label="b"),
    )
    world.view = commands.set_traffic(world.view, rules, world.now)
    world.view = commands.set_mode(world.view, "labels", world.now)
    world.settle()
    assert world.active() == ["v1", "v2"]


def test_labels_becomes_multiple_and_nothing_else_changes() -> None:
    world = labelled()
    deploy(world, "v2", "staging")
    world.settle()
    world.view = commands.set_mode(world.view, "multiple", world.now)
    world.settle()
    assert held(world) == {"prod": ("v1", 100), "staging": ("v2", 0)}
    assert world.active() == ["v1", "v2"]


def test_labels_becomes_single_with_the_latest_ready() -> None:
    world = labelled()
    deploy(world, "v2", "staging")
    world.settle()
    world.view = commands.set_mode(world.view, "single", world.now)
    world.settle()
    assert world.active() == ["v2"]
    assert traffic.shares(world.view)["shop--v2"].weight == 100
