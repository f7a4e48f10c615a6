"""How much to refuse when a worker has more to do than it can, and whose requests. Pure.

What overloads a router is not one request but the queue of them, and it shows as a loop that is
late for its own clock. The share that is refused grows while it is late and shrinks when it is
not, so that what is accepted is answered soon and the rest hears "no" at once. It is taken from
the apps that ask for most: an app below the level that all could have loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_STEP_UP: Final = 0.1
_STEP_DOWN: Final = 0.02  # slowly, or every recovery would be the next overload
_MOST: Final = 0.9  # some always pass: else nobody would notice that it is over
_CONFIRMED: Final = 2  # ticks; one pause of the machine is no overload


class Shedding:
    """The share of requests to refuse, from how late each tick came."""

    __slots__ = ("_before", "_late_ticks", "_limit_s", "_ratio")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._late_ticks = 0
        self._ratio = 0.0
        self._before: Mapping[str, int] = {}

    def is_due(self, late_s: float) -> bool:
        """Take the lateness of a tick; whether `shares` is wanted, which costs a look at all."""
        if late_s < self._limit_s:
            self._late_ticks = 0
            self._ratio = max(0.0, self._ratio - _STEP_DOWN)
        else:
            self._late_ticks += 1
            if self._late_ticks >= _CONFIRMED:
                # Twice the limit, twice the step: far behind, waiting would only add to it.
                self._ratio = min(_MOST, self._ratio + _STEP_UP * late_s / self._limit_s)
        return bool(self._late_ticks or self._ratio)

    def shares(self, requests: Mapping[str, int]) -> dict[str, float]:
        """By app, the share of its requests to refuse from now on; `requests` counts all so far."""
        before, self._before = self._before, requests
        if not self._ratio:
            return {}
        made = {app: n - before.get(app, 0) for app, n in requests.items()}
        return fair_shares({app: n for app, n in made.items() if n > 0}, self._ratio)


def fair_shares(made: Mapping[str, int], ratio: float) -> dict[str, float]:
    """The share to refuse of each app, so that `ratio` of all requests are refused in all.

    Max-min fair: one level for all, and what an app asks for above it is refused.
    """
    level = _level(sorted(made.values()), (1 - ratio) * sum(made.values()))
    return {app: 1 - level / n for app, n in made.items() if n > level}


def _level(demands: list[int], capacity: float) -> float:
    left = len(demands)
    for demand in demands:
        if demand * left >= capacity:
            return capacity / left
        capacity -= demand
        left -= 1
    return float("inf")
