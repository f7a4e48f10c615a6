"""What callers can do to an app, and what is refused."""

from __future__ import annotations

import pytest

from control.model import traffic
from control.model.errors import Conflict, ControlError, Invalid, NotFound
from control.model.schema import TrafficRule
from control.rules import commands
from router.contract.snapshot import Fault
from tests.control.support import World
from tests.support.builders import a_body


def shares(world: World) -> dict[str, int]:
    found = traffic.shares(world.view)
    return {name.partition("--")[2]: share.weight for name, share in found.items() if share.weight}


# --- names


@pytest.mark.parametrize("suffix", ["first-revision", "v2", "a", "a1-b2"])
def test_good_suffixes_name_the_revision(suffix: str) -> None:
    assert World().deploy(suffix=suffix) == f"shop--{suffix}"


@pytest.mark.parametrize(
    "suffix",
    [
        "2023-10-31-7",
        "1st",
        "-v1",
        "v1-",
        "v--1",
        "V1",
        "v_1",
        "v.1",
        "vé",
        "v\uff11",
        "v1\n",
        "v 1",
        "a" * 64,
        "a" * 65,
        "latest",
    ],
)
def test_bad_suffixes_are_refused(suffix: str) -> None:
    with pytest.raises(Invalid) as caught:
        World().deploy(suffix=suffix)

    assert caught.value.code == "ContainerAppInvalidRevisionName"


@pytest.mark.parametrize(
    "label", ["2x", "-v1", "v1-", "v--1", "V1", "v_1", "vé", "v1\n", "latest", "a" * 64, "a" * 65]
)
def test_bad_labels_are_refused(label: str) -> None:
    world = World()
    name = world.deploy(suffix="v1")

    with pytest.raises(Invalid):
        commands.add_label(world.view, label, name, 0.0)


@pytest.mark.parametrize(
    "name", ["", "Shop", "1shop", "shop-", "sh--op", "s" * 33, "shöp", "shop\n"]
)
def test_bad_app_names_are_refused(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        World(name).deploy(suffix="v1")

    assert caught.value.code == "ContainerAppInvalidName"


def test_the_combined_name_has_a_limit_of_its_own() -> None:
    with pytest.raises(Invalid, match="combined 54"):
        World("s" * 32).deploy(suffix="a" * 21)
    assert World("s" * 32).deploy(suffix="a" * 20)


def test_a_suffix_in_use_is_refused_and_says_how_to_bring_a_resting_revision_back() -> None:
    world = World()
    world.deploy(suffix="v1")
    world.settle()
    world.deploy(suffix="v2", image="process:", replicas=2)

    with pytest.raises(Invalid, match=r"is active; choose another suffix\Z"):
        world.deploy(suffix="v1", replicas=3)
    world.settle()
    world.view = commands.deactivate(world.view, "shop--v1", world.now)
    with pytest.raises(Invalid, match=r"is inactive; .*revision activate shop --revision shop--v1"):
        world.deploy(suffix="v1", replicas=3)


def test_a_missing_suffix_is_made_up_and_never_collides() -> None:
    world = World()
    world.new_suffix = iter(["aaa", "aaa", "bbb"]).__next__  # type: ignore[method-assign]

    assert world.deploy() == "shop--aaa"
    assert world.deploy(replicas=2) == "shop--bbb"


# --- what makes a revision


def test_the_same_template_makes_no_revision() -> None:
    world = World()
    name = world.deploy(suffix="v1")

    assert world.deploy() == name
    assert world.deploy(suffix="v1") == name
    assert len(world.view.revisions) == 1


def test_a_changed_template_or_another_suffix_makes_one() -> None:
    world = World()
    world.deploy(suffix="v1")

    assert world.deploy(suffix="v2") == "shop--v2"
    assert world.deploy(suffix="v3", replicas=2) == "shop--v3"


def test_a_configuration_change_never_makes_one() -> None:
    world = World()
    name = world.deploy(suffix="v1")

    world.deploy(suffix="v1", mode="single", maxInactiveRevisions=3, ingress={"targetPort": 81})

    assert world.app.latest == name
    assert world.app.configuration.max_inactive_revisions == 3


def test_a_revisions_template_never_changes() -> None:
    world = World()
    name = world.deploy(suffix="v1")
    before = world.view.revisions[name].template

    world.deploy(suffix="v2", replicas=3)

    assert world.view.revisions[name].template == before


@pytest.mark.parametrize(
    ("image", "port", "is_taken"),
    [
        ("nginx:1.27", None, False),
        ("docker:nginx", None, False),
        ("nginx:1.27", 80, True),
        ("process:demo", None, True),
        ("endpoint:127.0.0.1:1", None, True),
    ],
)
def test_a_container_needs_a_target_port(image: str, port: int | None, is_taken: bool) -> None:
    world = World()
    ingress = {"targetPort": port}
    if is_taken:
        world.deploy(suffix="v1", image=image, ingress=ingress)
        assert world.app.configuration.ingress.target_port == port
        return
    with pytest.raises(Invalid, match="give targetPort") as caught:
        world.deploy(suffix="v1", image=image, ingress=ingress)
    assert [d.target for d in caught.value.details] == ["configuration.ingress.targetPort"]


def test_a_container_without_ingress_needs_no_port() -> None:
    body = a_body("v1", image="nginx:1.27")
    configuration = body.configuration.model_copy(update={"ingress": None})
    assert World().deploy(body.model_copy(update={"configuration": configuration})) == "shop--v1"


# --- traffic


def two_revisions() -> World:
    world = World()
    world.deploy(suffix="v1")
    world.deploy(suffix="v2", replicas=2)
    world.settle()
    return world


def test_a_split_is_taken() -> None:
    world = two_revisions()
    world.traffic(v1=80, v2=20)

    assert shares(world) == {"v1": 80, "v2": 20}


def test_revisions_are_named_in_any_case() -> None:
    world = two_revisions()
    rules = (
        TrafficRule(revision_name="Shop--V1", weight=80),
        TrafficRule(revision_name="SHOP--v2", weight=20),
    )
    world.view = commands.set_traffic(world.view, rules, world.now)

    assert shares(world) == {"v1": 80, "v2": 20}
    assert [rule.revision_name for rule in traffic.rules_of(world.app)] == ["shop--v1", "shop--v2"]
    with pytest.raises(Invalid, match="stands in 2 rules"):
        commands.set_traffic(
            world.view,
            tuple(TrafficRule(revision_name=name, weight=50) for name in ("shop--v1", "Shop--v1")),
            world.now,
        )


def test_latest_means_the_latest_ready_revision() -> None:
    world = two_revisions()
    world.broken = {"shop--v3"}
    world.deploy(suffix="v3", replicas=1)
    world.settle()

    assert world.app.latest == "shop--v3"
    assert world.app.latest_ready == "shop--v2"
    assert shares(world) == {"v2": 100}


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ([("shop--v1", 80, None), ("shop--v2", 30, None)], ["sum to 110"]),
        ([("shop--v1", 80, None), ("shop--v1", 20, None)], ["stands in 2 rules"]),
        ([("shop--v9", 100, None)], ["no revision shop--v9; the app has shop--v1, shop--v2"]),
        ([(None, 50, None), (None, 50, None)], ["at most one rule"]),
        ([("shop--v1", 50, "x"), ("shop--v2", 50, "X")], ["not", "label x stands in 2"]),
        ([("shop--v9", 50, "-"), ("shop--v1", 60, None)], ["sum to 110", "shop--v9", "'-'"]),
    ],
)
def test_every_broken_traffic_rule_is_reported(
    rules: list[tuple[str | None, int, str | None]], says: list[str]
) -> None:
    world = two_revisions()
    given = tuple(
        TrafficRule(revision_name=n, latest_revision=None if n else True, weight=w, label=label)
        for n, w, label in rules
    )

    with pytest.raises(Invalid) as caught:
        commands.set_traffic(world.view, given, 0.0)

    for text in says:
        assert text in caught.value.message


def test_single_mode_takes_no_split() -> None:
    world = World()
    world.deploy(suffix="v1", mode="single")

    with pytest.raises(Invalid, match="set-mode"):
        world.traffic(v1=100)
    world.traffic(latest=100)


def test_an_inactive_revision_takes_no_traffic() -> None:
    world = two_revisions()
    world.view = commands.deactivate(world.view, "shop--v1", world.now)

    with pytest.raises(Invalid, match="activate it first"):
        world.traffic(v1=50, v2=50)


# --- labels


def labels(world: World) -> dict[str, str]:
    return {
        label: name.partition("--")[2]
        for name, share in traffic.shares(world.view).items()
        for label in share.labels
    }


def test_labels_are_added_moved_swapped_and_removed_without_touching_weights() -> None:
    world = two_revisions()
    world.traffic(v1=70, v2=30)
    world.view = commands.add_label(world.view, "blue", "shop--v1", 0.0)
    world.view = commands.add_label(world.view, "green", "shop--v2", 0.0)
    assert labels(world) == {"blue": "v1", "green": "v2"}

    world.view = commands.swap_labels(world.view, "blue", "green", 0.0)
    assert labels(world) == {"blue": "v2", "green": "v1"}

    world.view = commands.add_label(world.view, "blue", "shop--v1", 0.0)
    assert labels(world) == {"blue": "v1"}  # a revision has one label; the new one replaces it

    world.view = commands.remove_label(world.view, "blue", 0.0)
    assert labels(world) == {}
    assert shares(world) == {"v1": 70, "v2": 30}


def test_a_label_keeps_a_revision_reachable_at_weight_zero() -> None:
    world = two_revisions()
    world.view = commands.add_label(world.view, "staging", "shop--v1", 0.0)

    assert labels(world) == {"staging": "v1"}
    assert shares(world) == {"v2": 100}


def test_labels_that_nobody_holds_are_not_found() -> None:
    world = two_revisions()

    with pytest.raises(NotFound):
        commands.remove_label(world.view, "blue", 0.0)
    with pytest.raises(NotFound):
        commands.swap_labels(world.view, "blue", "green", 0.0)


# --- activation


def test_a_revision_with_traffic_is_not_deactivated_while_others_could_take_it() -> None:
    world = two_revisions()
    world.traffic(v1=80, v2=20)

    with pytest.raises(Conflict, match=r"80 %.*traffic set shop --revision-weight shop--v2=100"):
        commands.deactivate(world.view, "shop--v1", 0.0)


def test_the_only_revision_can_be_deactivated_and_comes_back_with_all_traffic() -> None:
    world = World()
    world.deploy(suffix="v1")
    world.settle()
    world.traffic(v1=100)
    world.view = commands.deactivate(world.view, "shop--v1", 0.0)
    assert shares(world) == {}

    world.view = commands.activate(world.view, "shop--v1", world.now)
    world.settle()
    assert shares(world) == {"v1": 100}


def test_the_one_that_serves_in_single_mode_is_not_sent_to_rest() -> None:
    world = World()
    world.deploy(suffix="v1", mode="single")
    world.settle()
    with pytest.raises(Conflict, match=r"rollback shop.*app stop shop"):
        commands.rest(world.view, "shop--v1", world.now)

    world.deploy(suffix="v2", mode="single", image="process:v2")
    world.settle()
    assert shares(world) == {"v2": 100}
    assert commands.rest(world.view, "shop--v1", world.now) is world.view  # rests already

    world.view = commands.set_stopped(world.view, world.now, is_stopped=True)
    world.view = commands.rest(world.view, "shop--v2", world.now)
    assert world.active() == []


def test_deactivation_drops_the_label_and_activation_restores_no_weight() -> None:
    world = two_revisions()
    world.view = commands.add_label(world.view, "staging", "shop--v1", 0.0)
    world.view = commands.deactivate(world.view, "shop--v1", 0.0)
    world.view = commands.activate(world.view, "shop--v1", 0.0)

    assert labels(world) == {}
    assert shares(world) == {"v2": 100}


def test_an_inactive_revision_is_not_restarted() -> None:
    world = two_revisions()
    world.view = commands.deactivate(world.view, "shop--v1", 0.0)

    with pytest.raises(Conflict):
        commands.restart(world.view, "shop--v1", 0.0)


@pytest.mark.parametrize("command", [commands.activate, commands.deactivate, commands.restart])
def test_commands_on_what_does_not_exist_are_not_found(command: object) -> None:
    with pytest.raises(NotFound):
        command(two_revisions().view, "shop--v9", 0.0)  # type: ignore[operator]


def test_a_command_that_fails_changes_nothing() -> None:
    world = two_revisions()
    before = world.view

    with pytest.raises(ControlError):
        world.traffic(v1=10)

    assert world.view is before


# --- history


def test_the_oldest_inactive_revisions_are_purged_beyond_the_limit() -> None:
    world = World()
    for n in range(6):
        world.deploy(suffix=f"v{n}", replicas=n + 1, mode="single", maxInactiveRevisions=2)
        world.settle()

    assert sorted(r.suffix for r in world.view.revisions.values()) == ["v3", "v4", "v5"]
    world.deploy(body=a_body("v5", replicas=6, mode="single", maxInactiveRevisions=0))
    assert sorted(r.suffix for r in world.view.revisions.values()) == ["v4", "v5"]


def test_a_limit_of_zero_keeps_what_a_rollback_needs() -> None:
    world = World()
    world.broken = {"shop--v2"}
    for n in range(4):
        world.deploy(suffix=f"v{n}", replicas=n + 1, mode="single", maxInactiveRevisions=0)
        world.settle()

    # v2 never served: the way back from v3 leads to v1
    assert sorted(r.suffix for r in world.view.revisions.values()) == ["v1", "v3"]
    world.view = commands.activate(world.view, "shop--v1", world.now)
    world.settle()
    assert world.app.serving == "shop--v1"


def test_all_that_rested_in_one_switch_are_the_way_back() -> None:
    world = World()
    for n in range(3):
        world.deploy(suffix=f"v{n}", replicas=n + 1)
        world.settle()
    world.traffic(v0=50, v1=50)
    world.deploy(suffix="v2", replicas=3, mode="single", maxInactiveRevisions=0)
    world.settle()
    assert world.active() == ["v2"]
    assert sorted(r.suffix for r in world.view.revisions.values()) == ["v0", "v1", "v2"]


def test_a_purged_name_may_be_used_again() -> None:
    world = World()
    for n in range(3):
        world.deploy(suffix=f"v{n}", replicas=n + 1, mode="single", maxInactiveRevisions=0)
        world.settle()

    assert world.deploy(suffix="v0", mode="single") == "shop--v0"


def test_a_fault_ends_by_itself_and_with_its_revision() -> None:
    world = World()
    world.deploy(suffix="v1")
    world.deploy(suffix="v2", image="process:")
    world.settle()
    for revision, until in (("shop--v1", world.now + 10), ("shop--v2", world.now + 99)):
        fault = Fault(until=0, abort_percent=1)
        world.view = commands.set_fault(world.view, revision, fault, until, world.now)
    plan = world.plan()
    assert set(world.app.faults) == {"shop--v1", "shop--v2"}
    assert plan.wake_at == world.now + 10
    world.now += 10
    world.plan()
    assert set(world.app.faults) == {"shop--v2"}
    world.traffic(v1=100)
    world.view = commands.deactivate(world.view, "shop--v2", world.now)
    world.plan()
    assert world.app.faults == {}
