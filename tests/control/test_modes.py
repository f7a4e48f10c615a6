"""Every switch of the mode, by the table that README.md shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from control.model import traffic
from control.model.schema import Mode, TrafficRule
from control.rules import commands
from control.rules.modes import TRANSITIONS
from tests.control.support import World

PAIRS = list(TRANSITIONS)
LEAVING_SINGLE = [(old, new) for old, new in PAIRS if old == "single" and new != "single"]


def in_mode(mode: Mode) -> World:
    """An app with two ready revisions, of which the second serves, as far as the mode allows it."""
    world = World()
    for suffix, label in (("v1", "blue"), ("v2", "green")):
        given: dict[str, Any] = {"target_label": label} if mode == "labels" else {}
        world.deploy(suffix=suffix, mode=mode, image=f"process:{suffix}", **given)
        world.settle()
    if mode == "multiple":
        world.traffic(v1=0, v2=100)
    elif mode == "labels":
        rules = (
            TrafficRule(revision_name="shop--v1", label="blue", weight=0),
            TrafficRule(revision_name="shop--v2", label="green", weight=100),
        )
        world.view = commands.set_traffic(world.view, rules, world.now)
    return world


def switch(world: World, new: Mode, label: str = "prod") -> None:
    world.view = commands.set_mode(world.view, new, world.now, label if new == "labels" else "")


def serving(world: World) -> dict[str, int]:
    return {
        n.partition("--")[2]: s.weight for n, s in traffic.shares(world.view).items() if s.weight
    }


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_whoever_serves_goes_on_serving(old: Mode, new: Mode) -> None:
    world = in_mode(old)
    before = serving(world)
    switch(world, new)
    world.plan(can_stop=False)
    assert serving(world) == before
    world.settle()
    assert serving(world) == before
    assert world.app.configuration.active_revisions_mode == new


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_who_is_active_afterwards(old: Mode, new: Mode) -> None:
    world = in_mode(old)
    before = world.active()
    switch(world, new)
    world.settle()
    is_alone = new == "single" or (new == "labels" and old == "multiple")  # who has no label rests
    assert world.active() == (["v2"] if is_alone else before)


@pytest.mark.parametrize("old", ["multiple", "labels"])
def test_single_mode_keeps_the_latest_ready_whoever_had_the_traffic(old: Mode) -> None:
    world = in_mode(old)
    rules = traffic.rules_of(world.app)
    other = tuple(rule.model_copy(update={"weight": 100 - rule.weight}) for rule in rules)
    world.view = commands.set_traffic(world.view, other, world.now)
    switch(world, "single")
    assert serving(world) == {"v1": 100}  # until the next look of the planner
    world.settle()
    assert serving(world) == {"v2": 100}


@pytest.mark.parametrize("new", ["single", "multiple"])
def test_a_label_on_its_way_is_dropped_with_the_mode(new: Mode) -> None:
    world = in_mode("labels")
    world.broken.add("shop--v3")
    world.deploy(suffix="v3", mode="labels", target_label="green", image="process:v3")
    world.plan()
    assert world.app.pending == {"green": "shop--v3"}
    switch(world, new)
    assert world.app.pending == {}


@pytest.mark.parametrize(("old", "new"), LEAVING_SINGLE)
def test_who_was_activated_by_hand_takes_over_in_the_new_mode(old: Mode, new: Mode) -> None:
    world = in_mode(old)
    world.view = commands.activate(world.view, "shop--v1", world.now)
    world.plan()
    switch(world, new)
    assert serving(world) == {"v2": 100}
    world.settle()
    assert serving(world) == {"v1": 100}


def test_the_table_of_modes_is_up_to_date() -> None:
    text = Path("control/README.md").read_text()
    shown = text.split("<!-- modes")[1].split("<!-- /modes")[0].strip().splitlines()[1:]
    rows = [
        f"| {old} | {new} | {says(found.traffic)} | {says(found.then)} |"
        for (old, new), found in TRANSITIONS.items()
    ]
    assert [line for line in shown if line.startswith("| ")][1:] == rows


def says(rule: Any) -> str:
    return re.sub(r"\s+", " ", str(rule.__doc__)).strip()
