from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.routing.replicas import Replica
from router.routing.selection import AliasTable, less_loaded

weights = st.lists(st.integers(0, 100), min_size=1, max_size=40).filter(any)


def a_replica(in_flight: int = 0, ejected_until: float = 0.0) -> Replica:
    replica = Replica("r", "127.0.0.1:1")
    replica.in_flight = in_flight
    replica.ejected_until = replica.settled_at = ejected_until
    return replica


@given(weights)
def test_the_table_holds_exactly_the_chances_of_the_weights(given_weights: list[int]) -> None:
    table = AliasTable(list(enumerate(given_weights)))

    chances: Counter[int] = Counter()
    rows = table._rows
    for keep, own, alias in rows:
        chances[own] += keep / len(rows)
        chances[alias] += (1 - keep) / len(rows)

    for item, weight in enumerate(given_weights):
        assert chances[item] == pytest.approx(weight / sum(given_weights), abs=1e-12)


@given(weights)
def test_weight_zero_is_never_picked(given_weights: list[int]) -> None:
    table = AliasTable(list(enumerate(given_weights)))

    assert all(given_weights[table.pick()] > 0 for _ in range(200))


def test_picks_follow_the_weights() -> None:
    table = AliasTable([("a", 80), ("b", 15), ("c", 5), ("d", 0)])

    picks = Counter(table.pick() for _ in range(40_000))

    # six standard deviations: fails once in a billion runs
    assert picks["a"] / 40_000 == pytest.approx(0.80, abs=0.012)
    assert picks["b"] / 40_000 == pytest.approx(0.15, abs=0.011)
    assert picks["c"] / 40_000 == pytest.approx(0.05, abs=0.007)


def test_no_weight_at_all_is_an_error() -> None:
    with pytest.raises(ValueError):
        AliasTable([("a", 0)])


def test_the_less_loaded_of_two_is_chosen() -> None:
    busy, free = a_replica(in_flight=3), a_replica(in_flight=1)

    assert all(less_loaded((busy, free), 0.0) is free for _ in range(50))


def test_a_failing_replica_is_passed_over() -> None:
    down, up = a_replica(ejected_until=10.0), a_replica(in_flight=9)

    assert all(less_loaded((down, up), 5.0) is up for _ in range(50))
    assert any(less_loaded((down, up), 11.0) is down for _ in range(50))


def test_the_last_replica_is_tried_although_it_fails() -> None:
    only = a_replica(ejected_until=10.0)

    assert less_loaded((only,), 5.0) is only


def test_a_replica_is_not_tried_twice() -> None:
    a, b = a_replica(), a_replica()

    assert less_loaded((a, b), 0.0, (a,)) is b
    assert less_loaded((a, b), 0.0, (a, b)) is None
    assert less_loaded((a,), 0.0, (a,)) is None
