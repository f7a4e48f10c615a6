"""Failures of replicas, restarts and what states are called, as tables."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from control.model import traffic
from control.model.clock import Moment
from control.model.resources import Provisioning, Replica, ReplicaState
from control.model.states import (
    KILLED,
    TERMINATED,
    Failure,
    Pauses,
    app_provisioning,
    app_running,
    failed,
)
from control.model.targets import PRIVATE, Targets
from control.rules import commands
from control.runtime import Exit, Launch
from control.runtime.endpoint import EndpointRuntime
from tests.control.support import LIMITS, World

S = ReplicaState
NOW = 5000.0
AT = Moment(NOW, 7.0)
PAUSES = Pauses(first_s=10, most_s=300, healthy_after_s=600)


def a_replica(**given: Any) -> Replica:
    return Replica("shop--v1-r1", "shop", "shop--v1", 0.0, **given)


@pytest.mark.parametrize(
    ("restarts", "pause"),
    [(0, 0), (1, 10), (2, 20), (3, 40), (5, 160), (6, 300), (5000, 300)],
)
def test_the_first_restart_is_at_once_and_pauses_double_up_to_the_most(
    restarts: int, pause: float
) -> None:
    replica = a_replica(restarts=restarts)

    after = failed(replica, Failure("ProbeFailed", "It was ill."), AT, PAUSES)

    assert after.restarts == restarts + 1
    assert after.start_again_at == NOW + pause
    assert (after.reason, after.message) == ("ProbeFailed", "It was ill.")


def test_good_health_for_long_enough_begins_the_pauses_anew() -> None:
    replica = a_replica(restarts=7, restarts_ever=7, ready_at=NOW - 601)

    after = failed(replica, Failure("CrashLoopBackOff", "It died.", 1, "main"), AT, PAUSES)

    assert (after.restarts, after.start_again_at) == (1, NOW)
    assert (after.restarts_ever, after.last_failed_at, after.last_message) == (8, 7.0, "It died.")
    assert (after.exit_code, after.exited) == (1, "main")


@pytest.mark.parametrize(("well_s", "pause"), [(0.0, 10.0), (4.0, 6.0), (10.0, 0.0), (60.0, 0.0)])
def test_what_a_replica_was_ready_for_counts_towards_its_pause(well_s: float, pause: float) -> None:
    replica = a_replica(restarts=1, ready_at=NOW - well_s)

    after = failed(replica, Failure("CrashLoopBackOff", "It was killed."), AT, PAUSES)

    assert (after.restarts, after.start_again_at) == (2, NOW + pause)


@pytest.mark.parametrize(
    ("restarts", "ready_at", "reason"),
    [
        (0, 0.0, "ContainerTerminated"),
        (1, NOW - 60, "ContainerTerminated"),
        (1, NOW - 4, "CrashLoopBackOff"),
        (1, 0.0, "CrashLoopBackOff"),
    ],
)
def test_only_what_ends_again_right_after_its_start_is_a_crash_loop(
    restarts: int, ready_at: float, reason: str
) -> None:
    died = Failure(TERMINATED, "It died.", 1, "main")

    after = failed(a_replica(restarts=restarts, ready_at=ready_at), died, AT, PAUSES)

    assert after.reason == after.last_reason == reason


@pytest.mark.parametrize(
    ("restarts", "pause"), [(0, 0), (1, 0), (2, 0), (3, 10), (4, 20), (50, 300)]
)
def test_what_is_killed_a_few_times_is_started_at_once_and_never_called_a_crash_loop(
    restarts: int, pause: float
) -> None:
    """Whoever kills may do it for as long as they like; so may a host without memory."""
    killed = Failure(KILLED, "It was killed.", 137, "main")

    after = failed(a_replica(restarts=restarts), killed, AT, PAUSES)

    assert (after.restarts, after.start_again_at) == (restarts + 1, NOW + pause)
    assert after.reason == "Killed"
    assert (
        after.message == f"It was killed. Restarted {f'after {pause} s' if pause else 'at once'}."
    )


def test_good_health_before_the_last_failure_counts_no_more() -> None:
    """A replica that served for long and then dies as it starts may not be started in a whirl."""
    died = Failure("CrashLoopBackOff", "It died.")
    replica = failed(a_replica(ready_at=NOW - 601), died, AT, PAUSES)

    after = failed(replica, died, Moment(NOW + 1, 8.0), PAUSES)

    assert (after.restarts, after.start_again_at) == (2, NOW + 11)


def a_world(**given: Any) -> World:
    world = World()
    world.deploy(suffix="v1", **given)
    world.settle()
    return world


def fail_latest(world: World) -> Replica:
    """Let the latest revision fail for good; returns its replica."""
    world.broken.add(world.app.latest)
    world.settle()
    world.now += LIMITS.progress_deadline_s + 1
    world.settle()
    assert world.view.revisions[world.app.latest].provisioning is Provisioning.FAILED
    return world.view.of(world.app.latest)[0]


@pytest.mark.parametrize("mode", ["single", "multiple"])
def test_a_failed_revision_that_recovers_late_is_not_the_latest_ready_one(mode: str) -> None:
    world = a_world(mode=mode)
    world.deploy(suffix="v2", mode=mode, image="process:other")
    late = fail_latest(world)

    world.set(late.name, state=S.READY)
    world.settle()

    assert world.app.latest_ready == "shop--v1"
    assert {n: s.weight for n, s in traffic.shares(world.view).items() if s.weight} == {
        "shop--v1": 100
    }
    world.view = commands.set_mode(world.view, "single", world.now)
    world.settle()
    assert world.app.serving == "shop--v1"


def test_a_failed_revision_that_recovers_may_serve_when_nothing_else_can() -> None:
    world = World()
    world.deploy(suffix="v1")
    late = fail_latest(world)

    world.set(late.name, state=S.READY)
    world.settle()

    assert world.app.latest_ready == "shop--v1"


@pytest.mark.parametrize("mode", ["single", "multiple"])
def test_a_started_app_is_in_progress_until_something_answers(mode: str) -> None:
    world = a_world(mode=mode)
    world.view = commands.set_stopped(world.view, world.now, is_stopped=True)
    world.settle()
    revisions = lambda: list(world.view.revisions.values())  # noqa: E731
    assert app_running(world.view) == "Stopped"

    world.view = commands.set_stopped(world.view, world.now, is_stopped=False)
    assert app_provisioning(world.app, revisions()) == "InProgress"
    assert app_running(world.view) == "Progressing"
    world.settle()

    assert app_provisioning(world.app, revisions()) == "Succeeded"
    assert app_running(world.view) == "Running"


def test_a_cancelled_recreate_is_in_progress_until_the_old_revision_is_back() -> None:
    world = World()
    for suffix in ("v1", "v2"):
        world.broken = {"shop--v2"}
        world.deploy(suffix=suffix, mode="single", image=f"web:{suffix}", updateStrategy="recreate")
        world.settle()
    world.broken = {"shop--v1"}
    world.view = commands.cancel(world.view, world.now)
    world.settle()
    revisions = lambda: list(world.view.revisions.values())  # noqa: E731
    assert world.active() == ["v1"]
    assert app_provisioning(world.app, revisions()) == "InProgress"

    late = World()
    late.view, late.now = world.view, world.now + LIMITS.progress_deadline_s
    late.broken = world.broken
    late.settle()
    assert app_provisioning(late.app, list(late.view.revisions.values())) == "Failed"

    world.broken = set()
    for replica in world.view.of("shop--v1"):
        world.set(replica.name, state=S.READY)
    world.settle()
    assert app_provisioning(world.app, revisions()) == "Succeeded"


@pytest.mark.parametrize("state", [S.BACKOFF, S.RESTARTING, S.STARTING, S.PENDING, S.UNREADY])
def test_an_app_none_of_whose_replicas_answers_is_not_running(state: ReplicaState) -> None:
    world = a_world()
    (name,) = world.view.replicas
    world.set(name, state=state)

    assert app_running(world.view) == "Progressing"


def test_a_restart_of_endpoints_ends_with_new_replicas_at_the_same_addresses() -> None:
    image = "endpoint:127.0.0.1:1,127.0.0.1:2"
    world = World()
    world.deploy(suffix="v1", image=image)
    endpoints = EndpointRuntime(Targets(PRIVATE))

    def settle() -> None:
        """Until nothing is left to do, with addresses by the runtime."""
        for _ in range(30):
            for replica in world.plan().starts:
                revision = world.view.revisions[replica.revision]
                siblings = [r for r in world.view.of(revision.name) if r.name != replica.name]
                launch = Launch(replica, revision, siblings, "", 80, {})
                started = asyncio.run(endpoints.start(launch))
                world.set(replica.name, state=S.READY, address=started.address)
            for replica in world.plan().stops:
                world.view = world.view.without_replica(replica.name)

    settle()
    old = set(world.view.replicas)
    world.view = commands.restart(world.view, "shop--v1", world.now)
    settle()

    assert not old & set(world.view.replicas)
    assert sorted(r.address for r in world.view.ready("shop--v1")) == [
        "127.0.0.1:1",
        "127.0.0.1:2",
    ]


def test_output_that_repeats_itself_is_quoted_once() -> None:
    said = Exit(1, ("cannot open db", "cannot open db", "bye", "cannot open db")).sentence("main")
    assert said.endswith("Last output: cannot open db | bye | cannot open db.")
