"""The plan as a story: deploys, failures, switches, restarts."""

from __future__ import annotations

import orjson
import pytest

from control.model import traffic
from control.model.errors import Conflict
from control.model.resources import Provisioning, ReplicaState
from control.publish.compiler import compile_app
from control.rules import commands
from router.contract.check import check
from router.contract.snapshot import Snapshot
from tests.control.support import LIMITS, World


def serving(world: World) -> dict[str, int]:
    found = traffic.shares(world.view)
    return {name.partition("--")[2]: share.weight for name, share in found.items() if share.weight}


def single(**given: object) -> World:
    world = World()
    world.deploy(suffix="v1", mode="single", **given)
    world.settle()
    return world


def test_a_first_deploy_becomes_ready_with_its_replicas() -> None:
    world = World()
    world.deploy(suffix="v1", replicas=3)
    world.settle()

    assert len(world.view.ready("shop--v1")) == 3
    assert world.view.revisions["shop--v1"].provisioning is Provisioning.PROVISIONED
    assert world.app.latest_ready == "shop--v1"


def test_a_settled_world_needs_nothing() -> None:
    world = single(replicas=2)
    plan = world.plan()

    assert (plan.starts, plan.stops) == ([], [])


def test_single_mode_switches_when_ready_and_then_the_old_one_goes() -> None:
    world = single(replicas=2)
    world.deploy(suffix="v2", mode="single", replicas=2, image="process:")
    world.plan()  # replicas are wanted, none is ready
    assert serving(world) == {"v1": 100}
    assert world.active() == ["v1", "v2"]

    world.settle()
    assert serving(world) == {"v2": 100}
    assert world.active() == ["v2"]
    assert {r.revision for r in world.view.replicas.values()} == {"shop--v2"}


def test_it_switches_only_when_as_many_replicas_are_ready_as_served_before() -> None:
    world = single(replicas=3)
    world.deploy(suffix="v2", mode="single", replicas=3, image="process:")
    world.plan()
    first, second, third = world.view.of("shop--v2")
    for replica in (first, second):
        world.set(replica.name, state=ReplicaState.READY)
    world.plan()
    assert serving(world) == {"v1": 100}

    world.set(third.name, state=ReplicaState.READY)
    world.plan()
    assert serving(world) == {"v2": 100}


def test_a_replica_is_stopped_only_when_no_router_uses_it() -> None:
    world = single()
    world.deploy(suffix="v2", mode="single", image="process:")
    world.settle()
    world.deploy(suffix="v3", mode="single", replicas=1)
    while world.active() != ["v3"]:
        for replica in world.plan(can_stop=False).starts:
            world.set(replica.name, state=ReplicaState.READY)
    plan = world.plan(can_stop=False)
    assert plan.stops == []
    assert world.view.of("shop--v2")[0].state is ReplicaState.DRAINING

    world.now += LIMITS.drain_timeout_s * 100
    assert world.plan(can_stop=False).stops == []  # a router still sends it requests
    plan = world.plan(can_stop=False, has_left=True)
    assert [r.revision for r in plan.stops] == ["shop--v2"]


def test_a_new_revision_that_fails_never_serves_and_says_why() -> None:
    world = single()
    world.broken = {"shop--v2"}
    world.deploy(suffix="v2", mode="single", image="process:")
    world.settle()
    replica = world.view.of("shop--v2")[0]
    world.set(
        replica.name,
        state=ReplicaState.BACKOFF,
        restarts=3,
        start_again_at=world.now + 60,
        reason="CrashLoopBackOff",
        message="Container 'main' was terminated with exit code '3'.",
    )
    world.plan()

    failed = world.view.revisions["shop--v2"]
    assert failed.provisioning is Provisioning.FAILED
    assert "exit code '3'" in failed.message
    assert serving(world) == {"v1": 100}
    assert world.active() == ["v1", "v2"]  # the failed one stays as evidence
    assert world.app.latest == "shop--v2"
    assert world.app.latest_ready == "shop--v1"

    world.set(replica.name, state=ReplicaState.READY)  # too late: its deploy has failed
    world.settle()
    assert serving(world) == {"v1": 100}


def test_activating_a_failed_revision_is_a_new_attempt() -> None:
    """What was in its way (a full disk, a registry, a database) may be gone."""
    world = single()
    world.broken = {"shop--v2"}
    world.deploy(suffix="v2", mode="single", image="process:")
    world.settle()
    failing = world.view.of("shop--v2")[0]
    world.set(failing.name, state=ReplicaState.BACKOFF, restarts=3, start_again_at=world.now + 60)
    world.settle()
    assert world.view.revisions["shop--v2"].provisioning is Provisioning.FAILED

    world.broken = set()
    world.now += LIMITS.progress_deadline_s
    world.view = commands.activate(world.view, "shop--v2", world.now)
    world.plan()
    assert world.view.revisions["shop--v2"].provisioning is Provisioning.PROVISIONING
    assert serving(world) == {"v1": 100}
    world.settle()
    assert serving(world) == {"v2": 100}
    assert world.active() == ["v2"]
    assert failing.name not in world.view.replicas  # its growing pause is not waited for


def test_a_later_good_revision_replaces_both() -> None:
    world = single()
    world.broken = {"shop--v2"}
    world.deploy(suffix="v2", mode="single", image="process:")
    world.settle()
    world.now += LIMITS.progress_deadline_s
    world.plan()
    assert world.view.revisions["shop--v2"].reason == "ProgressDeadlineExceeded"

    world.deploy(suffix="v3", mode="single", replicas=1)
    world.settle()
    assert world.active() == ["v3"]


def test_of_several_updates_in_a_row_only_the_newest_matters() -> None:
    world = single()
    for n in (2, 3, 4):
        world.deploy(suffix=f"v{n}", mode="single", replicas=n)
        world.plan()

    assert world.active() == ["v1", "v4"]
    world.settle()
    assert world.active() == ["v4"]


def test_a_first_revision_that_comes_up_late_still_serves() -> None:
    world = World()
    world.broken = {"shop--v1"}
    world.deploy(suffix="v1", mode="single")
    world.settle()
    world.now += LIMITS.progress_deadline_s
    world.plan()
    assert world.view.revisions["shop--v1"].provisioning is Provisioning.FAILED

    world.set(world.view.of("shop--v1")[0].name, state=ReplicaState.READY)
    world.settle()
    assert serving(world) == {"v1": 100}


def test_activating_an_old_revision_in_single_mode_is_a_rollback_gated_on_readiness() -> None:
    world = single()
    world.deploy(suffix="v2", mode="single", image="process:")
    world.settle()
    world.view = commands.activate(world.view, "shop--v1", world.now)
    world.plan()
    assert serving(world) == {"v2": 100}

    world.settle()
    assert serving(world) == {"v1": 100}
    assert world.active() == ["v1"]


def test_multiple_mode_keeps_old_revisions() -> None:
    world = World()
    world.deploy(suffix="v1")
    world.settle()
    world.deploy(suffix="v2", replicas=2)
    world.settle()

    assert world.active() == ["v1", "v2"]


def test_multiple_to_single_keeps_the_latest_ready_and_switches_atomically() -> None:
    world = World()
    world.deploy(suffix="v1")
    world.deploy(suffix="v2", replicas=2)
    world.settle()
    world.traffic(v1=80, v2=20)
    world.view = commands.set_mode(world.view, "single", world.now)
    world.settle()

    assert serving(world) == {"v2": 100}
    assert world.active() == ["v2"]


def test_multiple_to_single_waits_for_a_latest_ready_that_is_inactive() -> None:
    world = World()
    world.deploy(suffix="v1")
    world.deploy(suffix="v2", replicas=2)
    world.settle()
    world.traffic(v1=100)
    world.view = commands.deactivate(world.view, "shop--v2", world.now)
    world.settle()
    world.view = commands.set_mode(world.view, "single", world.now)
    world.plan()
    assert serving(world) == {"v1": 100}  # nothing is lost while it comes up

    world.settle()
    assert serving(world) == {"v2": 100}


def test_single_to_multiple_changes_nothing_that_serves() -> None:
    world = single()
    world.deploy(suffix="v2", mode="single", image="process:")
    world.settle()
    world.view = commands.activate(world.view, "shop--v1", world.now)
    world.settle()
    world.view = commands.set_mode(world.view, "multiple", world.now)
    world.settle()

    assert serving(world) == {"v1": 100}


def test_a_restart_brings_the_new_replica_up_before_the_old_one_goes() -> None:
    world = World()
    world.deploy(suffix="v1", replicas=3)
    world.settle()
    before = set(world.view.replicas)
    world.view = commands.restart(world.view, "shop--v1", world.now)

    for _ in range(50):
        plan = world.plan()
        for replica in plan.starts:
            world.set(replica.name, state=ReplicaState.READY)
        for replica in plan.stops:
            world.view = world.view.without_replica(replica.name)
        assert len(world.view.ready("shop--v1")) >= 3
        assert len(world.view.replicas) <= 5

    assert len(world.view.replicas) == 3
    assert not before & set(world.view.replicas)


def test_a_crashed_replica_starts_again_after_its_pause() -> None:
    world = single()
    replica = world.view.of("shop--v1")[0]
    world.set(replica.name, state=ReplicaState.BACKOFF, start_again_at=world.now + 10)

    plan = world.plan()
    assert plan.starts == []
    assert plan.wake_at == world.now + 10

    world.now += 10
    assert [r.name for r in world.plan().starts] == [replica.name]


def test_a_stopped_app_has_no_replicas_and_comes_back() -> None:
    world = single(replicas=2)
    world.view = commands.set_stopped(world.view, world.now, is_stopped=True)
    world.settle()
    assert world.view.replicas == {}

    world.view = commands.set_stopped(world.view, world.now, is_stopped=False)
    world.settle()
    assert len(world.view.ready("shop--v1")) == 2


def test_a_deleted_apps_replicas_drain() -> None:
    from control.model.resources import AppView

    world = single(replicas=2)
    world.view = AppView(None, {}, world.view.replicas)
    plan = world.plan()

    assert len(plan.stops) == 2


def test_each_endpoint_is_one_replica() -> None:
    world = World()
    world.deploy(suffix="v1", image="endpoint:10.0.0.1:80,10.0.0.2:80")
    world.settle()

    assert len(world.view.ready("shop--v1")) == 2


def test_recreate_ends_the_old_revision_before_it_starts_the_new_one() -> None:
    world = single(updateStrategy="recreate")
    world.deploy(suffix="v2", mode="single", image="process:", updateStrategy="recreate")
    world.plan(can_stop=False)  # the old one drains

    assert {r.revision for r in world.view.replicas.values()} == {"shop--v1"}
    assert serving(world) == {}
    world.settle()
    assert serving(world) == {"v2": 100}
    assert {r.revision for r in world.view.replicas.values()} == {"shop--v2"}


def test_recreate_brings_the_old_revision_back_when_the_new_one_fails() -> None:
    world = single(updateStrategy="recreate")
    world.broken.add("shop--v2")
    world.deploy(suffix="v2", mode="single", image="process:", updateStrategy="recreate")
    world.settle()
    world.now += LIMITS.progress_deadline_s
    world.settle()

    assert serving(world) == {"v1": 100}
    assert world.active() == ["v1"]
    assert world.view.revisions["shop--v2"].reason == "ProgressDeadlineExceeded"


def test_a_threshold_lets_a_part_of_the_replicas_be_enough() -> None:
    world = single(replicas=4)
    world.deploy(
        suffix="v2", mode="single", replicas=4, image="process:", revisionTransitionThreshold=50
    )
    world.plan()
    for replica in world.view.of("shop--v2")[:2]:
        world.set(replica.name, state=ReplicaState.READY)
    world.plan()

    assert serving(world) == {"v2": 100}


def switching() -> World:
    """Told to be single while v1 and v2 split 30/70 and neither is ready yet."""
    world = World()
    world.deploy(suffix="v1")
    world.deploy(suffix="v2", image="process:")
    world.traffic(v1=30, v2=70)
    world.view = commands.set_mode(world.view, "single", world.now)
    return world


def test_a_split_that_waits_for_single_mode_is_a_table_that_routers_take() -> None:
    app = compile_app(switching().view)
    assert app is not None
    table = Snapshot(domain="localhost", apps=(app,), version=1, epoch="e")

    assert isinstance(check(orjson.loads(orjson.dumps(table))), Snapshot)


def test_a_revision_with_weight_stays_until_the_switch_to_single_mode_is_made() -> None:
    world = switching()
    with pytest.raises(Conflict, match="move it first"):
        commands.deactivate(world.view, "shop--v1", world.now)
