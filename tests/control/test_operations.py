"""How the operation that a client of Azure's API waits for ends."""

from __future__ import annotations

import base64

import pytest

from control.api.azure import operations
from control.api.azure.operations import Operation
from control.model.errors import NotFound
from control.model.resources import AppView, Provisioning, ReplicaState, replace
from control.rules import commands
from tests.control.support import World

V2 = Operation("deploy", "shop", "shop--v2")


def deploying() -> World:
    """v1 serves in single mode, and v2 is on its way."""
    world = World()
    world.deploy(suffix="v1", mode="single")
    world.settle()
    world.broken = {"shop--v2"}
    world.deploy(suffix="v2", mode="single", image="process:v2")
    world.settle()
    return world


def superseded(world: World) -> None:
    world.deploy(suffix="v3", mode="single", image="process:v3")
    world.plan()


def succeeded_and_superseded(world: World) -> None:
    for replica in world.view.of("shop--v2"):
        world.set(replica.name, state=ReplicaState.READY)
    world.broken = set()
    world.settle()
    world.deploy(suffix="v3", mode="single", image="process:v3")
    world.settle()


def purged(world: World) -> None:
    superseded(world)
    revisions = {n: r for n, r in world.view.revisions.items() if n != "shop--v2"}
    world.view = AppView(world.view.app, revisions, world.view.replicas)


def stopped(world: World) -> None:
    world.view = commands.set_stopped(world.view, world.now, is_stopped=True)


def deleted(world: World) -> None:
    world.view = AppView(None, {}, world.view.replicas)


def failed(world: World) -> None:
    revision = world.view.revisions["shop--v2"]
    revision = replace(
        revision, provisioning=Provisioning.FAILED, reason="OOMKilled", message="Too big."
    )
    world.view = AppView(world.app, {**world.view.revisions, "shop--v2": revision}, {})


@pytest.mark.parametrize(
    ("what", "ends", "says"),
    [
        (lambda _: None, "InProgress", ""),
        (succeeded_and_superseded, "Succeeded", ""),
        (superseded, "Canceled", "a newer one took its place"),
        (purged, "Canceled", "a newer one took its place"),
        (stopped, "Canceled", "the app was stopped"),
        (deleted, "Canceled", "the app was deleted"),
        (failed, "Failed", "OOMKilled: Too big."),
    ],
)
def test_a_deploys_operation_ends_with_what_became_of_its_revision(
    what: object, ends: str, says: str
) -> None:
    world = deploying()
    what(world)  # type: ignore[operator]
    status, error = operations.status(V2, world.view)
    assert status == ends
    assert (error is None) == (ends in ("InProgress", "Succeeded"))
    assert error is None or says in error["message"]


@pytest.mark.parametrize("text", ["deploy|shop|shop--v2", "deploy|shop|shop--v2|"])
def test_an_operation_that_an_earlier_version_began_is_followed_on(text: str) -> None:
    name = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    assert operations.parse(name) == V2


@pytest.mark.parametrize("name", ["", "!", "ZGVwbG95", "ZGVwbG95fGF8YnxjfGQ"])
def test_what_is_no_operation_is_not_found(name: str) -> None:
    with pytest.raises(NotFound):
        operations.parse(name)


def test_a_started_app_goes_on_with_its_deploy() -> None:
    world = deploying()
    stopped(world)
    world.view = commands.set_stopped(world.view, world.now, is_stopped=False)
    assert operations.status(V2, world.view)[0] == "InProgress"
