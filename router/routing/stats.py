"""What a worker counts: plain integers, by revision and for the whole process.

Counting is an increment, never a look-up by label: each route holds its revision's counters. The
supervisor adds up the workers' figures and exposes them (`metrics.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container
from typing import Final

from router.routing.reports import RevisionReport, WorkerReport
from router.routing.retry_budget import RetryBudget

# stands for requests to hosts of no app, and requests that could not be read
UNKNOWN_APP: Final = "_unknown"

# Seconds. From the cost of a hop on loopback to the 240 s limit, about 2.5x apart: 12 buckets keep
# a revision at some 40 series (Traefik lost a third of its rate to wider metrics, its #8118).
BUCKETS: Final[tuple[float, ...]] = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    1.0,
    2.5,
    10.0,
    60.0,
)

ACCEPT_ERRORS: Final = ("descriptors", "unanswered")


class Histogram:
    """Counts per bucket (not cumulative), and the sum in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        at = 0
        for bound in BUCKETS:  # most durations are short, so a search from below ends soon
            if seconds <= bound:
                break
            at += 1
        self.counts[at] += 1
        self.total += seconds


class RevisionStats:
    """The counters of one revision; they outlive the table."""

    __slots__ = (
        "budget",
        "codes",
        "duration",
        "ejections",
        "in_flight",
        "left_at",
        "request_bytes",
        "response_bytes",
        "retries",
        "tunnels",
        "upstream_duration",
    )

    def __init__(self) -> None:
        self.budget = RetryBudget()
        self.codes: defaultdict[int, int] = defaultdict(int)
        self.duration = Histogram()
        self.upstream_duration = Histogram()
        self.retries: defaultdict[str, int] = defaultdict(int)
        self.ejections = 0  # how often one of its replicas was passed over for a while
        self.request_bytes = 0
        self.response_bytes = 0
        self.in_flight = 0
        self.tunnels = 0
        self.left_at = 0.0  # when the revision left the table; 0 while it is in the table

    @property
    def requests(self) -> int:
        """Requests that are over."""
        return sum(self.codes.values())

    def record(
        self,
        status: int,
        *,
        seconds: float,
        upstream_seconds: float | None,
        bytes_in: int,
        bytes_out: int,
    ) -> None:
        """Count a request that is over; `upstream_seconds` is None if it reached no replica."""
        self.in_flight -= 1
        self.codes[status] += 1
        self.request_bytes += bytes_in
        self.response_bytes += bytes_out
        self.duration.observe(seconds)
        if upstream_seconds is not None:
            self.upstream_duration.observe(upstream_seconds)

    def report(self) -> RevisionReport:
        return {
            "codes": {str(code): n for code, n in self.codes.items()},
            "duration": (self.duration.counts, self.duration.total),
            "upstream_duration": (self.upstream_duration.counts, self.upstream_duration.total),
            "retries": self.retries,
            "ejections": self.ejections,
            "request_bytes": self.request_bytes,
            "response_bytes": self.response_bytes,
            "in_flight": self.in_flight,
            "tunnels": self.tunnels,
        }


class WorkerStats:
    __slots__ = (
        "_left",
        "accept_errors",
        "errors",
        "log_dropped",
        "overhead",
        "revisions",
        "stalled",
    )

    def __init__(self) -> None:
        # Clients turned away because descriptors ran out, and clients dropped without an answer.
        self.accept_errors = dict.fromkeys(ACCEPT_ERRORS, 0)
        self.revisions: dict[tuple[str, str], RevisionStats] = {}
        self.errors: defaultdict[tuple[str, str], int] = defaultdict(int)  # (app, reason)
        # when an app with errors was first missing from the table
        self._left: dict[str, float] = {}
        self.overhead = Histogram()
        self.stalled = 0  # connection ends that currently read slower than they are sent to
        self.log_dropped = 0  # access log lines that could not be written

    def report(self) -> WorkerReport:
        """The counters as JSON, for the channel to the supervisor."""
        return {
            "revisions": [
                (app, revision, stats.report())
                for (app, revision), stats in self.revisions.items()
                if stats.codes or stats.in_flight  # of 10,000 apps, most have had no request
            ],
            "errors": [(app, reason, n) for (app, reason), n in self.errors.items()],
            "overhead": (self.overhead.counts, self.overhead.total),
            "accept_errors": self.accept_errors,
            "log_dropped": self.log_dropped,
        }

    def of(self, app: str, revision: str) -> RevisionStats:
        """The counters of a revision, made on first use."""
        stats = self.revisions.get((app, revision))
        if stats is None:
            stats = self.revisions[app, revision] = RevisionStats()
        return stats

    def requests_by_app(self) -> dict[str, int]:
        """Requests begun so far, answered or not; needed only while the loop is late."""
        made: dict[str, int] = {}
        for (app, _), stats in self.revisions.items():
            made[app] = made.get(app, 0) + stats.requests + stats.in_flight
        return made

    def second_passed(self, now: float, lifetime_s: float, apps: Container[str]) -> None:
        """Called once a second: advance the retry budgets and drop counters that have expired.

        `apps` are those in the table. A revision's counters are dropped `lifetime_s` after it left
        the table: revisions come and go, and series that never expire would grow without end.
        """
        gone = []
        for key, stats in self.revisions.items():
            if stats.codes:
                stats.budget.second_passed(stats.requests)
            if stats.left_at and now - stats.left_at > lifetime_s and not stats.in_flight:
                gone.append(key)
        for key in gone:
            del self.revisions[key]
        self._drop_errors(now, lifetime_s, apps)

    def _drop_errors(self, now: float, lifetime_s: float, apps: Container[str]) -> None:
        """Drop the counts of the edge's own answers for apps that are gone."""
        absent = {app for app, _ in self.errors if app not in apps and app != UNKNOWN_APP}
        self._left = {app: self._left.get(app, now) for app in absent}
        for app in [app for app, at in self._left.items() if now - at > lifetime_s]:
            for key in [key for key in self.errors if key[0] == app]:
                del self.errors[key]
            self.revisions.pop((app, ""), None)
