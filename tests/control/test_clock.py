"""The wall clock jumps, the machine boots, a virtual machine is set back."""

from __future__ import annotations

from typing import Any

import pytest

from control.model.clock import Moment
from control.model.resources import AppView, Provisioning, Replica, ReplicaState, replace
from control.model.states import after_start
from control.rules import faults
from control.rules.commands import set_fault
from router.contract.snapshot import Fault
from tests.control.support import LIMITS, World

HOUR = 3600.0
S = ReplicaState


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
class TestJumps:
    def test_a_revision_keeps_the_time_it_has_to_become_ready(self, jump: float) -> None:
        world = World()
        world.deploy(suffix="v1")
        world.broken.add("shop--v1")
        world.settle()
        world.wall_is_off = jump

        world.now += LIMITS.progress_deadline_s - 1
        world.settle()
        assert world.view.revisions["shop--v1"].provisioning is Provisioning.PROVISIONING
        world.now += 2
        world.settle()
        assert world.view.revisions["shop--v1"].provisioning is Provisioning.FAILED

    def test_a_pause_between_restarts_keeps_its_length(self, jump: float) -> None:
        world = World()
        world.deploy(suffix="v1")
        world.settle()
        (name,) = world.view.replicas
        world.set(name, state=S.BACKOFF, start_again_at=world.now + 40)
        world.wall_is_off = jump

        world.now += 39
        assert world.plan().starts == []
        world.now += 2
        assert [r.name for r in world.plan().starts] == [name]

    def test_a_drain_keeps_its_length(self, jump: float) -> None:
        world = World()
        world.deploy(suffix="v1")
        world.settle()
        world.view = AppView(None, {}, world.view.replicas)
        world.plan(can_stop=False)
        world.wall_is_off = jump

        world.now += LIMITS.drain_timeout_s - 1
        assert world.plan(can_stop=False, has_left=True).stops == []
        world.now += 2
        assert len(world.plan(can_stop=False, has_left=True).stops) == 1

    def test_a_fault_keeps_its_length(self, jump: float) -> None:
        world = World()
        world.deploy(suffix="v1")
        world.settle()
        fault = Fault(until=world.now + 40, abort_percent=1, seconds=40)
        world.view = set_fault(world.view, "shop--v1", fault, world.now + 40, world.now)
        world.wall_is_off = jump

        world.now += 39
        assert world.plan().wake_at == world.now + 1
        assert world.app.faults
        world.now += 1
        world.plan()
        assert not world.app.faults


def test_when_an_attempt_began_is_nothing_that_callers_see_change() -> None:
    world = World()
    world.deploy(suffix="v1")
    version = world.app.version

    assert world.plan().record is None
    assert world.view.revisions["shop--v1"].attempt_since == world.now
    assert world.app.version == version


def a_view(**given: float) -> AppView:
    world = World()
    world.deploy(suffix="v1")
    revision = replace(world.view.revisions["shop--v1"], attempt_since=given.pop("attempt_since"))
    replica = Replica("r", "shop", revision.name, 0.0, revision.uid, **given)  # type: ignore[arg-type]
    return AppView(world.app, {revision.name: revision}, {"r": replica})


@pytest.mark.parametrize(
    ("is_same_boot", "recorded", "taken"),
    [
        (True, (900, 800, 700, 1100), (900, 800, 700, 1100)),  # all goes on
        (True, (9e9, 9e9, 9e9, 9e9), (1000, 1000, 1000, 1300)),  # set back
        (False, (9e9, 9e9, 9e9, 9e9), (1000, 1000, 1000, 1000)),  # begun anew
        (False, (10, 20, 30, 40), (1000, 1000, 1000, 40)),
        (False, (10, 0, 0, 0), (1000, 0, 0, 0)),  # it never was ready, nor drained
    ],
)
def test_moments_of_an_earlier_control_plane(
    is_same_boot: bool, recorded: tuple[float, ...], taken: tuple[float, ...]
) -> None:
    attempt, ready, drain, start = recorded
    view = a_view(attempt_since=attempt, ready_at=ready, drain_since=drain, start_again_at=start)

    after = after_start(view, 1000.0, is_same_boot=is_same_boot, most_s=300.0)

    replica, revision = after.replicas["r"], after.revisions["shop--v1"]
    assert taken == (
        revision.attempt_since, replica.ready_at, replica.drain_since, replica.start_again_at
    )  # fmt: skip


@pytest.mark.parametrize(
    ("is_same_boot", "kept", "left"),
    [
        (True, {"until": 0.0, "ends_at": 1040.0, "seconds": 60.0}, 40),  # whatever the wall says
        (True, {"until": 0.0, "ends_at": 9e9, "seconds": 60.0}, 60),  # set back
        (False, {"until": 5050.0, "ends_at": 9e9, "seconds": 60.0}, 50),  # all that is known
        (False, {"until": 9e9, "ends_at": 9e9, "seconds": 60.0}, 60),
        (False, {"until": 4000.0, "ends_at": 9e9, "seconds": 60.0}, -1000),  # over
        (True, {"until": 5050.0}, 50),  # of an earlier version
    ],
)
def test_a_fault_of_an_earlier_control_plane(
    is_same_boot: bool, kept: dict[str, float], left: float
) -> None:
    world = World()
    world.deploy(suffix="v1")
    view = AppView(replace(world.app, faults={"shop--v1": kept}), {}, {})

    after = faults.after_start(view, Moment(1000.0, 5000.0), is_same_boot=is_same_boot)
    assert after.app is not None
    assert after.app.faults["shop--v1"]["ends_at"] == 1000 + left


@pytest.mark.parametrize("bad", [5, {"shop--v1": 5}, {"shop--v1": {"until": "tomorrow"}}])
def test_a_damaged_fault_is_left_to_its_own_app(bad: Any) -> None:
    world = World()
    world.deploy(suffix="v1")
    view = AppView(replace(world.app, faults=bad), {}, {})
    after = faults.after_start(view, Moment(1000.0, 5000.0), is_same_boot=True)
    assert after.app is not None
    assert after.app.faults == bad
