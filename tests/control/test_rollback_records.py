"""Which record a rollback without a number means, and what the journal says of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control.model import states
from control.model.errors import Conflict, Invalid, PreconditionFailed
from control.model.schema import TrafficRule
from control.store import Store
from tests.control.support import ALICE, BOB
from tests.control.test_rollback import BY_MODE, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    store = Store(tmp_path / "control.db")
    yield Shop(store)
    store.close()


def stopped_and_started(shop: Shop) -> int:
    """The number of the record in between."""
    shop.changes.set_stopped(ALICE, "shop", is_stopped=True)
    shop.settle()
    number = shop.changes.read.journal("shop")[0].number
    shop.changes.set_stopped(ALICE, "shop", is_stopped=False)
    shop.settle()
    return number


# --- stopped apps


@BY_MODE
def test_the_way_back_never_leads_to_a_stopped_app(shop: Shop, given: dict[str, Any]) -> None:
    shop.deploy("v1", **given)
    shop.deploy("v2", **given)
    stopped_and_started(shop)
    shop.roll_back()
    assert not shop.view.app.is_stopped  # type: ignore[union-attr]
    assert shop.serving == {"v1": 100}


@BY_MODE
def test_by_its_number_a_stopped_app_is_come_back_to(shop: Shop, given: dict[str, Any]) -> None:
    shop.deploy("v1", **given)
    number = stopped_and_started(shop)
    shop.deploy("v2", **given)
    if given["mode"] == "multiple":
        rule = TrafficRule(revision_name="shop--v2", weight=100)
        shop.changes.set_traffic(ALICE, "shop", (rule,))
        shop.changes.deactivate(ALICE, "shop", "shop--v1")
        shop.settle()
    shop.roll_back(number)
    app = shop.view.app
    assert app is not None
    assert app.is_stopped
    revisions = list(shop.view.revisions.values())
    assert states.app_provisioning(app, revisions) == "Succeeded"
    shop.changes.set_stopped(ALICE, "shop", is_stopped=False)
    shop.settle()
    assert shop.serving == {"v1": 100}


# --- names that come back


def cancelled_and_corrected(shop: Shop, **given: Any) -> int:
    """v1, a v2 that is cancelled, another v2, and v3; the record of the v2 that never was ready."""
    shop.deploy("v1", **given)
    shop.broken.add("shop--v2")
    shop.deploy("v2", **given)
    number = shop.changes.read.journal("shop")[0].number
    shop.changes.cancel(ALICE, "shop")
    shop.settle()
    shop.broken.clear()
    shop.deploy("v2", **given, image="endpoint:127.0.0.1:7")
    assert shop.serving == {"v2": 100}
    shop.deploy("v3", **given)
    return number


@BY_MODE
def test_what_was_cancelled_is_not_taken_for_its_successor(
    shop: Shop, given: dict[str, Any]
) -> None:
    cancelled_and_corrected(shop, **given)
    shop.roll_back()
    assert shop.serving == {"v2": 100}
    shop.roll_back()
    assert shop.serving == {"v1": 100}
    with pytest.raises(Invalid, match="nothing further back"):
        shop.roll_back()
    assert shop.serving == {"v1": 100}


@pytest.mark.parametrize("given", [{"mode": "single"}, {"mode": "labels", "targetLabel": "prod"}])
def test_by_its_number_it_is_not_either(shop: Shop, given: dict[str, Any]) -> None:
    number = cancelled_and_corrected(shop, **given)
    with pytest.raises(Conflict, match="shop--v2 of that record made way for another of its name"):
        shop.roll_back(number)
    assert shop.serving == {"v3": 100}


# --- multiple mode: the rule that follows the latest revision


def test_after_an_unfinished_deploy_was_rolled_back_the_next_one_serves(shop: Shop) -> None:
    shop.deploy("v1", "multiple")
    shop.broken.add("shop--v2")
    shop.deploy("v2", "multiple")
    shop.roll_back()
    assert shop.serving == {"v1": 100}
    shop.deploy("v3", "multiple")
    assert shop.serving == {"v3": 100}


def test_what_was_ready_and_is_rolled_back_does_not_follow_by_that_rule(shop: Shop) -> None:
    shop.deploy("v1", "multiple")
    shop.deploy("v2", "multiple")
    shop.roll_back()
    assert shop.active == ["v1", "v2"]
    assert shop.serving == {"v1": 100}


def test_a_pin_that_is_undone_leaves_the_rule_that_follows(shop: Shop) -> None:
    shop.deploy("v1", "multiple")
    rule = TrafficRule(revision_name="shop--v1", weight=100)
    shop.changes.set_traffic(ALICE, "shop", (rule,))
    shop.settle()
    shop.roll_back()
    shop.deploy("v2", "multiple")
    assert shop.serving == {"v2": 100}


# --- two who undo the same change


def test_who_repeats_what_was_asked_for_before_goes_no_further(shop: Shop) -> None:
    for suffix in ("v1", "v2", "v3"):
        shop.deploy(suffix)
    known = shop.changes.read.journal("shop")[0].number
    shop.changes.roll_back(ALICE, "shop", known=known)
    shop.settle()
    assert shop.serving == {"v2": 100}
    with pytest.raises(PreconditionFailed, match="changed meanwhile, by alice"):
        shop.changes.roll_back(ALICE, "shop", known=known)
    assert shop.serving == {"v2": 100}


def test_what_turnout_did_meanwhile_is_nobodys_change(shop: Shop) -> None:
    shop.deploy("v1")
    shop.deploy("v2")
    known = shop.changes.read.journal("shop")[1].number
    shop.changes.roll_back(ALICE, "shop", known=known)
    shop.settle()
    assert shop.serving == {"v1": 100}


def test_what_another_rolled_back_is_not_rolled_further_back_unawares(shop: Shop) -> None:
    for suffix in ("v1", "v2", "v3"):
        shop.deploy(suffix)
    shop.roll_back()
    with pytest.raises(Conflict, match=r"already, by alice .*turnout rollback shop --to 2") as told:
        shop.roll_back(caller=BOB)
    assert shop.serving == {"v2": 100}
    shop.roll_back(int(str(told.value).rpartition(" ")[2]), BOB)
    assert shop.serving == {"v1": 100}


def test_a_rollback_of_another_that_failed_may_be_tried_again(shop: Shop) -> None:
    shop.deploy("v1")
    shop.deploy("v2")
    shop.broken.add("shop--v1")
    shop.roll_back()
    shop.deadline_passes()
    shop.broken.clear()
    shop.roll_back(caller=BOB)
    assert shop.serving == {"v1": 100}


# --- what the journal says


def said(shop: Shop) -> list[list[str]]:
    """The lines of every record, oldest first."""
    return [record.changes for record in reversed(shop.changes.read.journal("shop"))]


@BY_MODE
def test_the_journal_names_the_record_that_was_gone_back_to(
    shop: Shop, given: dict[str, Any]
) -> None:
    shop.deploy("v1", **given)
    shop.broken.add("shop--v2")
    shop.deploy("v2", **given)
    number = shop.roll_back()
    assert said(shop)[-1][0] == f"rolled back to record {number}"


def test_of_one_that_waits_the_journal_says_that_it_began_and_that_it_is_complete(
    shop: Shop,
) -> None:
    shop.deploy("v1")
    shop.deploy("v2")
    number = shop.roll_back()
    begun, *_ = [lines for lines in said(shop) if f"rollback to record {number} begun" in lines]
    assert begun[0] == f"rollback to record {number} begun"
    assert any(f"the rollback to record {number} is complete" in lines for lines in said(shop))


def test_rolling_back_to_a_rollback_that_waited_is_rolling_back_to_where_it_led(shop: Shop) -> None:
    shop.deploy("v1", ingress={"external": False})
    shop.deploy("v2", ingress={"external": True})
    shop.changes.roll_back(ALICE, "shop")
    number = shop.changes.read.journal("shop")[0].number
    shop.settle()
    shop.deploy("v3", ingress={"external": True})
    shop.roll_back(number)
    assert shop.serving == {"v1": 100}
    ingress = shop.view.app.configuration.ingress  # type: ignore[union-attr]
    assert ingress is not None
    assert not ingress.external


def test_ended_by_a_caller_it_is_not_said_to_be_complete(shop: Shop) -> None:
    shop.deploy("v1", "multiple")
    shop.deploy("v2", "multiple")
    rule = TrafficRule(revision_name="shop--v2", weight=100)
    shop.changes.set_traffic(ALICE, "shop", (rule,))
    shop.changes.deactivate(ALICE, "shop", "shop--v1")
    shop.settle()
    shop.broken.add("shop--v1")
    first = shop.changes.read.journal("shop")[-1].number
    shop.roll_back(first)
    shop.changes.roll_back(ALICE, "shop", shop.changes.read.journal("shop")[1].number)
    assert "the rollback was given up" in said(shop)[-1]
