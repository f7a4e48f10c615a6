"""A rollback whose revision never becomes ready: it is said, and nothing of it stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control.model import states
from control.model.errors import Invalid
from control.model.schema import TrafficRule
from control.store import Store
from tests.control.support import ALICE
from tests.control.test_rollback import BY_MODE, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    store = Store(tmp_path / "control.db")
    yield Shop(store)
    store.close()


def state(shop: Shop) -> str:
    view = shop.view
    assert view.app is not None
    return states.app_provisioning(view.app, list(view.revisions.values()))


def one_after_another(shop: Shop, *suffixes: str, **given: Any) -> None:
    """Each has all traffic for a while, and rests then."""
    for suffix in suffixes:
        shop.deploy(suffix, **given)
        if given["mode"] == "multiple":
            rule = TrafficRule(revision_name=f"shop--{suffix}", weight=100)
            shop.changes.set_traffic(ALICE, "shop", (rule,))
            for old in [s for s in shop.active if s != suffix]:
                shop.changes.deactivate(ALICE, "shop", f"shop--{old}")
        shop.settle()


def rolls_back_in_vain(shop: Shop, to: str) -> None:
    """The rollback waits for a revision until its time is over."""
    shop.broken.add(f"shop--{to}")
    shop.roll_back()
    assert state(shop) == "InProgress"
    shop.deadline_passes()
    shop.broken.clear()


@BY_MODE
def test_it_is_said_to_have_failed(shop: Shop, given: dict[str, Any]) -> None:
    one_after_another(shop, "v1", "v2", **given)
    rolls_back_in_vain(shop, to="v1")
    assert shop.serving == {"v2": 100}
    assert state(shop) == "Failed"
    assert "shop--v1 did not become ready: Deployment" in shop.view.app.problem  # type: ignore[union-attr]
    changes = [line for record in shop.changes.read.journal("shop") for line in record.changes]
    assert any("the rollback was given up" in line for line in changes)


@BY_MODE
def test_until_then_and_afterwards_the_settings_are_as_they_were(
    shop: Shop, given: dict[str, Any]
) -> None:
    one_after_another(shop, "v1", **given, ingress={"targetPort": 80, "external": False})
    one_after_another(shop, "v2", **given, ingress={"targetPort": 9000, "external": True})
    before = shop.view.app.configuration  # type: ignore[union-attr]
    shop.broken.add("shop--v1")
    shop.changes.roll_back(ALICE, "shop")
    assert shop.view.app.configuration == before  # type: ignore[union-attr]
    shop.settle()
    assert shop.view.app.configuration == before  # type: ignore[union-attr]
    shop.deadline_passes()
    assert shop.view.app.configuration == before  # type: ignore[union-attr]


@BY_MODE
def test_the_settings_come_with_the_traffic(shop: Shop, given: dict[str, Any]) -> None:
    one_after_another(shop, "v1", **given, ingress={"targetPort": 80, "external": False})
    one_after_another(shop, "v2", **given, ingress={"targetPort": 9000, "external": True})
    shop.roll_back()
    if given["mode"] == "multiple":  # the traffic was a change of its own
        shop.roll_back()
    ingress = shop.view.app.configuration.ingress  # type: ignore[union-attr]
    assert ingress is not None
    assert (shop.serving, ingress.target_port, ingress.external) == ({"v1": 100}, 80, False)


def test_of_a_deploy_that_it_dropped_no_port_stays(shop: Shop) -> None:
    shop.deploy("v1")
    shop.deploy("v2")
    shop.broken.update({"shop--v1", "shop--v3"})
    shop.deploy("v3", ingress={"targetPort": 9000})
    first = shop.changes.read.journal("shop")[-1].number
    shop.roll_back(first)
    assert shop.active == ["v1", "v2"]
    shop.deadline_passes()
    ingress = shop.view.app.configuration.ingress  # type: ignore[union-attr]
    assert ingress is not None
    assert ingress.target_port == 80


@pytest.mark.parametrize("strategy", ["switch", "recreate"])
def test_a_switch_of_the_mode_does_not_make_up_for_it(shop: Shop, strategy: str) -> None:
    shop.deploy("v1", update_strategy=strategy)
    shop.deploy("v2", update_strategy=strategy)
    rolls_back_in_vain(shop, to="v1")
    assert shop.serving == {"v2": 100}
    assert shop.active == ["v2"]
    shop.changes.set_mode(ALICE, "shop", "multiple")
    shop.settle()
    shop.changes.set_mode(ALICE, "shop", "single")
    shop.settle()
    assert shop.serving == {"v2": 100}


def test_an_activation_that_fails_leaves_what_a_rollback_chose(shop: Shop) -> None:
    shop.deploy("v1")
    shop.deploy("v2")
    shop.deploy("v3")
    shop.roll_back()
    shop.broken.add("shop--v1")
    shop.changes.activate(ALICE, "shop", "shop--v1")
    shop.settle()
    shop.deadline_passes()
    shop.broken.clear()
    shop.changes.set_mode(ALICE, "shop", "multiple")
    shop.settle()
    shop.changes.set_mode(ALICE, "shop", "single")
    shop.settle()
    assert shop.serving == {"v2": 100}


@BY_MODE
def test_the_next_one_tries_it_again(shop: Shop, given: dict[str, Any]) -> None:
    one_after_another(shop, "v1", "v2", "v3", **given)
    rolls_back_in_vain(shop, to="v2")
    assert shop.serving == {"v3": 100}
    shop.roll_back()
    assert shop.serving == {"v2": 100}
    shop.roll_back()
    assert shop.serving == {"v1": 100}


@BY_MODE
def test_repeated_while_it_waits_it_goes_no_further(shop: Shop, given: dict[str, Any]) -> None:
    one_after_another(shop, "v1", "v2", "v3", **given)
    _, first = shop.changes.roll_back(ALICE, "shop")
    _, second = shop.changes.roll_back(ALICE, "shop")
    assert first == second
    shop.settle()
    assert shop.serving == {"v2": 100}


@BY_MODE
def test_what_it_cannot_restore_is_refused_at_once(shop: Shop, given: dict[str, Any]) -> None:
    one_after_another(shop, "v1", **given, ingress={"customDomains": [{"name": "a.example.org"}]})
    before = shop.changes.read.journal("shop")[0].number
    one_after_another(shop, "v2", **given, ingress={"customDomains": []})
    shop.changes.put(ALICE, "other", other_with("a.example.org"))
    version = shop.view.app.version  # type: ignore[union-attr]
    with pytest.raises(Invalid, match="already belongs to app other"):
        shop.changes.roll_back(ALICE, "shop", before)
    assert shop.view.app.version == version  # type: ignore[union-attr]


def other_with(domain: str) -> Any:
    from tests.support.builders import a_body

    image, ingress = "endpoint:127.0.0.1:9", {"customDomains": [{"name": domain}]}
    return a_body("v1", image=image, ingress=ingress)


CHANGES_OF_MODE = [(a, b) for a in ("single", "multiple", "labels") for b in ("single", "multiple")]


@pytest.mark.parametrize("fails", [False, True], ids=["", "fails"])
@pytest.mark.parametrize(("old", "new"), CHANGES_OF_MODE)
def test_the_mode_comes_back_with_the_traffic(shop: Shop, old: str, new: str, fails: bool) -> None:
    given = {"targetLabel": "prod"} if old == "labels" else {}
    shop.deploy("v1", old, **given)
    before = shop.changes.read.journal("shop")[0].number
    shop.changes.set_mode(ALICE, "shop", new)
    shop.settle()
    one_after_another(shop, "v2", mode=new)
    assert (shop.serving, shop.active) == ({"v2": 100}, ["v2"])
    if fails:
        shop.broken.add("shop--v1")
    shop.roll_back(before)
    if fails:
        shop.deadline_passes()
    wanted = ("v2", new) if fails else ("v1", old)
    app = shop.view.app
    assert app is not None
    assert (shop.serving, app.configuration.active_revisions_mode) == ({wanted[0]: 100}, wanted[1])


def test_two_never_run_with_recreate(shop: Shop) -> None:
    shop.deploy("v1", update_strategy="recreate")
    shop.deploy("v2", update_strategy="recreate")
    shop.broken.add("shop--v1")
    shop.roll_back()
    assert {r.revision for r in shop.view.replicas.values()} == {"shop--v1"}
    shop.deadline_passes()
    assert {r.revision for r in shop.view.replicas.values()} == {"shop--v2"}
