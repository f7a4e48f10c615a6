"""Choices: a revision by weight (alias method), then the less loaded of two replicas.

Pure. Weight 0 is never picked; a pick costs the same for two revisions as for two hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import random
from typing import Generic, TypeVar

from router.routing.replicas import Replica

T = TypeVar("T")


class AliasTable(Generic[T]):
    """Walker's alias method as built by Vose (1991): O(n) to build, O(1) per pick.

    Weights are whole non-negative numbers of any sum. The build uses integers only, so the
    chances are exact and a zero weight cannot leak in through rounding.
    Raises: ValueError when no weight is above zero.
    """

    __slots__ = ("_n", "_rows")

    def __init__(self, weighted: Sequence[tuple[T, int]]) -> None:
        live = [(item, weight) for item, weight in weighted if weight > 0]
        if not live:
            raise ValueError("at least one weight must be above zero")
        self._n = len(live)
        self._rows = _build(live)

    def pick(self) -> T:
        """One item, drawn by weight."""
        point = random() * self._n
        slot = int(point)
        keep, own, alias = self._rows[slot]
        return own if point - slot < keep else alias

    @property
    def items(self) -> list[T]:
        """Every item that can be picked, in the order given."""
        return [own for _, own, _ in self._rows]


def _build(live: list[tuple[T, int]]) -> tuple[tuple[float, T, T], ...]:
    n = len(live)
    total = sum(weight for _, weight in live)
    scaled = [weight * n for _, weight in live]  # each slot holds `total`
    small = [i for i in range(n) if scaled[i] < total]
    large = [i for i in range(n) if scaled[i] >= total]
    alias = list(range(n))
    keep = [1.0] * n
    while small and large:
        low, high = small.pop(), large[-1]
        keep[low] = scaled[low] / total
        alias[low] = high
        scaled[high] -= total - scaled[low]
        if scaled[high] < total:
            small.append(large.pop())
    return tuple((keep[i], live[i][0], live[alias[i]][0]) for i in range(n))


def less_loaded(
    replicas: tuple[Replica, ...], now: float, tried: tuple[Replica, ...] = ()
) -> Replica | None:
    """The less loaded of two replicas, drawn from those that are not passed over.

    Two choices avoid the herd that "always the least loaded" causes when many workers each see only
    their own load. Replicas in `tried` are never returned, and an ejected replica only when there
    is no other: a probable failure beats a certain one.
    """
    n = len(replicas)
    if n == 1 and not tried:
        return replicas[0]
    if n > 1:
        i = int(random() * n)
        j = int(random() * (n - 1))
        first, second = replicas[i], replicas[j if j < i else j + 1]
        if second.in_flight < first.in_flight:
            first, second = second, first
        if (first.settled_at <= now or first.takes(now)) and first not in tried:
            return first
        if (second.settled_at <= now or second.takes(now)) and second not in tried:
            return second
    return _soonest_back([r for r in replicas if r not in tried], now)


def _soonest_back(replicas: list[Replica], now: float) -> Replica | None:
    return min(replicas, key=lambda r: (max(r.ejected_until, now), r.in_flight), default=None)


def with_room(
    replicas: tuple[Replica, ...], now: float, tried: tuple[Replica, ...]
) -> Replica | None:
    """The least loaded replica that has room and is not ejected; None if there is none."""
    left = [
        r for r in replicas if r.in_flight < r.limit and r.ejected_until <= now and r not in tried
    ]
    return min(left, key=lambda r: r.in_flight, default=None)
