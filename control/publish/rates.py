"""Clients' requests by revision, now and over the last hour, as routers count them.

Pure. Each report holds what came since the one before; the reports of all routers are added.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

Key = tuple[str, str]  # (app, revision); the revision is empty for answers of the edge itself

_WINDOW_S = 5.0  # of what is shown as now: longer than the pause between two quiet reports
_LEAST_S = 0.5  # that a report covers here: shorter ones are added up
_LEAST_TOLD_S = 0.001  # by a router: a rate is divided by it
_STALE_S = 12.0  # after its last report a router is gone, and so is what it counted
_STEP_S = 60.0  # of the history
_STEPS = 60
_MOST_REVISIONS = 500  # with a history
_RESTING_STEPS = 2  # without a request, after which a revision's history makes room
_MOST_NAME = 128
_MOST_LISTED = 1000  # revisions in one report
_MOST_BUCKETS = 20

# Upper bounds of routers' buckets in seconds (router.routing.stats.BUCKETS); a test compares.
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0)


@dataclass(slots=True)
class Count:
    """Requests, how many failed, and how many took how long."""

    requests: int = 0
    errors: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def add(self, requests: int, errors: int, buckets: Sequence[int]) -> None:
        self.requests += requests
        self.errors += errors
        for at, n in enumerate(buckets[: len(self.buckets)]):
            self.buckets[at] += n

    def quantile(self, q: float) -> float | None:
        """Seconds within which a share `q` of the requests was answered; None without requests.

        Requests within a bucket are taken to be spread evenly, as in Prometheus.
        """
        total = sum(self.buckets)
        if not total:
            return None
        rank, below, lower = q * total, 0, 0.0
        for n, upper in zip(self.buckets, BOUNDS, strict=False):
            if n and below + n >= rank:
                return lower + (upper - lower) * (rank - below) / n
            below, lower = below + n, upper
        return BOUNDS[-1]

    def quantiles(self) -> tuple[float | None, float | None]:
        """The median and the 99th percentile."""
        return self.quantile(0.5), self.quantile(0.99)


@dataclass(frozen=True, slots=True)
class Rate:
    """The figures of a revision or an app at one moment."""

    per_s: float = 0.0
    errors: float = 0.0  # a share from 0 to 1
    p50: float | None = None
    p99: float | None = None
    share: float | None = None  # of its app's requests

    def wire(self) -> list[float | None]:
        """The form that the console reads: rounded, with times in milliseconds."""
        return [
            round(self.per_s, 1 if self.per_s < 100 else None),
            round(self.errors, 4),
            _ms(self.p50),
            _ms(self.p99),
            None if self.share is None else round(self.share, 4),
        ]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


Counts = dict[Key, tuple[int, int, tuple[int, ...]]]


@dataclass(slots=True)
class _Report:
    at: float
    seconds: float
    counts: Counts

    def add(self, at: float, seconds: float, counts: Counts) -> None:
        """What came right after it, of as many revisions as one report may name."""
        self.at = at
        self.seconds += seconds
        for key, (requests, errors, buckets) in counts.items():
            known = self.counts.get(key)
            if known is not None:
                longest = zip_longest(known[2], buckets, fillvalue=0)
                both = tuple(map(sum, longest))
                self.counts[key] = (known[0] + requests, known[1] + errors, both)
            elif len(self.counts) < _MOST_LISTED:
                self.counts[key] = (requests, errors, buckets)


class Rates:
    """The last seconds of every router, and the last hour of every revision."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._routers: dict[str, deque[_Report]] = {}
        self._history: dict[Key, deque[tuple[int, Count]]] = {}
        self.watchers = 0  # while there are any, routers report every second
        self.heard = 0  # reports so far; if it has not risen, rates need not be shown again

    def hear(
        self, router: str, seconds: float, revisions: Iterable[tuple[str, str, int, int, list[int]]]
    ) -> None:
        """Take a router's report; figures beyond the bounds are dropped."""
        now = self._now()
        counts = {
            (app, revision): (requests, min(errors, requests), tuple(buckets[:_MOST_BUCKETS]))
            for (app, revision, requests, errors, buckets), _ in zip(
                revisions, range(_MOST_LISTED), strict=False
            )
            if len(app) <= _MOST_NAME and len(revision) <= _MOST_NAME
        }
        reports = self._routers.setdefault(router, deque())
        seconds = max(seconds, _LEAST_TOLD_S)
        if reports and reports[-1].seconds < _LEAST_S:
            reports[-1].add(now, seconds, counts)
        else:
            reports.append(_Report(now, seconds, dict(counts)))
        covered = sum(report.seconds for report in reports)
        while len(reports) > 1 and covered - reports[0].seconds >= _WINDOW_S:
            covered -= reports.popleft().seconds
        self._routers = {r: d for r, d in self._routers.items() if now - d[-1].at < _STALE_S}
        for key, (requests, errors, buckets) in counts.items():
            self._remember(key, now, requests, errors, buckets)
        self.heard += 1

    def _remember(
        self, key: Key, now: float, requests: int, errors: int, buckets: Sequence[int]
    ) -> None:
        step = int(now // _STEP_S)
        steps = self._history.get(key)
        if steps is None:
            if len(self._history) >= _MOST_REVISIONS and not self._makes_room(step):
                return
            steps = self._history[key] = deque(maxlen=_STEPS)
        if not steps or steps[-1][0] != step:
            steps.append((step, Count()))
            self._history[key] = self._history.pop(key)  # whose last request is oldest is first
        steps[-1][1].add(requests, errors, buckets)

    def _makes_room(self, step: int) -> bool:
        """Forget who was asked least recently, but nobody whom clients still ask.

        Or more busy revisions than there is room for would drive out each other, all the time.
        """
        key, steps = next(iter(self._history.items()))
        if step - steps[-1][0] < _RESTING_STEPS:
            return False
        del self._history[key]
        return True

    def now(self) -> tuple[dict[Key, Rate], dict[str, Rate]]:
        """Rates by revision and by app, for those that had requests in the last seconds."""
        per_s: dict[Key, float] = {}
        counts: dict[Key, Count] = {}
        now = self._now()
        for reports in self._routers.values():
            seconds = sum(report.seconds for report in reports)
            if now - reports[-1].at >= _STALE_S or seconds <= 0:
                continue
            for report in reports:
                for key, (requests, errors, buckets) in report.counts.items():
                    per_s[key] = per_s.get(key, 0.0) + requests / seconds
                    counts.setdefault(key, Count()).add(requests, errors, buckets)
        apps: dict[str, Count] = {}
        app_per_s: dict[str, float] = {}
        for (app, revision), count in counts.items():
            apps.setdefault(app, Count()).add(count.requests, count.errors, count.buckets)
            app_per_s[app] = app_per_s.get(app, 0.0) + per_s[app, revision]
        by_app = {app: _rate(count, app_per_s[app]) for app, count in apps.items()}
        served: dict[str, float] = {}
        for (app, revision), n in per_s.items():
            served[app] = served.get(app, 0.0) + (n if revision else 0.0)
        by_revision = {
            (app, revision): _rate(
                count,
                per_s[app, revision],
                per_s[app, revision] / served[app] if revision and served[app] else None,
            )
            for (app, revision), count in counts.items()
        }
        return by_revision, by_app

    def history(self, app: str, revision: str) -> list[list[float | None]]:
        """The last hour by minute: minutes ago, requests, errors, p50 and p99 in milliseconds."""
        step = int(self._now() // _STEP_S)
        return [
            [step - at, count.requests, count.errors, *map(_ms, count.quantiles())]
            for at, count in self._history.get((app, revision), ())
            if step - at < _STEPS
        ]


def _rate(count: Count, per_s: float, share: float | None = None) -> Rate:
    errors = count.errors / count.requests if count.requests else 0.0
    return Rate(per_s, errors, *count.quantiles(), share)
