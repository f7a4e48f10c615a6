"""A new port without a new revision, and what else is asked for while it is on its way."""

from __future__ import annotations

import pytest

from control.history import journal
from control.model import states
from control.model.resources import Provisioning, ReplicaState
from control.rules import commands, rollback, target_ports
from tests.control.support import LIMITS, World
from tests.support.builders import a_body

MODES = pytest.mark.parametrize("mode", ["single", "multiple"])
WRONG = 9000


def deploy(world: World, port: int, mode: str) -> None:
    world.deploy(a_body("v1", mode=mode, image="nginx:1", ingress={"targetPort": port}))
    settle(world)


def settle(world: World) -> None:
    """As `World.settle`, with replicas that answer unless they are at the wrong port."""
    for _ in range(50):
        before, result = world.view, world.plan()
        for replica in result.starts:
            is_wrong = replica.target_port == WRONG
            state = ReplicaState.STARTING if is_wrong else ReplicaState.READY
            world.set(replica.name, state=state, address="127.0.0.1:1")
        for replica in result.stops:
            world.view = world.view.without_replica(replica.name)
        if before == world.view:
            return
    raise AssertionError("the plan never settles")


def deadline_passes(world: World) -> None:
    world.now += LIMITS.progress_deadline_s
    settle(world)


def set_stopped(world: World, *, is_stopped: bool) -> None:
    world.view = commands.set_stopped(world.view, world.now, is_stopped=is_stopped)
    settle(world)


def state_of(world: World) -> str:
    return states.app_provisioning(world.app, list(world.view.revisions.values()))


def moving(mode: str, port: int = WRONG) -> World:
    """v1 answers at 80 and is on its way to another port, by default where nothing listens."""
    world = World()
    deploy(world, 80, mode)
    deploy(world, port, mode)
    return world


@MODES
def test_stopped_and_started_on_its_way_to_a_wrong_port_the_old_one_comes_back(mode: str) -> None:
    world = moving(mode)
    set_stopped(world, is_stopped=True)
    set_stopped(world, is_stopped=False)
    assert state_of(world) == "InProgress"
    deadline_passes(world)
    assert state_of(world) == "Failed"
    assert "9000 was taken back" in world.app.problem
    assert target_ports.of_app(world.app) == 80
    (replica,) = world.view.ready("shop--v1")
    assert replica.target_port == 80
    revision = world.view.revisions["shop--v1"]
    assert revision.provisioning is Provisioning.PROVISIONED
    deadline_passes(world)
    assert world.view.revisions["shop--v1"] == revision


@MODES
def test_stopped_and_started_it_still_goes_to_a_good_port(mode: str) -> None:
    world = World()
    deploy(world, 80, mode)
    set_stopped(world, is_stopped=True)
    deploy(world, 8080, mode)  # whoever stops an app to give it another port expects that one
    set_stopped(world, is_stopped=False)
    assert state_of(world) == "Succeeded"
    (replica,) = world.view.ready("shop--v1")
    assert replica.target_port == target_ports.of_app(world.app) == 8080


@MODES
def test_a_restart_meanwhile_is_not_forgotten_when_the_old_port_comes_back(mode: str) -> None:
    """It was acknowledged, such as for a secret that has changed."""
    world = moving(mode)
    (before,) = world.view.ready("shop--v1")
    world.view = commands.restart(world.view, "shop--v1", world.now)
    settle(world)
    assert before.name in world.view.replicas  # until others are ready
    deadline_passes(world)
    assert before.name not in world.view.replicas
    (after,) = world.view.ready("shop--v1")
    assert after.target_port == 80


def test_a_rollback_to_a_record_has_each_revision_at_the_port_that_it_had_then() -> None:
    """The app had the port of a deploy that never came to its end; nobody had served there."""
    world = World()
    deploy(world, 80, "multiple")
    world.deploy(a_body("v2", mode="multiple", image="nginx:1", ingress={"targetPort": WRONG}))
    settle(world)
    during = journal.state_of(world.view)
    assert during is not None
    world.view = commands.cancel(world.view, world.now)
    settle(world)

    world.view = rollback.roll_back(world.view, during, world.now)
    settle(world)

    assert not world.app.restoring
    assert {r.target_port for r in world.view.replicas.values()} == {80}
    assert target_ports.of_app(world.app) == 80


def test_a_rollback_takes_nobody_to_the_port_that_another_had_then() -> None:
    world = World()
    deploy(world, 80, "multiple")
    world.deploy(a_body("v2", mode="multiple", image="nginx:1", ingress={"targetPort": 81}))
    world.traffic(v1=50, v2=50)
    settle(world)
    split = journal.state_of(world.view)
    assert split is not None
    world.deploy(a_body("v3", mode="multiple", image="nginx:1", ingress={"targetPort": 80}))
    world.traffic(v3=100)
    settle(world)

    world.view = rollback.roll_back(world.view, split, world.now)
    settle(world)

    at = {r.revision: r.target_port for r in world.view.replicas.values()}
    assert (at["shop--v1"], at["shop--v2"]) == (80, 81)
    assert target_ports.of_app(world.app) == 81
