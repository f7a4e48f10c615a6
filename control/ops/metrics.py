"""What the control plane counts, as Prometheus families."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from control.history.journal import Record
from control.model.kinds import NO_REVISION, AppName, RevisionName
from control.model.resources import AppView
from control.model.states import running_state
from control.ops.health import Health
from control.store import Store

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class ControlCounters:
    """Figures that are counted as things happen."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.probe_failures: Counter[tuple[AppName, RevisionName, str]] = Counter()
        self.restarts: Counter[tuple[AppName, RevisionName, str]] = Counter()
        self.rollbacks: Counter[tuple[AppName, RevisionName]] = Counter()
        self._reconcile = Histogram(
            "turnout_reconcile_seconds",
            "One pass of the reconciler over what changed.",
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def observe_reconcile(self, seconds: float) -> None:
        """Record the duration of one pass of the reconciler."""
        self._reconcile.observe(seconds)

    def count_probe_failure(self, app: AppName, revision: RevisionName, kind: str) -> None:
        self.probe_failures[app, revision, kind] += 1

    def count_restart(self, app: AppName, revision: RevisionName, reason: str) -> None:
        """Count a replica that failed and is started again."""
        self.restarts[app, revision, reason] += 1

    def count_record(self, record: Record) -> None:
        """Count a record of the journal; a rollback that waits counts once it is complete."""
        if record.restores and not record.is_waiting:
            self.rollbacks[record.app, NO_REVISION] += 1

    def forget(self, is_there: Callable[[AppName, RevisionName], bool]) -> None:
        """Drop the series of what is gone; an empty revision name asks for the app."""
        _forget(self.probe_failures, is_there)
        _forget(self.restarts, is_there)
        _forget(self.rollbacks, is_there)


@dataclass(frozen=True, slots=True)
class _Counted:
    """The figures of one app, valid as long as it has this view."""

    view: AppView
    states: list[tuple[str, int]]  # revisions
    replicas: list[tuple[tuple[RevisionName, str], int]]  # by revision and state
    deployed: list[tuple[RevisionName, float]]  # active revisions, and when they were made


class ControlCollector(Collector):
    """Reads the store on each scrape."""

    def __init__(self, store: Store, health: Health, counters: ControlCounters) -> None:
        self._store = store
        self._health = health
        self._counters = counters
        self._counted: dict[AppName, _Counted] = {}  # by app

    def _count(self, name: AppName, view: AppView) -> _Counted:
        """The figures of an app, counted once for each of its changes."""
        known = self._counted.get(name)
        if known is not None and known.view is view:
            return known
        assert view.app is not None
        revisions = view.revisions.values()
        states = Counter(
            running_state(view.app, r, view.of(r.name)) or "Inactive" for r in revisions
        )
        replicas = Counter((r.revision, str(r.state)) for r in view.replicas.values())
        deployed = [(r.name, r.created_at) for r in revisions if r.is_active]
        return _Counted(view, sorted(states.items()), sorted(replicas.items()), deployed)

    def collect(self) -> Iterable[Metric]:
        """All families except the histogram, which collects itself."""
        self._counted = {
            name: self._count(name, view)
            for name, view in self._store.every()
            if view.app is not None
        }
        yield from self._apps()
        yield from self._failures()
        yield from self._apart()

    def _apps(self) -> Iterable[Metric]:
        """The state of each app, from its view."""
        revisions = GaugeMetricFamily(
            "turnout_revisions", "Revisions by running state.", labels=["app", "state"]
        )
        replicas = GaugeMetricFamily(
            "turnout_replicas", "Replicas by state.", labels=["app", "revision", "state"]
        )
        created = GaugeMetricFamily(
            "turnout_revision_created_timestamp_seconds",
            "When an active revision was deployed, in Unix time.",
            labels=["app", "revision"],
        )
        rollbacks = CounterMetricFamily(
            "turnout_rollbacks", "Rollbacks that led where they were to lead.", labels=["app"]
        )
        for name, counted in self._counted.items():
            for state, n in counted.states:
                revisions.add_metric([name, state], n)
            for (revision, state), n in counted.replicas:
                replicas.add_metric([name, revision, state], n)
            for revision, at in counted.deployed:
                created.add_metric([name, revision], at)
            # Begins at zero: Prometheus sees no increase when a series begins with its first event.
            rollbacks.add_metric([name], self._counters.rollbacks[name, NO_REVISION])
        yield from (revisions, replicas, created, rollbacks)

    def _failures(self) -> Iterable[Metric]:
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

    def _apart(self) -> Iterable[Metric]:
        """Quarantined apps, and the table that each router has."""
        quarantined = GaugeMetricFamily(
            "turnout_quarantined", "1 for an app that is served as it was.", labels=["app"]
        )
        for app in self._health.quarantine.all():
            quarantined.add_metric([app], 1)
        versions = GaugeMetricFamily(
            "turnout_router_table_version", "Version that a router has applied.", labels=["router"]
        )
        routers = self._health.publisher.routers
        for name, router in routers.items():
            versions.add_metric([name], router.applied)
        behind = GaugeMetricFamily(
            "turnout_router_behind_seconds",
            "How long a connected router has lacked the table in force; 0 when it has it.",
            labels=["router"],
        )
        now, late = time.monotonic(), self._health.publisher.behind()
        for name in routers:
            behind.add_metric([name], now - late[name] if name in late else 0)
        yield from (quarantined, versions, behind)


def _forget(counted: Counter[Any], is_there: Callable[[AppName, RevisionName], bool]) -> None:
    for key in [key for key in counted if not is_there(key[0], key[1])]:
        del counted[key]
