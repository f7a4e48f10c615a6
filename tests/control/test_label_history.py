"""A label's history: who held it, since when, until when, and who never got it (contract §5)."""

from __future__ import annotations

from control import commands, label_history
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
