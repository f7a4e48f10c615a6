"""Deploying again what failed or rests, and what a failed revision may still become."""

from __future__ import annotations

import pytest

from control.history import journal
from control.model import traffic
from control.model.errors import Invalid
from control.model.resources import Provisioning, ReplicaState
from control.rules import commands
from control.rules.rollback import roll_back
from tests.control.support import LIMITS, World
from tests.support.builders import a_body


def serving(world: World) -> dict[str, int]:
    found = traffic.shares(world.view)
    return {name.partition("--")[2]: share.weight for name, share in found.items() if share.weight}


def failed(mode: str) -> World:
    """v1 serves, and v2, which nobody could start in time, has failed."""
    world = World()
    label = {"target_label": "prod"} if mode == "labels" else {}
    world.deploy(suffix="v1", mode=mode, **label)
    world.settle()
    world.broken = {"shop--v2"}
    world.deploy(suffix="v2", mode=mode, image="process:v2", **label)
    world.settle()
    world.now += LIMITS.progress_deadline_s
    world.settle()
    assert world.view.revisions["shop--v2"].provisioning is Provisioning.FAILED
    return world


def again(world: World, mode: str, *, is_asked: bool = False, **configuration: object) -> None:
    """PUT, or with `is_asked` PATCH, what v2 is made of."""
    world.now += 1
    body = a_body("v2", mode=mode, image="process:v2", **configuration)
    world.view = commands.deploy(
        world.view, "shop", body, world.now, world.new_suffix, is_asked=is_asked
    )


# --- the same template again


@pytest.mark.parametrize("mode", ["single", "multiple", "labels"])
@pytest.mark.parametrize("is_asked", [True, False])
def test_deploying_a_failed_revision_again_tries_it_with_new_replicas(
    mode: str, is_asked: bool
) -> None:
    world = failed(mode)
    old = {r.name for r in world.view.of("shop--v2")}
    world.broken = set()
    label = {"target_label": "prod"} if mode == "labels" else {}
    again(world, mode, is_asked=is_asked, **label)

    assert set(world.view.revisions) == {"shop--v1", "shop--v2"}
    assert world.view.revisions["shop--v2"].provisioning is Provisioning.PROVISIONING
    world.settle()
    assert serving(world) == {"v2": 100}
    assert not old & set(world.view.replicas)


@pytest.mark.parametrize("mode", ["single", "multiple"])
def test_deploying_a_resting_revision_again_activates_it(mode: str) -> None:
    world = World()
    for suffix in ("v1", "v2"):
        world.deploy(suffix=suffix, image=f"process:{suffix}", mode=mode)
        world.settle()
    if mode == "single":
        world.view = commands.activate(world.view, "shop--v1", world.now)
        world.settle()
    else:
        world.traffic(v1=100)
        world.view = commands.deactivate(world.view, "shop--v2", world.now)
        world.settle()
        world.traffic(latest=100)
    assert serving(world) == {"v1": 100}
    again(world, mode, is_asked=True)
    world.plan()

    assert serving(world) == {"v1": 100}  # until v2 is ready
    world.settle()
    assert serving(world) == {"v2": 100}


@pytest.mark.parametrize(("is_asked", "ends"), [(False, {"v1": 100}), (True, {"v2": 100})])
def test_a_write_that_is_about_settings_leaves_a_rollback_alone(
    is_asked: bool, ends: dict[str, int]
) -> None:
    """az PUTs the whole app back to change a secret or the mode: the template is an echo."""
    world = World()
    for suffix in ("v1", "v2"):
        world.deploy(suffix=suffix, image=f"process:{suffix}", mode="single")
        world.settle()
    world.view = commands.activate(world.view, "shop--v1", world.now)
    world.settle()
    again(world, "single", is_asked=is_asked, maxInactiveRevisions=7)
    world.settle()

    assert serving(world) == ends


def test_in_labels_mode_a_new_attempt_needs_a_label_like_a_new_revision() -> None:
    world = failed("labels")
    with pytest.raises(Invalid, match="give targetLabel"):
        again(world, "labels", is_asked=True)
    before = world.view.revisions
    again(world, "labels")  # what GET showed, sent back
    assert world.view.revisions == before


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_revision_that_is_well_or_on_its_way_is_left_alone(is_asked: bool) -> None:
    world = World()
    world.deploy(suffix="v2", mode="single", image="process:v2")
    for _ in range(2):
        before = world.view.revisions
        again(world, "single", is_asked=is_asked)
        assert world.view.revisions == before
        world.settle()


# --- a failed revision that recovers late


def recovered(mode: str) -> World:
    """The failed v2, whose replicas are ready after all."""
    world = failed(mode)
    world.broken = set()
    for replica in world.view.of("shop--v2"):
        world.set(replica.name, state=ReplicaState.READY)
    world.settle()
    return world


@pytest.mark.parametrize("mode", ["single", "multiple"])
def test_a_failed_revision_that_recovers_late_is_not_the_latest_ready(mode: str) -> None:
    world = recovered(mode)
    assert world.app.latest_ready == "shop--v1"
    assert serving(world) == {"v1": 100}
    assert world.view.revisions["shop--v2"].provisioning is Provisioning.FAILED


@pytest.mark.parametrize(
    ("before", "after"), [("single", "multiple"), ("multiple", "single"), ("single", "labels")]
)
def test_nor_does_a_switch_of_the_mode_give_it_all_traffic(before: str, after: str) -> None:
    world = recovered(before)
    world.view = commands.set_mode(world.view, after, world.now, "prod")
    world.settle()
    assert serving(world) == {"v1": 100}


@pytest.mark.parametrize("verb", [commands.activate, commands.restart])
def test_a_failed_revision_that_is_tried_again_by_hand_may_become_it(verb: object) -> None:
    world = recovered("multiple")
    world.view = verb(world.view, "shop--v2", world.now)  # type: ignore[operator]
    world.settle()
    assert world.app.latest_ready == "shop--v2"
    assert serving(world) == {"v2": 100}


def test_a_failed_revision_with_nobody_to_take_over_from_may_recover() -> None:
    world = failed("single")
    world.view = commands.deactivate(world.view, "shop--v1", world.now)
    world.settle()
    world.broken = set()
    for replica in world.view.of("shop--v2"):
        world.set(replica.name, state=ReplicaState.READY)
    world.settle()
    assert serving(world) == {"v2": 100}


# --- a rollback and the mode


def rolled_back(mode: str) -> World:
    """Back to v1, v2 being the latest."""
    world = World()
    world.deploy(suffix="v1", image="process:v1", mode=mode)
    world.settle()
    record = journal.state_of(world.view)
    assert record is not None
    world.deploy(suffix="v2", image="process:v2", mode=mode)
    world.settle()
    world.view = roll_back(world.view, record, world.now)
    return world


@pytest.mark.parametrize("is_settled", [True, False])
@pytest.mark.parametrize(
    "way",
    [
        ("multiple",),
        ("multiple", "single"),
        ("labels",),
        ("labels", "single"),
        ("multiple", "labels", "single"),
    ],
)
def test_a_rollback_in_single_mode_survives_switches(
    way: tuple[str, ...], is_settled: bool
) -> None:
    world = rolled_back("single")
    for mode in way:
        if is_settled or mode != way[0]:
            world.settle()
        world.view = commands.set_mode(world.view, mode, world.now, "prod")
        assert serving(world) == ({"v1": 100} if is_settled or mode != way[0] else {"v2": 100})
    world.settle()
    assert serving(world) == {"v1": 100}


def test_a_label_that_was_moved_after_a_rollback_counts_again() -> None:
    world = rolled_back("single")
    world.settle()
    world.view = commands.set_mode(world.view, "labels", world.now, "prod")
    world.settle()
    world.view = commands.add_label(world.view, "prod", "shop--v2", world.now)
    world.settle()
    assert serving(world) == {"v2": 100}
    world.view = commands.set_mode(world.view, "single", world.now)
    world.settle()
    assert serving(world) == {"v2": 100}


def test_a_switch_to_single_mode_tries_the_revision_that_it_keeps_again() -> None:
    world = rolled_back("multiple")  # v1 is to come back, v2 serves
    world.settle()
    world.view = commands.deactivate(world.view, "shop--v2", world.now)
    world.settle()
    world.broken = {"shop--v2"}
    world.view = commands.activate(world.view, "shop--v2", world.now)
    world.settle()
    world.traffic(latest=100)
    world.now += LIMITS.progress_deadline_s
    world.settle()
    assert world.view.revisions["shop--v2"].provisioning is Provisioning.FAILED
    world.broken = set()
    world.view = commands.set_mode(world.view, "single", world.now)
    world.settle()
    assert serving(world) == {"v2": 100}


def test_a_rollback_of_a_split_survives_a_switch_to_single_mode() -> None:
    world = rolled_back("multiple")
    world.settle()
    assert serving(world) == {"v1": 100}
    world.view = commands.set_mode(world.view, "single", world.now)
    world.settle()
    assert serving(world) == {"v1": 100}
    assert world.active() == ["v1"]


def test_a_deploy_after_a_rollback_counts_again() -> None:
    world = rolled_back("single")
    world.settle()
    world.view = commands.set_mode(world.view, "multiple", world.now)
    world.deploy(suffix="v3", image="process:v3")
    world.settle()
    world.view = commands.set_mode(world.view, "single", world.now)
    world.settle()
    assert serving(world) == {"v3": 100}


def test_a_rollback_while_a_deploy_is_under_way_calls_it_off() -> None:
    world = World()
    world.deploy(suffix="v1", image="process:v1", mode="single")
    world.settle()
    record = journal.state_of(world.view)
    assert record is not None
    world.deploy(suffix="v2", image="process:v2", mode="single")
    world.plan()
    world.view = roll_back(world.view, record, world.now)
    world.settle()
    assert serving(world) == {"v1": 100}
    assert world.active() == ["v1"]


@pytest.mark.parametrize("mode", ["single", "multiple"])
def test_a_rollback_to_a_revision_that_failed_tries_it_again(mode: str) -> None:
    world = failed(mode)
    record = journal.state_of(world.view)
    assert record is not None
    if mode == "single":
        record["serving"] = "shop--v2"
    else:
        record["configuration"]["ingress"]["traffic"] = [
            {"revision_name": "shop--v2", "weight": 100}
        ]
    world.broken = set()
    world.view = roll_back(world.view, record, world.now)
    world.settle()
    assert serving(world) == {"v2": 100}


# --- on the way to single mode


def test_settings_can_be_changed_while_the_switch_to_single_mode_waits() -> None:
    world = World()
    for suffix in ("v1", "v2"):
        world.deploy(suffix=suffix, image=f"process:{suffix}")
        world.settle()
    world.traffic(v1=80, v2=20)
    world.view = commands.restart(world.view, "shop--v2", world.now)
    world.view = commands.set_mode(world.view, "single", world.now)
    shown = world.app.configuration.model_dump(by_alias=True)
    given = a_body().configuration.model_validate(shown | {"maxInactiveRevisions": 7})
    world.view = commands.configure(world.view, given, world.now)

    assert world.app.configuration.max_inactive_revisions == 7
    assert serving(world) == {"v1": 80, "v2": 20}
    given = given.model_validate(
        shown | {"ingress": {"traffic": [{"revisionName": "shop--v1", "weight": 100}]}}
    )
    with pytest.raises(Invalid, match="single mode"):
        commands.configure(world.view, given, world.now)
    world.settle()
    assert serving(world) == {"v2": 100}


def test_single_mode_can_be_left_between_two_revisions_that_must_not_run_together() -> None:
    world = World()
    world.deploy(suffix="v1", mode="single", updateStrategy="recreate")
    world.settle()
    world.deploy(suffix="v2", image="process:v2", mode="single", updateStrategy="recreate")
    world.plan()
    assert world.active() == ["v2"]
    world.view = commands.set_mode(world.view, "multiple", world.now)
    assert all(rule.latest_revision for rule in traffic.rules_of(world.app))
    world.settle()
    assert serving(world) == {"v2": 100}
