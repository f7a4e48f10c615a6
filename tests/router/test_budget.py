"""Retry budget, load shedding and slow start: pure tables of figures."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.forwarding.shedding import Shedding, fair_shares
from router.routing.replicas import Replica
from router.routing.retry_budget import RetryBudget


def taken(budget: RetryBudget, requests: int, share: float = 0.2, least: float = 3.0) -> int:
    n = 0
    while budget.take(requests, share, least):
        n += 1
    return n


@pytest.mark.parametrize(("requests", "allowed"), [(0, 30), (100, 30), (1000, 200), (10_000, 2000)])
def test_a_fifth_of_the_requests_or_three_a_second(requests: int, allowed: int) -> None:
    assert taken(RetryBudget(), requests) == allowed


def test_what_is_long_past_allows_nothing() -> None:
    budget = RetryBudget()
    budget.second_passed(10_000)
    for _ in range(60):
        budget.second_passed(10_000)
    assert taken(budget, 10_000) == 30


def test_retries_of_long_ago_are_forgiven() -> None:
    budget = RetryBudget()
    assert taken(budget, 0) == 30
    for _ in range(60):
        budget.second_passed(0)
    assert taken(budget, 0) == 29  # all but the trace of a decaying sum


def shed(shedding: Shedding, late_s: float, made: dict[str, int]) -> dict[str, float]:
    """The shares after one tick, in which every app asked as often as before."""
    for app in made:
        made[app] += 100
    return shedding.shares(dict(made)) if shedding.is_due(late_s) else {}


def test_one_pause_is_no_overload() -> None:
    shedding, made = Shedding(0.25), {"shop": 0}
    assert [shed(shedding, late, made) for late in (0.0, 2.0, 0.0)] == [{}, {}, {}]


def test_lasting_lag_refuses_more_and_more_and_recovery_is_slow() -> None:
    shedding, made = Shedding(0.25), {"shop": 0}
    ratios = [shed(shedding, 0.3, made).get("shop", 0.0) for _ in range(20)]
    assert ratios == sorted(ratios)
    assert ratios[-1] == pytest.approx(0.9)  # some always pass
    after = [shed(shedding, 0.0, made).get("shop", 0.0) for _ in range(50)]
    assert after[0] > 0.8
    assert after[-1] == 0.0


@pytest.mark.parametrize(
    ("made", "ratio", "expected"),
    [
        ({"shop": 100}, 0.5, {"shop": 0.5}),
        ({"shop": 900, "blog": 50, "wiki": 50}, 0.5, {"shop": 5 / 9}),
        ({"shop": 100, "blog": 100}, 0.25, {"shop": 0.25, "blog": 0.25}),
        ({"shop": 600, "blog": 300, "wiki": 100}, 0.5, {"shop": 2 / 3, "blog": 1 / 3}),
        ({"_unknown": 10_000, "shop": 10}, 0.9, {"_unknown": 0.9009}),
        ({}, 0.5, {}),
    ],
)
def test_what_is_refused_is_taken_from_those_that_ask_for_most(
    made: dict[str, int], ratio: float, expected: dict[str, float]
) -> None:
    assert fair_shares(made, ratio) == pytest.approx(expected, abs=1e-6)


@given(st.dictionaries(st.text(), st.integers(1, 1000)), st.floats(0, 0.9))
def test_the_shares_refuse_as_much_as_was_asked_for(made: dict[str, int], ratio: float) -> None:
    refused = sum(made[app] * share for app, share in fair_shares(made, ratio).items())
    assert refused == pytest.approx(ratio * sum(made.values()))


def test_back_off_doubles_up_to_a_cap_and_an_answer_forgives() -> None:
    replica = Replica("r", "127.0.0.1:1", deque())
    spans = []
    for _ in range(10):
        replica.eject(100.0, 0.0)
        spans.append(replica.ejected_until - 100.0)
    assert spans[:5] == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert max(spans) == 30.0
    replica.answered()
    replica.eject(100.0, 0.0)
    assert replica.ejected_until == 100.25


def test_a_replica_that_comes_back_takes_a_growing_share() -> None:
    replica = Replica("r", "127.0.0.1:1", deque())
    replica.eject(0.0, 10.0)
    back = replica.ejected_until

    def share(at: float) -> float:
        return sum(replica.takes(at) for _ in range(4000)) / 4000

    assert share(back - 0.01) == 0.0
    assert share(back) == pytest.approx(0.1, abs=0.03)
    assert share(back + 5.0) == pytest.approx(0.5, abs=0.05)
    assert share(back + 10.0) == 1.0
