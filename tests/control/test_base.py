"""What the next deploy builds on, and whose name it may take."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from control.api.azure import operations
from control.api.azure.operations import Operation
from control.api.wire import bodies
from control.api.wire.representation import app_wire
from control.history import journal
from control.model.errors import Invalid
from control.model.resources import Provisioning, ReplicaState
from control.rules import commands
from control.rules.base_revision import base_of
from control.rules.rollback import roll_back
from tests.control.support import LIMITS, World
from tests.support.builders import a_body

MODES = ["single", "multiple", "labels"]


def label(mode: str) -> dict[str, str]:
    return {"targetLabel": "prod"} if mode == "labels" else {}


def serving_v1(mode: str) -> World:
    world = World()
    world.deploy(suffix="v1", mode=mode, image="process:v1", **label(mode))
    world.settle()
    return world


def deploy_v2(world: World, mode: str, *, is_broken: bool) -> None:
    world.broken = {"shop--v2"} if is_broken else set()
    world.deploy(suffix="v2", mode=mode, image="process:v2", **label(mode))
    world.settle()


def under_way(mode: str) -> World:
    world = serving_v1(mode)
    deploy_v2(world, mode, is_broken=True)
    return world


def failing(mode: str) -> World:
    """v2 has crashed once, and is tried on."""
    world = under_way(mode)
    for replica in world.view.of("shop--v2"):
        world.set(replica.name, state=ReplicaState.BACKOFF, restarts=1, start_again_at=1e9)
    return world


def done(mode: str) -> World:
    world = serving_v1(mode)
    deploy_v2(world, mode, is_broken=False)
    return world


def failed(mode: str) -> World:
    world = under_way(mode)
    world.now += LIMITS.progress_deadline_s
    world.settle()
    return world


def cancelled(mode: str) -> World:
    world = under_way(mode)
    world.view = commands.cancel(world.view, world.now)
    world.settle()
    return world


def rolled_back(mode: str) -> World:
    world = serving_v1(mode)
    state = journal.state_of(world.view)
    assert state is not None
    deploy_v2(world, mode, is_broken=False)
    world.view = roll_back(world.view, state, world.now)
    world.settle()
    return world


def tried_again(mode: str) -> World:
    world = failed(mode)
    body = a_body(mode=mode, image="process:v2", **label(mode))
    world.view = commands.deploy(
        world.view, "shop", body, world.now, world.new_suffix, is_asked=True
    )
    return world


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("history", "base"),
    [
        (serving_v1, "v1"),
        (under_way, "v2"),
        (done, "v2"),
        (failed, "v1"),
        (cancelled, "v1"),
        (rolled_back, "v1"),
        (tried_again, "v2"),
    ],
)
def test_the_base_is_what_serves_or_is_about_to(
    history: Callable[[str], World], base: str, mode: str
) -> None:
    world = history(mode)
    found = base_of(world.view)
    assert found is not None
    assert found.suffix == base
    shown = app_wire(world.view, "localhost")["template"]
    assert shown["revisionSuffix"] == base
    assert shown["containers"][0]["image"] == f"process:{base}"


def test_a_first_deploy_that_failed_is_the_base_of_the_next() -> None:
    world = World()
    world.broken = {"shop--v1"}
    world.deploy(suffix="v1", mode="single")
    world.settle()
    world.now += LIMITS.progress_deadline_s
    world.settle()
    found = base_of(world.view)
    assert found is not None
    assert found.suffix == "v1"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("history", [failed, cancelled, rolled_back])
def test_what_get_shows_can_be_put_back(history: Callable[[str], World], mode: str) -> None:
    """az sets a secret so: the whole app, the template with its suffix included."""
    world = history(mode)
    before = world.view
    body = bodies.put(app_wire(world.view, "localhost"))
    world.view = commands.deploy(world.view, "shop", body, world.now, world.new_suffix)
    assert world.view.revisions == before.revisions


@pytest.mark.parametrize("history", [failed, cancelled, rolled_back])
def test_a_patch_changes_what_serves(history: Callable[[str], World]) -> None:
    world = history("single")
    world.broken = set()
    patch = {"template": {"scale": {"minReplicas": 2, "maxReplicas": 2}}}
    body = bodies.patched(world.view, patch, "localhost")
    world.view = commands.deploy(
        world.view, "shop", body, world.now, world.new_suffix, is_asked=True
    )
    made = world.view.revisions[world.app.latest].template
    assert (made.containers[0].image, made.scale.min_replicas) == ("process:v1", 2)


# --- a name that a failed deploy has had


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("history", [failing, failed, cancelled])
def test_a_name_is_not_used_up_by_what_was_never_ready(
    history: Callable[[str], World], mode: str
) -> None:
    world = history(mode)
    old = world.view.revisions["shop--v2"]
    world.broken = set()
    world.deploy(suffix="v2", mode=mode, image="process:right", **label(mode))
    assert world.view.revisions["shop--v2"].uid != old.uid
    world.settle()
    revision = world.view.revisions["shop--v2"]
    assert revision.template.containers[0].image == "process:right"
    assert revision.provisioning is Provisioning.PROVISIONED
    assert {r.revision_uid for r in world.view.of("shop--v2")} == {revision.uid}
    assert not [r for r in world.view.replicas.values() if r.revision_uid == old.uid]


@pytest.mark.parametrize("history", [under_way, done, rolled_back])
def test_what_serves_or_may_yet_keeps_its_name(history: Callable[[str], World]) -> None:
    world = history("single")
    with pytest.raises(Invalid, match="suffix v2 already exists"):
        world.deploy(suffix="v2", mode="single", image="process:right")


def test_the_operation_of_a_deploy_ends_when_another_takes_its_name() -> None:
    world = failing("single")
    operation = Operation.of_deploy(world.view)
    assert operations.parse(operation.id) == operation
    world.deploy(suffix="v2", mode="single", image="process:right")
    assert operations.status(operation, world.view)[0] == "Canceled"
    assert operations.status(Operation.of_deploy(world.view), world.view)[0] == "InProgress"
