"""The target port is the app's, and each revision keeps the one that it was ready with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from control.api.wire import bodies
from control.history import journal
from control.model.resources import Provisioning, replace
from control.model.states import app_provisioning
from control.model.template import Template
from control.probes.defaults import probes_of
from control.rules import commands
from control.rules.rollback import roll_back
from tests.control.support import LIMITS, World
from tests.support.builders import a_body

MODES = ["single", "multiple"]


def deploy(world: World, suffix: str, port: int, mode: str = "single", image: str = "") -> None:
    world.deploy(
        suffix=suffix, mode=mode, image=image or f"web:{suffix}", ingress={"targetPort": port}
    )
    world.settle()


def ports(world: World) -> dict[str, set[int]]:
    """Where the replicas of each revision that stay are to listen."""
    found: dict[str, set[int]] = {}
    for replica in world.view.replicas.values():
        if not replica.is_leaving:
            found.setdefault(replica.revision.partition("--")[2], set()).add(replica.target_port)
    return found


def ready_ports(world: World, suffix: str) -> set[int]:
    return {replica.target_port for replica in world.view.ready(f"shop--{suffix}")}


def app_port(world: World) -> int:
    port: int = world.app.configuration.ingress.target_port
    return port


def patch_port(world: World, port: int) -> None:
    """What `ingress update --target-port` sends."""
    patch(world, {"ingress": {"targetPort": port}})


def patch(world: World, configuration: dict[str, Any]) -> None:
    world.now += 1
    body = bodies.patched(world.view, {"configuration": configuration}, "localhost")
    world.view = commands.deploy(world.view, "shop", body, world.now, world.new_suffix)


def cancel(world: World) -> None:
    world.view = commands.cancel(world.view, world.now)


def deactivate(world: World) -> None:
    """What az has for it."""
    world.view = commands.deactivate(world.view, "shop--v2", world.now)


@pytest.mark.parametrize("mode", MODES)
def test_a_deploy_with_another_port_leaves_the_old_revision_its_own(mode: str) -> None:
    world = World()
    deploy(world, "v1", 8080, mode)
    world.broken = {"shop--v2"}
    deploy(world, "v2", 9999, mode)
    assert ports(world) == {"v1": {8080}, "v2": {9999}}

    world.view = commands.restart(world.view, "shop--v1", world.now)
    world.settle()
    assert ready_ports(world, "v1") == {8080}


@pytest.mark.parametrize("mode", MODES)
def test_a_port_that_came_with_a_failed_deploy_goes_with_it(mode: str) -> None:
    world = World()
    deploy(world, "v1", 8080, mode)
    world.broken = {"shop--v2"}
    deploy(world, "v2", 9999, mode)
    assert app_port(world) == 9999
    world.now += LIMITS.progress_deadline_s
    world.settle()
    assert world.view.revisions["shop--v2"].provisioning is Provisioning.FAILED
    assert app_port(world) == 8080


@pytest.mark.parametrize("give_up", [cancel, deactivate])
@pytest.mark.parametrize("mode", MODES)
def test_a_port_that_came_with_a_cancelled_deploy_goes_with_it(
    mode: str, give_up: Callable[[World], None]
) -> None:
    world = World()
    deploy(world, "v1", 8080, mode)
    world.broken = {"shop--v2"}
    deploy(world, "v2", 9999, mode)
    give_up(world)
    assert app_port(world) == 8080


def test_the_first_deploy_keeps_its_port_though_it_failed() -> None:
    world = World()
    world.broken = {"shop--v1"}
    deploy(world, "v1", 9999)
    world.now += LIMITS.progress_deadline_s
    world.settle()
    assert app_port(world) == 9999


def test_who_takes_over_brings_its_port() -> None:
    world = World()
    deploy(world, "v1", 8080)
    deploy(world, "v2", 9000)
    world.view = commands.activate(world.view, "shop--v1", world.now)
    world.settle()
    assert (world.app.serving, app_port(world)) == ("shop--v1", 8080)
    assert ready_ports(world, "v1") == {8080}


@pytest.mark.parametrize("mode", MODES)
def test_a_rollback_brings_the_port_back(mode: str) -> None:
    world = World()
    deploy(world, "v1", 8080, mode)
    state = journal.state_of(world.view)
    assert state is not None
    deploy(world, "v2", 9000, mode)
    world.view = roll_back(world.view, state, world.now)
    world.settle()
    assert app_port(world) == 8080
    assert ready_ports(world, "v1") == {8080}


def as_of_an_earlier_version(world: World) -> None:
    """Its records have no ports: all follow the app's."""
    view = world.view
    revisions = [replace(r, target_port=0) for r in view.revisions.values()]
    replicas = [replace(r, target_port=0) for r in view.replicas.values()]
    world.view = view.with_revision(*revisions).with_replica(*replicas)


@pytest.mark.parametrize("mode", MODES)
def test_what_an_earlier_version_recorded_keeps_its_port(mode: str) -> None:
    world = World()
    deploy(world, "v1", 8080, mode)
    as_of_an_earlier_version(world)
    before = set(world.view.replicas)
    world.broken = {"shop--v2"}
    deploy(world, "v2", 9999, mode)
    assert ports(world) == {"v1": {8080}, "v2": {9999}}
    assert before <= world.view.replicas.keys()  # nothing is restarted for it
    world.now += LIMITS.progress_deadline_s
    world.settle()
    assert app_port(world) == 8080


def test_what_rested_in_an_earlier_version_comes_back_at_its_port() -> None:
    world = World()
    deploy(world, "v1", 8080)
    deploy(world, "v2", 8080)
    as_of_an_earlier_version(world)
    deploy(world, "v3", 9000)
    world.view = commands.activate(world.view, "shop--v1", world.now)
    world.settle()
    assert (ready_ports(world, "v1"), app_port(world)) == ({8080}, 8080)


def test_what_a_rollback_leaves_comes_back_at_its_port() -> None:
    world = World()
    deploy(world, "v1", 8080)
    state = journal.state_of(world.view)
    assert state is not None
    deploy(world, "v2", 9000)
    as_of_an_earlier_version(world)
    world.view = roll_back(world.view, state, world.now)
    world.settle()
    assert (ready_ports(world, "v1"), app_port(world)) == ({8080}, 8080)
    world.view = commands.activate(world.view, "shop--v2", world.now)
    world.settle()
    assert (ready_ports(world, "v2"), app_port(world)) == ({9000}, 9000)


def test_a_new_port_moves_what_an_earlier_version_recorded() -> None:
    world = World()
    deploy(world, "v1", 8080)
    as_of_an_earlier_version(world)
    patch_port(world, 9000)
    world.plan()
    assert ready_ports(world, "v1") == {8080}
    world.settle()
    assert ports(world) == {"v1": {9000}}


# --- the port alone


@pytest.mark.parametrize("mode", MODES)
def test_replicas_at_a_new_port_replace_the_others_once_they_are_ready(mode: str) -> None:
    world = World()
    deploy(world, "v1", 8080, mode)
    patch_port(world, 9000)
    assert set(world.view.revisions) == {"shop--v1"}
    assert app_provisioning(world.app, list(world.view.revisions.values())) == "InProgress"
    world.plan()
    assert ready_ports(world, "v1") == {8080}  # until the new one is ready
    world.settle()
    assert ports(world) == {"v1": {9000}}
    assert app_provisioning(world.app, list(world.view.revisions.values())) == "Succeeded"


def moving_to_a_wrong_port(mode: str = "single") -> World:
    world = World()
    deploy(world, "v1", 8080, mode)
    world.broken = {"shop--v1"}
    patch_port(world, 9999)
    world.settle()
    assert ready_ports(world, "v1") == {8080}
    return world


@pytest.mark.parametrize("mode", MODES)
def test_a_wrong_port_is_given_up_and_taken_back(mode: str) -> None:
    world = moving_to_a_wrong_port(mode)
    world.now += LIMITS.progress_deadline_s
    world.settle()
    assert ports(world) == {"v1": {8080}}
    assert ready_ports(world, "v1") == {8080}
    assert app_port(world) == 8080
    assert "9999" in world.app.problem
    assert world.view.revisions["shop--v1"].provisioning is Provisioning.PROVISIONED


def test_a_deploy_meanwhile_has_its_own_port_and_what_rested_comes_back_to_its_old_one() -> None:
    world = moving_to_a_wrong_port()
    world.broken = {"shop--v1", "shop--v2"}
    deploy(world, "v2", 9000)
    world.now += LIMITS.progress_deadline_s - 1
    world.settle()
    assert app_port(world) == 9000  # v1 has given up 9999, which is no more asked for
    assert not world.app.problem
    assert ready_ports(world, "v1") == {8080}

    world = moving_to_a_wrong_port()
    world.broken = set()
    deploy(world, "v2", 9000)
    world.view = commands.activate(world.view, "shop--v1", world.now)
    world.settle()
    assert (ports(world), app_port(world)) == ({"v1": {8080}}, 8080)


def test_a_wrong_port_can_be_taken_back_at_once() -> None:
    world = moving_to_a_wrong_port()
    patch_port(world, 8080)
    world.settle()
    assert ports(world) == {"v1": {8080}}
    assert app_provisioning(world.app, list(world.view.revisions.values())) == "Succeeded"


def test_a_wrong_port_can_be_cancelled() -> None:
    world = moving_to_a_wrong_port()
    world.view = commands.cancel(world.view, world.now)
    world.settle()
    assert ports(world) == {"v1": {8080}}
    assert app_port(world) == 8080


@pytest.mark.parametrize("is_settled", [True, False])
def test_a_rollback_takes_a_port_back(is_settled: bool) -> None:
    world = World()
    deploy(world, "v1", 8080)
    state = journal.state_of(world.view)
    assert state is not None
    if not is_settled:
        world.broken = {"shop--v1"}
    patch_port(world, 9000)
    world.settle()
    world.broken = set()
    world.view = roll_back(world.view, state, world.now)
    world.settle()
    assert ports(world) == {"v1": {8080}}
    assert app_port(world) == 8080


@pytest.mark.parametrize("has_failed", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_a_corrected_port_is_a_new_attempt(mode: str, has_failed: bool) -> None:
    world = World()
    world.broken = {"shop--v1"}
    deploy(world, "v1", 9999, mode)
    if has_failed:
        world.now += LIMITS.progress_deadline_s
        world.settle()
    patch_port(world, 8080)
    world.broken = set()
    world.settle()
    assert world.view.revisions["shop--v1"].provisioning is Provisioning.PROVISIONED
    assert ports(world) == {"v1": {8080}}


def test_a_corrected_port_of_a_failed_deploy_leaves_the_serving_revision_alone() -> None:
    world = World()
    deploy(world, "v1", 8080)
    world.broken = {"shop--v2"}
    deploy(world, "v2", 9999)
    generation = world.view.revisions["shop--v1"].generation
    body = a_body(mode="single", image="web:v2", ingress={"targetPort": 9000})
    world.view = commands.deploy(
        world.view, "shop", body, world.now, world.new_suffix, is_asked=True
    )
    assert world.view.revisions["shop--v1"].generation == generation
    world.broken = set()
    world.settle()
    assert ports(world) == {"v2": {9000}}


@pytest.mark.parametrize(("is_asked", "port"), [(True, 8080), (False, 9999)])
def test_what_failed_is_tried_again_at_the_port_of_who_serves(is_asked: bool, port: int) -> None:
    world = World()
    deploy(world, "v1", 8080)
    world.broken = {"shop--v2"}
    deploy(world, "v2", 9999)
    world.now += LIMITS.progress_deadline_s
    world.settle()
    body = a_body(
        mode="single", image="web:v2", ingress={"targetPort": 8080}, maxInactiveRevisions=7
    )
    world.view = commands.deploy(
        world.view, "shop", body, world.now, world.new_suffix, is_asked=is_asked
    )
    world.settle()
    assert ports(world) == {"v1": {8080}, "v2": {port}}


@pytest.mark.parametrize("image", ["process:demo", "endpoint:127.0.0.1:1"])
def test_what_is_no_container_is_not_restarted_for_a_port(image: str) -> None:
    world = World()
    deploy(world, "v1", 8080, image=image)
    before = world.view.replicas
    patch_port(world, 9000)
    world.settle()
    assert world.view.replicas == before
    assert app_port(world) == 9000


def test_a_new_port_moves_only_who_was_at_the_old_one() -> None:
    world = World()
    deploy(world, "v1", 8080, "multiple")
    deploy(world, "v2", 9090, "multiple")
    world.traffic(v1=50, v2=50)
    world.broken = {"shop--v1"}  # its image listens at 8080 only
    patch_port(world, 9091)
    world.settle()
    world.now += LIMITS.progress_deadline_s
    world.settle()
    assert ports(world) == {"v1": {8080}, "v2": {9091}}
    assert (app_port(world), world.app.problem) == (9091, "")


def test_the_app_keeps_the_port_that_its_newest_revision_answers_at() -> None:
    world = World()
    deploy(world, "v1", 8080, "multiple")
    deploy(world, "v2", 8080, "multiple")
    world.traffic(v1=50, v2=50)
    world.broken = {"shop--v1"}
    patch_port(world, 9000)
    world.settle()
    world.now += LIMITS.progress_deadline_s
    world.settle()
    assert ports(world) == {"v1": {8080}, "v2": {9000}}
    assert app_port(world) == 9000
    assert "shop--v1 stays at port 8080" in world.app.problem


def test_a_revision_moves_though_it_is_not_at_the_port_of_the_app() -> None:
    world = World()
    deploy(world, "v1", 8080, "multiple")
    deploy(world, "v2", 9090, "multiple")
    world.traffic(v1=100)
    deactivate(world)
    world.settle()
    patch_port(world, 9000)
    world.settle()
    assert (ports(world), app_port(world)) == ({"v1": {9000}}, 9000)


def test_an_ingress_that_comes_back_with_another_port_moves_all_who_were_at_one() -> None:
    world = World()
    deploy(world, "v1", 8080, "multiple")
    deploy(world, "v2", 8080, "multiple")
    patch(world, {"ingress": None})
    patch(world, {"ingress": {"targetPort": 9000}})
    world.settle()
    assert ports(world) == {"v1": {9000}, "v2": {9000}}


def test_a_new_port_asks_for_no_more_replicas_than_there_are_to_be() -> None:
    world = World()
    for suffix, least in (("v1", 3), ("v2", 1)):
        body = a_body(suffix, mode="single", image=f"web:{suffix}", ingress={"targetPort": 8080})
        scale = body.template.scale.model_copy(update={"min_replicas": least, "max_replicas": 5})
        template = body.template.model_copy(update={"scale": scale})
        world.deploy(body.model_copy(update={"template": template}))
        world.settle()
    assert world.view.revisions["shop--v2"].needed > len(world.view.ready("shop--v2"))
    patch_port(world, 9000)
    world.settle()
    world.now += LIMITS.progress_deadline_s
    world.settle()
    assert (ports(world), app_port(world)) == ({"v2": {9000}}, 9000)
    assert not world.app.problem


# --- what readiness means


def a_template(*probes: dict[str, Any]) -> Template:
    return Template.model_validate({"containers": [{"image": "web:1", "probes": probes}]})


def http(kind: str, port: int) -> dict[str, Any]:
    return {"type": kind, "httpGet": {"path": "/", "port": port}}


@pytest.mark.parametrize(
    ("probes", "others", "asks_traffic_too"),
    [
        ([], {}, False),  # the default asks it
        ([http("Readiness", 80)], {}, False),
        ([http("Startup", 8081)], {"8081": "127.0.0.1:8081"}, False),
        ([http("Readiness", 8081)], {"8081": "127.0.0.1:8081"}, True),
        # without ports of its own, whatever a probe names is where its traffic goes
        ([http("Readiness", 8081)], {}, False),
    ],
)
def test_readiness_includes_the_port_that_traffic_uses(
    probes: list[dict[str, Any]], others: dict[str, str], asks_traffic_too: bool
) -> None:
    found = probes_of(a_template(*probes), has_ingress=True, other_ports=others)
    assert len(found) == 1 + asks_traffic_too
    if asks_traffic_too:
        (readiness,) = [p.readiness for p in found[1:]]
        assert readiness is not None
        assert readiness.tcp_socket is not None
    assert len(probes_of(a_template(*probes), has_ingress=False, other_ports=others)) == 1
