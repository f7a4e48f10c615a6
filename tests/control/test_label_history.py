"""A label's history: who held it, since when, until when, and who never got it."""

from __future__ import annotations

from control.history import label_history
from control.rules import commands
from tests.control.support import World


def stints(world: World, label: str) -> list[tuple[str, str, bool]]:
    """Revision suffix, status, and whether it has ended."""
    return [
        (s["revision"].partition("--")[2], s["status"], "stop" in s)
        for s in world.app.label_history.get(label, [])
    ]


def deploy(world: World, suffix: str, label: str) -> None:
    before = world.view
    world.deploy(suffix=suffix, mode="labels", target_label=label, image=f"process:{suffix}")
    world.view = label_history.follow(before, world.view, world.now)


def test_a_label_starts_succeeds_and_ends() -> None:
    world = World()
    deploy(world, "v1", "prod")
    world.settle()
    assert stints(world, "prod") == [("v1", "Succeeded", False)]
    deploy(world, "v2", "prod")
    assert stints(world, "prod") == [("v1", "Succeeded", False), ("v2", "Starting", False)]
    world.settle()
    assert stints(world, "prod") == [("v1", "Succeeded", True), ("v2", "Succeeded", False)]


def test_a_revision_that_fails_never_had_the_label() -> None:
    world = World()
    deploy(world, "v1", "prod")
    world.settle()
    world.broken.add("shop--v2")
    deploy(world, "v2", "prod")
    world.settle()
    world.now += 601
    world.settle()
    assert stints(world, "prod") == [("v1", "Succeeded", False), ("v2", "Failed", True)]


def test_what_is_forgotten_leaves_what_holds() -> None:
    world = World()
    deploy(world, "v1", "prod")
    world.settle()
    deploy(world, "v2", "prod")
    world.settle()
    world.view = commands.forget_label(world.view, "prod")
    assert stints(world, "prod") == [("v2", "Succeeded", False)]


def test_labels_that_were_used_once_do_not_pile_up() -> None:
    world = World()
    name = world.deploy(suffix="v1")
    world.settle()
    for n in range(150):
        before, world.now = world.view, world.now + 1
        after = commands.add_label(world.view, f"pr{n}", name, world.now)
        world.view = label_history.follow(before, after, world.now)

    kept = world.app.label_history
    assert len(kept) == 100
    assert "pr149" in kept  # it names a revision now
    assert "pr50" in kept
    assert "pr49" not in kept


def test_a_label_that_still_names_a_revision_keeps_its_history() -> None:
    world = World()
    first, other = world.deploy(suffix="v1"), world.deploy(suffix="v2", image="process:v2")
    world.settle()
    world.view = label_history.follow(
        world.view, commands.add_label(world.view, "prod", other, world.now), world.now
    )
    for n in range(150):
        before, world.now = world.view, world.now + 1
        after = commands.add_label(world.view, f"pr{n}", first, world.now)
        world.view = label_history.follow(before, after, world.now)

    assert "prod" in world.app.label_history
    assert len(world.app.label_history) == 100
