"""Failures of replicas, restarts and what states are called, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from control.lifecycle import Failure, Pauses, failed
from control.resources import Replica, ReplicaState

S = ReplicaState
NOW = 5000.0
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
    replica = a_replica(restarts=restarts, ready_at=NOW - 1)

    after = failed(replica, Failure("ProbeFailed", "It was ill."), NOW, PAUSES)

    assert after.restarts == restarts + 1
    assert after.start_again_at == NOW + pause
    assert (after.reason, after.message) == ("ProbeFailed", "It was ill.")


def test_good_health_for_long_enough_begins_the_pauses_anew() -> None:
    replica = a_replica(restarts=7, ready_at=NOW - 601)

    after = failed(replica, Failure("CrashLoopBackOff", "It died.", 1, "main"), NOW, PAUSES)

    assert (after.restarts, after.start_again_at) == (1, NOW)
    assert (after.exit_code, after.exited) == (1, "main")
