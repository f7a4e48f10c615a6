"""Adds up workers' counters. Pure; a total never falls, not even when a worker dies."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from router.routing.reports import RevisionReport, WorkerReport
from router.routing.stats import ACCEPT_ERRORS, BUCKETS
from router.sources.counted import Counts, Key


class HistogramTotal:
    """The bucket counts and sum of several histograms together."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, counts: list[int], total: float) -> None:
        self.counts = [a + b for a, b in zip(self.counts, counts, strict=True)]
        self.total += total


class RevisionTotal:
    """The counters of one revision over all workers."""

    __slots__ = (
        "codes",
        "duration",
        "ejections",
        "in_flight",
        "request_bytes",
        "response_bytes",
        "retries",
        "tunnels",
        "upstream_duration",
    )

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.retries: dict[str, int] = {}
        self.duration = HistogramTotal()
        self.upstream_duration = HistogramTotal()
        self.ejections = 0
        self.request_bytes = 0
        self.response_bytes = 0
        self.in_flight = 0
        self.tunnels = 0

    def report(self) -> RevisionReport:
        """The counters in a worker's form of report, without what is in flight."""
        return {
            "codes": self.codes,
            "retries": self.retries,
            "duration": (self.duration.counts, self.duration.total),
            "upstream_duration": (self.upstream_duration.counts, self.upstream_duration.total),
            "ejections": self.ejections,
            "request_bytes": self.request_bytes,
            "response_bytes": self.response_bytes,
            "in_flight": 0,
            "tunnels": 0,
        }

    @property
    def requests(self) -> int:
        """Requests answered or given up."""
        return sum(self.codes.values())

    @property
    def errors(self) -> int:
        """Requests that failed through a server's fault."""
        return sum(n for code, n in self.codes.items() if code.startswith("5"))

    def add(self, report: RevisionReport, *, is_alive: bool) -> None:
        """Add one worker's report; a worker that has ended has nothing in flight."""
        for code, n in report["codes"].items():
            self.codes[code] = self.codes.get(code, 0) + n
        for reason, n in report["retries"].items():
            self.retries[reason] = self.retries.get(reason, 0) + n
        self.duration.add(*report["duration"])
        self.upstream_duration.add(*report["upstream_duration"])
        self.ejections += report["ejections"]
        self.request_bytes += report["request_bytes"]
        self.response_bytes += report["response_bytes"]
        if is_alive:
            self.in_flight += report["in_flight"]
            self.tunnels += report["tunnels"]


class Totals:
    __slots__ = ("_left", "accept_errors", "errors", "log_dropped", "overhead", "revisions")

    def __init__(self) -> None:
        self.log_dropped = 0  # access log lines that could not be written
        self.accept_errors = dict.fromkeys(ACCEPT_ERRORS, 0)
        self.revisions: dict[Key, RevisionTotal] = {}
        self.errors: dict[tuple[str, str], int] = {}
        self.overhead = HistogramTotal()
        self._left: dict[Key, float] = {}  # when a series was first missing from the table

    def add(self, report: WorkerReport, *, is_alive: bool) -> None:
        """Add one worker's whole report."""
        for app, revision, counters in report["revisions"]:
            total = self.revisions.setdefault((app, revision), RevisionTotal())
            total.add(counters, is_alive=is_alive)
        for app, reason, n in report["errors"]:
            self.errors[app, reason] = self.errors.get((app, reason), 0) + n
        self.overhead.add(*report["overhead"])
        self.log_dropped += report["log_dropped"]
        # Workers of older code, before an upgrade, may not have counted this.
        for reason, n in report.get("accept_errors", {}).items():
            self.accept_errors[reason] = self.accept_errors.get(reason, 0) + n

    def by_revision(self) -> dict[Key, Counts]:
        """Requests, errors and durations of each revision."""
        return {k: (t.requests, t.errors, t.duration.counts) for k, t in self.revisions.items()}

    def report(self) -> WorkerReport:
        """The totals in a worker's form of report, for the supervisor after an upgrade."""
        return {
            "revisions": [(app, name, t.report()) for (app, name), t in self.revisions.items()],
            "errors": [(app, reason, n) for (app, reason), n in self.errors.items()],
            "overhead": (self.overhead.counts, self.overhead.total),
            "accept_errors": self.accept_errors,
            "log_dropped": self.log_dropped,
        }

    def forget(self, is_there: Callable[[str, str], bool], now: float, lifetime_s: float) -> None:
        """Drop the series of what left the table `lifetime_s` seconds ago.

        `is_there` says whether the table has a revision, or with an empty name, the app.
        """
        keys = self.revisions.keys() | {(app, "") for app, _ in self.errors}
        absent = [key for key in keys if not is_there(*key)]
        self._left = {key: self._left.get(key, now) for key in absent}
        gone = {key for key, at in self._left.items() if now - at > lifetime_s}
        if gone:
            self.revisions = {k: v for k, v in self.revisions.items() if k not in gone}
            self.errors = {k: v for k, v in self.errors.items() if (k[0], "") not in gone}


class Failures:
    """Requests and errors of each revision over the last seconds."""

    def __init__(self, window_s: float = 10.0) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, dict[Key, tuple[int, int]]]] = deque()

    def sample(self, now: float, totals: Totals) -> None:
        """Remember the current counts."""
        counts = {key: (t.requests, t.errors) for key, t in totals.revisions.items()}
        self._samples.append((now, counts))
        while len(self._samples) > 2 and self._samples[1][0] <= now - self._window_s:
            self._samples.popleft()

    def recent(self) -> dict[str, tuple[int, int]]:
        """Requests and errors of the last seconds, for each revision with an error."""
        if len(self._samples) < 2:
            return {}
        first, last = self._samples[0][1], self._samples[-1][1]
        found = {}
        for key, (requests, errors) in last.items():
            before = first.get(key, (0, 0))
            if key[1] and errors > before[1]:
                found[key[1]] = (requests - before[0], errors - before[1])
        return found


class Shares:
    """Each revision's observed share of its app's requests over the last minute."""

    def __init__(self, window_s: float = 60.0) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, dict[Key, int]]] = deque()

    def sample(self, now: float, totals: Totals) -> None:
        """Remember the current counts."""
        self._samples.append((now, {k: t.requests for k, t in totals.revisions.items()}))
        while len(self._samples) > 2 and self._samples[1][0] < now - self._window_s:
            self._samples.popleft()

    def ratios(self) -> dict[Key, float]:
        """Each revision's share, 0 to 1, for apps that had requests."""
        if len(self._samples) < 2:
            return {}
        first, last = self._samples[0][1], self._samples[-1][1]
        made = {k: n - first.get(k, 0) for k, n in last.items() if k[1]}
        by_app: dict[str, int] = {}
        for (app, _), n in made.items():
            by_app[app] = by_app.get(app, 0) + n
        return {k: n / by_app[k[0]] for k, n in made.items() if by_app[k[0]]}


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums by name of several counts."""
    total: dict[str, int] = {}
    for some in counts:
        for name, n in some.items():
            total[name] = total.get(name, 0) + n
    return total
