"""Crash loops, pauses, late recovery and drains, as tables: what happened, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from control.model.resources import Provisioning, ReplicaState
from control.model.states import CRASH_LOOP, KILLED, TERMINATED
from control.probes.prober import Verdict
from control.runtime import Exit
from tests.control.recorded import Recorded, recorded
from tests.control.support import ALICE

S = ReplicaState
P = Provisioning


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Recorded]:
    with recorded(tmp_path, drain_timeout_s=30) as made:
        yield made


async def test_a_deploy_is_recorded_started_probed_and_ready(shop: Recorded) -> None:
    await shop.deploy(ready=False, replicas=2)
    assert [what for what, _ in shop.runtime.asked] == ["start", "start"]
    assert shop.states == [S.STARTING, S.STARTING]
    assert set(shop.prober.watched) == {replica.name for replica in shop.replicas}
    await shop.all_ready()
    assert shop.states == [S.READY, S.READY]
    assert shop.revision().provisioning is P.PROVISIONED


# --- crash loops

# Exits of the only replica one after the other: for how long it was ready before, the pause that
# follows, and what the reason is called.
CRASH_LOOPS = {
    "at once, then ten seconds, doubling": [
        (1, 0, TERMINATED), (1, 9, CRASH_LOOP), (1, 19, CRASH_LOOP), (1, 39, CRASH_LOOP),
    ],
    "five minutes at most": [
        (0, 0, TERMINATED), (0, 10, CRASH_LOOP), (0, 20, CRASH_LOOP), (0, 40, CRASH_LOOP),
        (0, 80, CRASH_LOOP), (0, 160, CRASH_LOOP), (0, 300, CRASH_LOOP), (0, 300, CRASH_LOOP),
    ],
    "what it was ready for counts": [
        (0, 0, TERMINATED), (0, 10, CRASH_LOOP), (15, 5, CRASH_LOOP), (60, 0, TERMINATED),
    ],
    "ten minutes of health begin anew": [
        (0, 0, TERMINATED), (0, 10, CRASH_LOOP), (601, 0, TERMINATED), (0, 10, CRASH_LOOP),
    ],
}  # fmt: skip


@pytest.mark.parametrize("exits", CRASH_LOOPS.values(), ids=CRASH_LOOPS)
async def test_pauses_of_a_replica_that_exits(
    shop: Recorded, exits: list[tuple[float, float, str]]
) -> None:
    await shop.deploy()
    for ready_s, pause, reason in exits:
        await shop.passes(ready_s)
        starts = shop.count("start")
        await shop.exits()
        assert shop.replica.last_reason == reason
        if pause:
            await shop.passes(pause - 0.1)
            assert (shop.replica.state, shop.count("start")) == (S.BACKOFF, starts)
            await shop.passes(0.1)
        assert (shop.replica.state, shop.count("start")) == (S.STARTING, starts + 1)
        await shop.all_ready()
        assert shop.replica.state is S.READY
    assert shop.revision().provisioning is P.PROVISIONED  # it was ready once: no deploy failed


async def test_kills_from_outside_are_no_crash_loop_three_times(shop: Recorded) -> None:
    await shop.deploy()
    for pause in (0, 0, 0, 10):
        await shop.exits(137)
        assert shop.replica.last_reason == KILLED
        assert shop.replica.state is (S.BACKOFF if pause else S.STARTING)
        await shop.passes(pause)
        await shop.all_ready()
    assert shop.replica.restarts_ever == 4


async def test_three_exits_before_it_was_ready_fail_the_revision(shop: Recorded) -> None:
    await shop.deploy(ready=False)
    for pause, provisioning in ((0, P.PROVISIONING), (10, P.PROVISIONING), (20, P.FAILED)):
        await shop.exits(3)
        assert shop.revision().provisioning is provisioning
        await shop.passes(pause)
    assert shop.revision().reason == CRASH_LOOP
    assert "exit code '3'" in shop.revision().message


async def test_starts_that_fail_wait_longer_and_longer_and_fail_the_revision(
    shop: Recorded,
) -> None:
    shop.runtime.refuses = "there is no such image"
    await shop.deploy(ready=False)  # the first restart is at once
    assert (shop.count("start"), shop.replica.state) == (2, S.BACKOFF)
    await shop.passes(10)
    assert shop.count("start") == 3
    assert shop.revision().provisioning is P.FAILED
    assert shop.revision().reason == "ImagePullFailure"
    await shop.passes(19)
    assert shop.count("start") == 3
    await shop.passes(1)
    assert shop.count("start") == 4


# --- late recovery


async def test_the_first_revision_may_come_up_after_its_deadline(shop: Recorded) -> None:
    await shop.deploy(ready=False)
    await shop.passes(600)
    assert shop.revision().reason == "ProgressDeadlineExceeded"
    await shop.all_ready()
    assert shop.revision().provisioning is P.PROVISIONED


@pytest.mark.parametrize("mode", ["single", "multiple"])
async def test_a_later_one_that_comes_up_late_stays_failed(shop: Recorded, mode: str) -> None:
    await shop.deploy("v1", mode=mode)
    await shop.deploy("v2", mode=mode, ready=False)
    await shop.passes(600)
    await shop.all_ready()
    assert shop.revision("v2").provisioning is P.FAILED
    assert shop.revision("v1").provisioning is P.PROVISIONED
    shop.changes.activate(ALICE, "shop", "shop--v2")  # a new attempt
    await shop.looks()
    await shop.all_ready()
    assert shop.revision("v2").provisioning is P.PROVISIONED


async def test_an_engine_that_was_away_costs_no_restarts(shop: Recorded) -> None:
    await shop.deploy()
    for _ in range(3):
        await shop.exits()
    assert (shop.replica.state, shop.replica.restarts) == (S.BACKOFF, 2)
    await shop.reconciler.recovery.engine_back("process", was_away=True)
    await shop.looks()
    assert (shop.replica.state, shop.replica.restarts) == (S.STARTING, 0)


# --- drains


async def test_a_replica_that_left_is_stopped_when_no_router_needs_it(shop: Recorded) -> None:
    await shop.deploy("v1", mode="single")
    await shop.router_says()
    (old,) = shop.replicas
    await shop.deploy("v2", mode="single")
    assert shop.states == [S.DRAINING, S.READY]
    assert not shop.prober.watches(old.name)

    await shop.router_says(**{old.name: 1})  # it has the new table, and waits for an answer
    assert shop.count("stop") == 0
    await shop.router_says()
    assert shop.runtime.asked[-2:] == [("stop", old.name), ("forget", old.name)]
    assert shop.states == [S.READY]


@pytest.mark.parametrize(("has_table", "stops"), [(True, 1), (False, 0)])
async def test_the_drain_timeout_ends_the_wait_for_answers_only(
    shop: Recorded, has_table: bool, stops: int
) -> None:
    await shop.deploy("v1", mode="single")
    await shop.router_says()
    (old,) = shop.replicas
    await shop.deploy("v2", mode="single")
    if has_table:
        await shop.router_says(**{old.name: 1})
    await shop.passes(29)
    assert shop.count("stop") == 0
    await shop.passes(1)
    assert shop.count("stop") == stops


async def test_a_deleted_app_drains_and_is_forgotten(shop: Recorded) -> None:
    await shop.deploy(replicas=2)
    shop.changes.delete(ALICE, "shop")
    await shop.looks()
    assert (shop.count("stop"), shop.count("forget")) == (2, 2)
    assert (shop.replicas, shop.store.names()) == ([], [])


# --- probes


async def test_a_replica_that_probes_give_up_is_ended_and_started_again(shop: Recorded) -> None:
    await shop.deploy()
    shop.prober.say(shop.replica.name, Verdict.LIVENESS_FAILED, "no answer")
    await shop.looks()
    assert [what for what, _ in shop.runtime.asked] == ["start", "stop", "start"]
    assert shop.replica.state is S.STARTING
    assert "failed liveness probe, will be restarted: no answer" in shop.replica.last_message


async def test_an_unready_replica_stays_and_is_ready_again(shop: Recorded) -> None:
    await shop.deploy()
    shop.prober.say(shop.replica.name, Verdict.UNREADY, "503")
    await shop.looks()
    assert shop.replica.state is S.UNREADY
    assert shop.prober.watches(shop.replica.name)
    await shop.all_ready()
    assert (shop.replica.state, shop.replica.restarts_ever) == (S.READY, 0)


# --- events that come late

LATE = {
    "an exit": lambda shop, name: shop.reconciler.events.on_exit(name, Exit(1)),
    "ready": lambda shop, name: shop.prober.say(name, Verdict.READY, ""),
    "not ready": lambda shop, name: shop.prober.say(name, Verdict.UNREADY, "503"),
    "given up": lambda shop, name: shop.prober.say(name, Verdict.LIVENESS_FAILED, "503"),
    "a pause": lambda shop, name: shop.reconciler.events.on_pause(name, True),
    "a failed probe": lambda shop, name: shop.reconciler.events.on_probe_failure(name, "Startup"),
}


@pytest.mark.parametrize("event", LATE)
@pytest.mark.parametrize("state", [S.DRAINING, None])
async def test_a_late_event_changes_nothing(
    shop: Recorded, event: str, state: ReplicaState | None
) -> None:
    await shop.deploy()
    name = shop.replica.name
    if state is S.DRAINING:
        await shop.router_says(**{name: 1})
    shop.changes.set_stopped(ALICE, "shop", is_stopped=True)
    await shop.looks()
    before = shop.store.view("shop")
    assert [replica.state for replica in before.replicas.values()] == ([state] if state else [])

    LATE[event](shop, name)
    await shop.looks()
    assert shop.store.view("shop") == before


async def test_its_end_counts_once_when_probes_gave_it_up_and_it_exits(shop: Recorded) -> None:
    await shop.deploy()
    name = shop.replica.name
    shop.prober.say(name, Verdict.LIVENESS_FAILED, "no answer")
    shop.reconciler.events.on_exit(name, Exit(143))
    await shop.looks()
    assert (shop.replica.restarts_ever, shop.replica.last_reason) == (1, "ProbeFailed")


# --- a start of the control plane


@pytest.mark.parametrize("is_alive", [True, False])
async def test_what_runs_is_adopted_and_what_ended_meanwhile_is_not_to_blame(
    tmp_path: Path, is_alive: bool
) -> None:
    with recorded(tmp_path) as before:
        await before.deploy()
        running, name = dict(before.runtime.running), before.replica.name
    with recorded(tmp_path) as shop:
        shop.runtime.running = running if is_alive else {}
        await shop.reconciler.recover()
        await shop.looks()
        assert shop.count("start") == (0 if is_alive else 1)
        assert shop.prober.watches(name)
        assert shop.replica.state is (S.READY if is_alive else S.STARTING)
        assert (shop.replica.name, shop.replica.restarts_ever) == (name, 0)
