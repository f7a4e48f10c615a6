"""What the control plane does by itself: it raises the version, and it is in the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from control.changes.changes import Changes
from control.history.caller import Caller
from control.model.errors import PreconditionFailed
from control.model.resources import AppView, ReplicaState
from control.model.schema import TrafficRule
from control.rules import commands
from control.store import Store
from router.contract.snapshot import Fault
from tests.control.support import ALICE, LIMITS, World, changes_of
from tests.support.builders import a_body


def acted(world: World) -> list[str]:
    """The lines of what turnout records until nothing is left to do."""
    lines: list[str] = []
    for _ in range(100):
        before, version = world.view, world.app.version
        result = world.plan()
        if result.record is not None:
            assert result.record.who == "turnout"
            assert world.app.version == version + 1
            lines += result.record.changes
        for replica in result.starts:
            state = ReplicaState.STARTING
            if replica.revision not in world.broken:
                state = ReplicaState.READY
            world.set(replica.name, state=state, address="127.0.0.1:1")
        for replica in result.stops:
            world.view = world.view.without_replica(replica.name)
        if before == world.view:
            return lines
    raise AssertionError("the plan never settles")


def test_a_switch_of_single_mode_is_recorded() -> None:
    world = World()
    world.deploy(suffix="v1", mode="single")
    assert acted(world) == ["revision shop--v1 is ready", "revision shop--v1 serves"]
    world.deploy(suffix="v2", mode="single", image="process:v2")
    assert acted(world) == [
        "revision shop--v1 deactivated",
        "revision shop--v2 is ready",
        "revision shop--v2 serves",
    ]


def test_a_failure_is_recorded_with_its_reason() -> None:
    world = World()
    world.broken = {"shop--v1"}
    world.deploy(suffix="v1")
    acted(world)
    world.now += LIMITS.progress_deadline_s
    (line,) = acted(world)
    assert line.startswith("revision shop--v1 failed: ProgressDeadlineExceeded")


def test_a_label_that_moves_is_recorded() -> None:
    world = World()
    world.deploy(suffix="v1", mode="labels", target_label="prod")
    acted(world)
    world.deploy(suffix="v2", mode="labels", target_label="prod", image="process:v2")
    lines = acted(world)
    assert "configuration.ingress.traffic[0].revisionName: shop--v1 -> shop--v2" in lines
    assert "revision shop--v1 deactivated" in lines


def test_the_end_of_a_fault_is_recorded() -> None:
    world = World()
    world.deploy(suffix="v1")
    acted(world)
    fault = Fault(until=0, abort_percent=1)
    world.view = commands.set_fault(world.view, "shop--v1", fault, world.now + 10, world.now)
    world.now += 10
    assert acted(world) == ["fault of revision shop--v1: none"]


def test_replicas_that_come_and_go_are_not_changes_of_the_app() -> None:
    world = World()
    world.deploy(suffix="v1", replicas=2)
    acted(world)
    before = world.app
    world.set(world.view.of("shop--v1")[0].name, state=ReplicaState.UNREADY)
    assert acted(world) == []
    assert world.app is before


# --- with a store


@pytest.fixture
def changes(tmp_path: Path) -> Any:
    store = Store(tmp_path / "control.db")
    yield changes_of(store)
    store.close()


def reconcile(changes: Changes, world: World, name: str = "shop") -> None:
    """Let the planner act on the stored app until nothing is left to do."""
    store = changes._store
    for _ in range(20):
        world.view = store.view(name)
        result = world.plan()
        before = store.view(name)
        store.write(name, before, result.view, result.record)
        replicas = {
            n: commands_ready(r) if r.state is ReplicaState.PENDING else r
            for n, r in result.view.replicas.items()
            if r not in result.stops
        }
        now = store.view(name)
        store.write(name, now, AppView(now.app, now.revisions, replicas))
        if store.view(name) == before:
            return


def commands_ready(replica: Any) -> Any:
    from control.model.resources import replace

    return replace(replica, state=ReplicaState.READY, address="127.0.0.1:1")


def body(suffix: str, port: int) -> Any:
    return a_body(suffix, mode="single", image=f"endpoint:127.0.0.1:{port}")


def test_a_rollback_without_a_number_undoes_the_last_change_of_a_caller(changes: Changes) -> None:
    world = World()
    changes.put(ALICE, "shop", body("v1", 1))
    reconcile(changes, world)
    changes.put(ALICE, "shop", body("v2", 2))
    reconcile(changes, world)
    assert changes.read.app("shop").app.serving == "shop--v2"  # type: ignore[union-attr]
    whos = [record.who for record in changes.read.journal("shop")]
    assert whos[0] == "turnout"
    assert "alice (turnout/1)" in whos

    changes.roll_back(ALICE, "shop")
    reconcile(changes, world)
    assert changes.read.app("shop").app.serving == "shop--v1"  # type: ignore[union-attr]


def test_an_etag_of_before_a_switch_is_refused_after_it(changes: Changes) -> None:
    view, _ = changes.put(ALICE, "shop", body("v1", 1))
    assert view.app is not None
    etag = f'"{view.app.version}"'
    reconcile(changes, World())
    alice = Caller("alice", if_match=etag)
    with pytest.raises(PreconditionFailed):
        changes.set_traffic(alice, "shop", (TrafficRule(latest_revision=True, weight=100),))
