"""What the control plane counts, as Prometheus families."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from control.model.kinds import AppName, RevisionName
from control.model.resources import AppView
from control.model.states import running_state
from control.ops.health import Health
from control.store import Store

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class ControlCounters:
    """Counted as it happens."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.probe_failures: Counter[tuple[AppName, RevisionName, str]] = Counter()
        self.restarts: Counter[tuple[AppName, RevisionName, str]] = Counter()
        self._reconcile = Histogram(
            "turnout_reconcile_seconds",
            "One pass of the reconciler over what changed.",
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def observe_reconcile(self, seconds: float) -> None:
        """One pass of the loop."""
        self._reconcile.observe(seconds)

    def count_probe_failure(self, app: AppName, revision: RevisionName, kind: str) -> None:
        """One failed probe."""
        self.probe_failures[app, revision, kind] += 1

    def count_restart(self, app: AppName, revision: RevisionName, reason: str) -> None:
        """One replica that failed, and is started again."""
        self.restarts[app, revision, reason] += 1

    def forget(self, is_there: Callable[[AppName, RevisionName], bool]) -> None:
        """Drop the series of revisions that are gone."""
        for counted in (self.probe_failures, self.restarts):
            for key in [key for key in counted if not is_there(key[0], key[1])]:
                del counted[key]


class ControlCollector(Collector):
    """Reads the store on each scrape."""

    def __init__(self, store: Store, health: Health, counters: ControlCounters) -> None:
        self._store = store
        self._health = health
        self._counters = counters
        self._counted: dict[str, tuple[AppView, list[tuple[str, int]]]] = {}  # by app

    def _states(self, name: str, view: AppView) -> list[tuple[str, int]]:
        """How many revisions of an app are in which state; counted once for each change of it."""
        known = self._counted.get(name)
        if known is not None and known[0] is view:
            return known[1]
        assert view.app is not None
        states = Counter(
            running_state(view.app, r, view.of(r.name)) or "Inactive"
            for r in view.revisions.values()
        )
        return sorted(states.items())

    def collect(self) -> Iterable[Metric]:
        """All families but the histogram, which collects itself."""
        revisions = GaugeMetricFamily(
            "turnout_revisions", "Revisions by running state.", labels=["app", "state"]
        )
        self._counted = {
            name: (view, self._states(name, view))
            for name, view in self._store.every()
            if view.app is not None
        }
        for name, (_, states) in self._counted.items():
            for state, n in states:
                revisions.add_metric([name, state], n)
        yield revisions
        failures = CounterMetricFamily(
            "turnout_probe_failures", "Failed probes.", labels=["app", "revision", "type"]
        )
        for key, n in sorted(self._counters.probe_failures.items()):
            failures.add_metric(list(key), n)
        yield failures
        restarts = CounterMetricFamily(
            "turnout_replica_restarts",
            "Replicas that failed and were started again.",
            labels=["app", "revision", "reason"],
        )
        for key, n in sorted(self._counters.restarts.items()):
            restarts.add_metric(list(key), n)
        yield restarts
        yield from self._apart()

    def _apart(self) -> Iterable[Metric]:
        """Which apps are left as they were, and which table each router has."""
        quarantined = GaugeMetricFamily(
            "turnout_quarantined", "1 for an app that is served as it was.", labels=["app"]
        )
        for app in self._health.quarantine.all():
            quarantined.add_metric([app], 1)
        versions = GaugeMetricFamily(
            "turnout_router_table_version", "Version that a router has applied.", labels=["router"]
        )
        for name, router in self._health.publisher.routers.items():
            versions.add_metric([name], router.applied)
        yield from (quarantined, versions)
