"""`explain` says what the router would do: the same look-up, in words."""

from __future__ import annotations

from typing import Any

import pytest

from control.model.errors import Invalid
from control.model.resources import ReplicaState
from control.publish.explain import explain
from control.rules import commands
from tests.control.support import World


@pytest.fixture
def world() -> World:
    world = World()
    for suffix in ("v1", "v2", "v3"):
        world.deploy(suffix=suffix, image=f"process:{suffix}")
        world.settle()
    world.traffic(v1=80, v2=20)
    world.view = commands.add_label(world.view, "staging", "shop--v3", world.now)
    return world


def asked(world: World, url: str) -> dict[str, Any]:
    return explain({"shop": world.view}, "localhost", 7, url)


def chances(found: dict[str, Any]) -> dict[str, float]:
    return {r["name"].partition("--")[2]: r["chance"] for r in found["revisions"]}


def test_the_apps_host_is_a_draw_by_weight(world: World) -> None:
    found = asked(world, "http://Shop.localhost:8080/orders?id=1")
    assert (found["app"], found["reason"], found["host"]) == ("shop", "weight", "shop.localhost")
    assert chances(found) == {"v1": 0.8, "v2": 0.2, "v3": 0.0}
    assert [r["why"] for r in found["revisions"]][2] == "it has no weight"
    assert found["tableVersion"] == 7


@pytest.mark.parametrize(
    ("host", "reason", "suffix"),
    [("shop---staging.localhost", "label", "v3"), ("shop--v2.localhost", "revision", "v2")],
)
def test_labels_and_revisions_have_hosts_of_their_own(
    world: World, host: str, reason: str, suffix: str
) -> None:
    found = asked(world, host)
    assert found["reason"] == reason
    assert chances(found) == {suffix: 1.0}


def test_a_revision_without_a_ready_replica_leaves_its_weight_to_the_others(world: World) -> None:
    for replica in world.view.of("shop--v1"):
        world.set(replica.name, state=ReplicaState.STARTING, address="")
    found = asked(world, "shop.localhost")
    assert chances(found) == {"v1": 0.0, "v2": 1.0, "v3": 0.0}
    assert "no replica is ready" in found["revisions"][0]["why"]


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("nobody.localhost", "HostNotFound"),
        ("shop---blue.localhost", "LabelNotFound"),
        ("shop--v9.localhost", "RevisionInactive"),
    ],
)
def test_what_leads_nowhere_says_so(world: World, host: str, code: str) -> None:
    found = asked(world, host)
    assert found["answer"]["code"] == code
    assert found["revisions"] == []


def test_a_stopped_app_says_so(world: World) -> None:
    world.view = commands.set_stopped(world.view, world.now, is_stopped=True)
    assert asked(world, "shop.localhost")["answer"]["code"] == "AppStopped"


@pytest.mark.parametrize("url", ["http://", "/path", "http://a b/", "http://[::1"])
def test_what_is_no_url_is_refused(world: World, url: str) -> None:
    with pytest.raises(Invalid, match="no host name"):
        asked(world, url)
