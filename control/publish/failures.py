"""How many of clients' requests failed in the last seconds, as routers report it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import islice

_MOST = 1000  # revisions kept per router, so that none can fill our memory
_STALE_S = 30.0  # this long after its last report, a router's figures are dropped


class Failures:
    """Requests and errors by router and revision."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._said: dict[str, tuple[float, dict[str, tuple[int, int]]]] = {}

    def hear(self, router: str, counts: Mapping[str, tuple[int, int]]) -> None:
        """Take a router's counts of the last seconds: requests and errors by revision."""
        fresh = {r: said for r, said in self._said.items() if self._is_fresh(said[0])}
        self._said = fresh | {router: (self._now(), dict(islice(counts.items(), _MOST)))}

    def percent(self, revision: str) -> float | None:
        """The percentage of a revision's requests that failed; None when none did."""
        said = [
            counts[revision]
            for at, counts in self._said.values()
            if revision in counts and self._is_fresh(at)
        ]
        requests, errors = (sum(numbers) for numbers in zip(*said, strict=True)) if said else (0, 0)
        return round(100 * errors / requests, 1) if requests and errors else None

    def _is_fresh(self, at: float) -> bool:
        return self._now() - at < _STALE_S
