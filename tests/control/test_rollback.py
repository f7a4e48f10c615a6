"""What `rollback` without a number goes back to, and what becomes of a deploy under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from control.api.azure import operations
from control.api.azure.operations import Operation
from control.history.caller import Caller
from control.history.journal import Record
from control.model import traffic
from control.model.errors import Conflict, Invalid
from control.model.resources import AppView, Provisioning, ReplicaState, replace
from control.model.schema import TrafficRule
from control.rules.rollback import ways_back
from control.store import Store
from tests.control.support import ALICE, LIMITS, World, changes_of
from tests.support.builders import a_body

# --- the way back through a journal


def own(number: int) -> Record:
    return Record("shop", "turnout", "", [], {}, is_own=True, number=number)


def by_caller(number: int) -> Record:
    return Record("shop", "alice", "", [], {}, number=number)


def rollback_to(number: int, to: int) -> Record:
    return Record("shop", "alice", "", [], {"restores": to}, number=number)


@pytest.mark.parametrize(
    ("records", "ways"),
    [
        ([], []),
        ([by_caller(1)], []),
        ([by_caller(1), own(2), by_caller(3), own(4)], [2]),
        ([by_caller(1), by_caller(2), by_caller(3)], [2, 1]),
        # a rollback is no change to undo: the next one goes on from where it led
        ([by_caller(1), own(2), by_caller(3), own(4), rollback_to(5, 2)], []),
        ([by_caller(1), by_caller(2), by_caller(3), rollback_to(4, 2), own(5)], [1]),
        ([by_caller(1), by_caller(2), by_caller(3), rollback_to(4, 2), rollback_to(5, 1)], []),
        # unless something was changed since
        ([by_caller(1), by_caller(2), rollback_to(3, 1), by_caller(4)], [3]),
        ([by_caller(1), by_caller(2), by_caller(3), rollback_to(4, 2), by_caller(5)], [4, 1]),
    ],
)
def test_the_way_back_goes_on_from_where_a_rollback_led(
    records: list[Record], ways: list[int]
) -> None:
    assert [record.number for record in ways_back(reversed(records))] == ways


# --- with a store


class Shop:
    """One app with real commands; the planner is asked until nothing is left to do."""

    def __init__(self, store: Store) -> None:
        self.changes = changes_of(store)
        self._store = store
        self._world = World()

    @property
    def broken(self) -> set[str]:
        """Revisions whose replicas never become ready."""
        return self._world.broken

    def deploy(self, suffix: str, mode: str = "single", **given: Any) -> None:
        image = given.pop("image", f"endpoint:127.0.0.1:{sum(suffix.encode())}")
        self.changes.put(ALICE, "shop", a_body(suffix, mode=mode, image=image, **given))
        self.settle()

    def settle(self) -> None:
        for _ in range(50):
            before = self._store.view("shop")
            self._world.view = before
            result = self._world.plan()
            replicas = {
                name: self._after_start(replica)
                for name, replica in result.view.replicas.items()
                if replica not in result.stops
            }
            after = AppView(result.view.app, result.view.revisions, replicas)
            if after == before:
                return
            self._store.write("shop", before, after, result.record)
        raise AssertionError("the plan never settles")

    def _after_start(self, replica: Any) -> Any:
        if replica.state is not ReplicaState.PENDING:
            return replica
        is_broken = replica.revision in self.broken
        state = ReplicaState.STARTING if is_broken else ReplicaState.READY
        return replace(replica, state=state, address="127.0.0.1:1")

    def deadline_passes(self) -> None:
        self._world.now += LIMITS.progress_deadline_s
        self.settle()

    def roll_back(self, to: int = 0, caller: Caller = ALICE) -> int:
        """The number of the record that was gone back to."""
        _, record = self.changes.roll_back(caller, "shop", to)
        self.settle()
        return record.number

    @property
    def view(self) -> AppView:
        return self._store.view("shop")

    @property
    def serving(self) -> dict[str, int]:
        shares = traffic.shares(self.view)
        return {name.partition("--")[2]: s.weight for name, s in shares.items() if s.weight}

    @property
    def active(self) -> list[str]:
        return sorted(r.suffix for r in self.view.revisions.values() if r.is_active)

    def provisioning(self, suffix: str) -> Provisioning:
        return self.view.revisions[f"shop--{suffix}"].provisioning


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    store = Store(tmp_path / "control.db")
    yield Shop(store)
    store.close()


LABELLED = {"mode": "labels", "targetLabel": "prod"}
MODES: list[dict[str, Any]] = [{"mode": "single"}, {"mode": "multiple"}, LABELLED]
BY_MODE = pytest.mark.parametrize("given", MODES, ids=lambda given: given["mode"])


def unfinished(shop: Shop, **given: Any) -> None:
    """v1 serves, and v2 is on its way for ever."""
    shop.deploy("v1", **given)
    shop.broken.add("shop--v2")
    shop.deploy("v2", **given)
    assert shop.serving == {"v1": 100}
    assert shop.active == ["v1", "v2"]


@BY_MODE
def test_a_rollback_of_an_unfinished_deploy_drops_it_at_once(
    shop: Shop, given: dict[str, Any]
) -> None:
    unfinished(shop, **given)
    operation = Operation("deploy", "shop", "shop--v2")
    assert operations.status(operation, shop.view)[0] == "InProgress"
    shop.changes.roll_back(ALICE, "shop")

    assert operations.status(operation, shop.view)[0] == "Canceled"
    assert shop.active == ["v1"]  # before the planner has looked
    assert not shop.view.app.restoring  # type: ignore[union-attr]
    shop.broken.clear()
    shop.settle()
    assert shop.serving == {"v1": 100}
    assert shop.active == ["v1"]


@BY_MODE
def test_a_rollback_of_a_failed_deploy_drops_what_failed(shop: Shop, given: dict[str, Any]) -> None:
    unfinished(shop, **given)
    shop.deadline_passes()
    assert shop.provisioning("v2") is Provisioning.FAILED
    shop.roll_back()
    assert shop.serving == {"v1": 100}
    assert shop.active == ["v1"]


@BY_MODE
def test_a_change_meanwhile_does_not_make_a_rollback_finish_the_deploy(
    shop: Shop, given: dict[str, Any]
) -> None:
    unfinished(shop, **given)
    shop.changes.set_secrets(ALICE, "shop", {"db": "x"})
    shop.roll_back()
    shop.broken.clear()
    shop.settle()
    assert shop.serving == {"v1": 100}
    assert shop.active == ["v1"]


@BY_MODE
def test_a_second_rollback_goes_further_back_until_there_is_nothing(
    shop: Shop, given: dict[str, Any]
) -> None:
    for suffix in ("v1", "v2", "v3"):
        shop.deploy(suffix, **given)
    assert shop.serving == {"v3": 100}
    shop.roll_back()
    assert shop.serving == {"v2": 100}
    shop.roll_back()
    assert shop.serving == {"v1": 100}
    with pytest.raises(Invalid, match=r"nothing further back.*shop--v1 serves"):
        shop.roll_back()
    assert shop.serving == {"v1": 100}


def test_a_bad_split_is_not_come_back_to(shop: Shop) -> None:
    shop.deploy("v1", "multiple")
    shop.deploy(
        "v2", "multiple", ingress={"traffic": [{"revisionName": "shop--v1", "weight": 100}]}
    )
    rules = (("shop--v1", 50), ("shop--v2", 50))
    shop.changes.set_traffic(
        ALICE, "shop", tuple(TrafficRule(revision_name=name, weight=w) for name, w in rules)
    )
    shop.roll_back()
    assert shop.serving == {"v1": 100}
    with pytest.raises(Invalid, match="nothing further back"):
        shop.roll_back()
    assert shop.serving == {"v1": 100}


def test_after_a_change_a_rollback_undoes_that_first(shop: Shop) -> None:
    shop.deploy("v1")
    shop.deploy("v2")
    shop.roll_back()
    shop.deploy("v3")
    shop.roll_back()
    assert shop.serving == {"v1": 100}


def test_what_would_change_nothing_is_passed_over(shop: Shop) -> None:
    shop.deploy("v1")
    shop.deploy("v2")
    shop.changes.set_secrets(ALICE, "shop", {"db": "x"})
    shop.changes.restart(ALICE, "shop", "shop--v2")
    shop.settle()
    shop.roll_back()
    assert shop.serving == {"v1": 100}


def test_by_its_number_every_record_can_be_gone_back_to(shop: Shop) -> None:
    shop.deploy("v1")
    shop.deploy("v2")
    bad = shop.changes.read.journal("shop")[0].number
    shop.roll_back()
    assert shop.roll_back(bad) == bad
    assert shop.serving == {"v2": 100}


def test_what_was_never_deployed_has_no_way_back(shop: Shop) -> None:
    shop.broken.add("shop--v1")
    shop.deploy("v1")
    with pytest.raises(Invalid, match="nothing further back"):
        shop.roll_back()


# --- cancelling a deploy


@BY_MODE
def test_cancelling_drops_the_new_revision_and_nothing_else(
    shop: Shop, given: dict[str, Any]
) -> None:
    unfinished(shop, **given)
    shop.changes.set_secrets(ALICE, "shop", {"db": "x"})
    _, dropped = shop.changes.cancel(ALICE, "shop")
    assert dropped.name == "shop--v2"
    shop.broken.clear()
    shop.settle()
    assert shop.serving == {"v1": 100}
    assert shop.active == ["v1"]
    assert shop.view.app.configuration.secret_values == {"db": "x"}  # type: ignore[union-attr]


def test_the_first_deploy_of_an_app_can_be_cancelled(shop: Shop) -> None:
    shop.broken.add("shop--v1")
    shop.deploy("v1")
    shop.changes.cancel(ALICE, "shop")
    shop.settle()
    assert shop.active == []


@pytest.mark.parametrize("mode", ["single", "multiple"])
def test_a_first_deploy_that_was_cancelled_is_not_come_back_to(shop: Shop, mode: str) -> None:
    shop.broken.add("shop--v1")
    shop.deploy("v1", mode=mode)
    shop.changes.cancel(ALICE, "shop")
    shop.settle()
    with pytest.raises(Invalid, match="nothing further back"):
        shop.roll_back()
    assert shop.active == []


def finished(shop: Shop) -> None:
    shop.deploy("v1")


def failed(shop: Shop) -> None:
    unfinished(shop)
    shop.deadline_passes()


@pytest.mark.parametrize("state", [finished, failed])
def test_without_a_deploy_under_way_there_is_nothing_to_cancel(
    shop: Shop, state: Callable[[Shop], None]
) -> None:
    state(shop)
    with pytest.raises(Conflict, match=r"no deploy of app shop is under way.*shop--v1 serves"):
        shop.changes.cancel(ALICE, "shop")
