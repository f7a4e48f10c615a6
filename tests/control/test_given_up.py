"""What is under way and given up: by a cancel, a stop, a deploy, or because it failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control.model import states
from control.model.errors import Conflict
from control.model.resources import App
from control.model.schema import TrafficRule
from control.rules import commands
from control.store import Store
from tests.control.support import ALICE
from tests.control.test_rollback import BY_MODE, LABELLED, Shop

SHARED = pytest.mark.parametrize(
    "given", [{"mode": "multiple"}, LABELLED], ids=lambda given: given["mode"]
)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    store = Store(tmp_path / "control.db")
    yield Shop(store)
    store.close()


def app_of(shop: Shop) -> App:
    assert shop.view.app is not None
    return shop.view.app


def state_of(shop: Shop) -> str:
    return states.app_provisioning(app_of(shop), list(shop.view.revisions.values()))


def shift(shop: Shop, **weights: int) -> None:
    rules = tuple(TrafficRule(revision_name=f"shop--{s}", weight=w) for s, w in weights.items())
    shop.changes.set_traffic(ALICE, "shop", rules)
    shop.settle()


def set_stopped(shop: Shop, *, is_stopped: bool) -> None:
    shop.changes.set_stopped(ALICE, "shop", is_stopped=is_stopped)
    shop.settle()


def waiting(shop: Shop, given: dict[str, Any]) -> None:
    """v2 serves, and a rollback waits for v1, which does not come up any more."""
    shop.deploy("v1", **given)
    first = shop.changes.read.journal("shop")[0].number
    shop.deploy("v2", **given)
    if given["mode"] == "multiple":
        shift(shop, v2=100)
        shop.changes.deactivate(ALICE, "shop", "shop--v1")
        shop.settle()
    shop.broken.add("shop--v1")
    shop.roll_back(first)
    assert state_of(shop) == "InProgress"
    assert shop.serving == {"v2": 100}
    assert shop.active == ["v1", "v2"]


# --- a deploy


@SHARED
def test_cancelling_until_nothing_is_under_way_leaves_nothing_under_way(
    shop: Shop, given: dict[str, Any]
) -> None:
    shop.deploy("v1", **given)
    shop.broken.update({"shop--v2", "shop--v3"})
    shop.deploy("v2", **given)
    shop.deploy("v3", **given)
    while commands.under_way(shop.view) is not None:
        shop.changes.cancel(ALICE, "shop")
        shop.settle()
    with pytest.raises(Conflict, match="no deploy of app shop is under way"):
        shop.changes.cancel(ALICE, "shop")
    assert shop.active == ["v1"]  # else it takes all traffic as soon as it is ready


def test_the_deploy_before_one_that_is_done_can_be_cancelled(shop: Shop) -> None:
    shop.deploy("v1", "multiple")
    shop.broken.add("shop--v2")
    shop.deploy("v2", "multiple")
    shop.deploy("v3", "multiple")
    assert shop.serving == {"v3": 100}
    _, dropped = shop.changes.cancel(ALICE, "shop")
    assert dropped.name == "shop--v2"
    assert shop.serving == {"v3": 100}


def test_what_is_only_started_again_cannot_be_cancelled(shop: Shop) -> None:
    shop.deploy("v1", "multiple")
    set_stopped(shop, is_stopped=True)
    shop.broken.add("shop--v1")
    set_stopped(shop, is_stopped=False)
    with pytest.raises(Conflict, match="no deploy of app shop is under way"):
        shop.changes.cancel(ALICE, "shop")


# --- a rollback


@BY_MODE
def test_a_rollback_that_waits_can_be_cancelled(shop: Shop, given: dict[str, Any]) -> None:
    waiting(shop, given)
    _, dropped = shop.changes.cancel(ALICE, "shop")
    shop.settle()
    assert dropped.name == "shop--v1"
    assert state_of(shop) == "Succeeded"
    (record,) = shop.changes.read.journal("shop", limit=1)
    assert "the rollback was given up" in record.changes
    assert shop.serving == {"v2": 100}
    assert shop.active == ["v2"]


@BY_MODE
def test_a_deploy_takes_the_place_of_a_rollback_that_waits(
    shop: Shop, given: dict[str, Any]
) -> None:
    waiting(shop, given)
    shop.deploy("v3", **given)
    assert state_of(shop) == "Succeeded"
    assert shop.active == (["v2", "v3"] if given["mode"] == "multiple" else ["v3"])
    shop.broken.clear()
    shop.deadline_passes()
    assert "v1" not in shop.serving


@BY_MODE
def test_settings_wait_for_a_rollback_and_say_what_else_helps(
    shop: Shop, given: dict[str, Any]
) -> None:
    waiting(shop, given)
    with pytest.raises(Conflict, match="turnout deploy shop --cancel"):
        shop.changes.set_secrets(ALICE, "shop", {"key": "value"})


@BY_MODE
def test_stopping_ends_a_rollback_that_waits(shop: Shop, given: dict[str, Any]) -> None:
    waiting(shop, given)
    set_stopped(shop, is_stopped=True)
    assert state_of(shop) == "Succeeded"
    shop.changes.set_secrets(ALICE, "shop", {"key": "value"})
    set_stopped(shop, is_stopped=False)
    assert shop.serving == {"v2": 100}
    assert shop.active == ["v2"]


@BY_MODE
def test_a_rollback_to_when_the_app_was_stopped_is_done_at_once(
    shop: Shop, given: dict[str, Any]
) -> None:
    shop.deploy("v1", **given)
    set_stopped(shop, is_stopped=True)
    stopped = shop.changes.read.journal("shop")[0].number
    set_stopped(shop, is_stopped=False)
    shop.deploy("v2", **given)
    shop.roll_back(stopped)
    assert app_of(shop).is_stopped
    assert state_of(shop) == "Succeeded"
    shop.changes.set_secrets(ALICE, "shop", {"key": "value"})
    set_stopped(shop, is_stopped=False)
    assert shop.serving == {"v1": 100}


def test_who_rested_for_a_rollback_that_is_cancelled_is_back(shop: Shop) -> None:
    given = {"mode": "single", "updateStrategy": "recreate"}
    shop.deploy("v1", **given)
    shop.deploy("v2", **given)
    shop.broken.add("shop--v1")
    shop.roll_back()
    assert shop.active == ["v1"]
    shop.changes.cancel(ALICE, "shop")
    shop.settle()
    assert (shop.active, shop.serving) == (["v2"], {"v2": 100})


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_the_way_back_is_kept_though_a_rollback_came_to_nothing(
    shop: Shop, is_cancelled: bool
) -> None:
    """terraform sends a limit of 0 for one that was not set."""
    shop.deploy("v1", max_inactive_revisions=0)
    shop.deploy("v2", max_inactive_revisions=0)
    shop.broken.add("shop--v1")
    shop.roll_back()
    if is_cancelled:
        shop.changes.cancel(ALICE, "shop")
        shop.settle()
    else:
        shop.deadline_passes()
    assert shop.serving == {"v2": 100}
    assert "shop--v1" in shop.view.revisions


def test_looking_at_what_was_rolled_away_from_gives_it_no_traffic(shop: Shop) -> None:
    shop.deploy("v1")
    shop.deploy("v2")
    shop.roll_back()
    shop.changes.set_mode(ALICE, "shop", "multiple")
    shop.settle()
    shop.changes.activate(ALICE, "shop", "shop--v2")
    shop.settle()
    assert shop.serving == {"v1": 100}
