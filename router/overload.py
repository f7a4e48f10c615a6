"""How much to refuse when a worker has more to do than it can. Pure.

What overloads a router is not one request but the queue of them, and it shows as a loop that is
late for its own clock. The share that is refused grows while it is late and shrinks when it is
not, so that what is accepted is answered soon and the rest hears "no" at once.
"""

from __future__ import annotations

_STEP_UP = 0.1
_STEP_DOWN = 0.02  # slowly, or every recovery would be the next overload
_MOST = 0.9  # some always pass: else nobody would notice that it is over
_CONFIRMED = 2  # ticks; one pause of the machine is no overload


class Shedding:
    """The share of requests to refuse, from how late each tick came."""

    __slots__ = ("_late_ticks", "_limit_s", "_ratio")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._late_ticks = 0
        self._ratio = 0.0

    def ratio_after(self, late_s: float) -> float:
        """The share from now on, 0 to 0.9, after a tick that came `late_s` seconds late."""
        if late_s < self._limit_s:
            self._late_ticks = 0
            self._ratio = max(0.0, self._ratio - _STEP_DOWN)
        else:
            self._late_ticks += 1
            if self._late_ticks >= _CONFIRMED:
                # Twice the limit, twice the step: far behind, waiting would only add to it.
                self._ratio = min(_MOST, self._ratio + _STEP_UP * late_s / self._limit_s)
        return self._ratio
