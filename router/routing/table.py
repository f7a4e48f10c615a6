"""Builds the routing table: apps, revisions, labels and custom domains become plain hosts.

Routes are never changed; an app that changed gets new routes, compiled beside the table. The next
table takes over the dicts of the one before and changes what differs, within one turn of the loop:
a swap costs what changed, not what there is. A look-up is one dict hit.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

from router.contract import matching, outcomes
from router.contract.outcomes import Outcome
from router.contract.snapshot import App, Fault, Revision
from router.routing.replicas import Replica, ReplicaRegistry
from router.routing.selection import AliasTable
from router.routing.stats import RevisionStats, WorkerStats


class FaultRoute:
    """A fault that can act; it ends by itself, whether or not a newer table arrives.

    Its end is computed once by the monotonic clock, because the wall clock may jump.
    """

    __slots__ = ("abort_percent", "delay_percent", "delay_s", "ends_at", "outcome", "spec")

    def __init__(self, fault: Fault) -> None:
        self.spec = fault
        self.ends_at = time.monotonic() + (fault.seconds or fault.until - time.time())
        self.delay_s = fault.delay_ms / 1000
        self.delay_percent = fault.delay_percent
        self.abort_percent = fault.abort_percent
        self.outcome = Outcome(
            fault.abort_status, "FaultInjected", "A fault was injected into this revision."
        )


class RevisionRoute:
    """A revision that can be chosen: its ready replicas and its counters."""

    __slots__ = ("app", "fault", "name", "replicas", "stats", "weight")

    def __init__(
        self,
        app: str,
        revision: Revision,
        replicas: tuple[Replica, ...],
        stats: RevisionStats,
        fault: FaultRoute | None,
    ) -> None:
        self.app = app
        self.name = revision.name
        self.weight = revision.weight
        self.replicas = replicas
        self.stats = stats
        self.fault = fault

    def __repr__(self) -> str:
        return f"<RevisionRoute {self.name} weight={self.weight} replicas={len(self.replicas)}>"

    def can_spare(self, replica: Replica, now: float) -> bool:
        """Whether at least half of the replicas are left if this failing one is ejected.

        If not, the revision itself is at fault, and ejecting more would only overload the rest.
        """
        others = sum(1 for r in self.replicas if r is not replica and r.ejected_until <= now)
        return 2 * others >= len(self.replicas)

    def exposed(self, replica: Replica, reason: str) -> bytes:
        """The header lines that tell a client which replica answered, and why."""
        return (
            f"X-Turnout-Revision: {self.name}\r\nX-Turnout-Replica: {replica.id}\r\n"
            f"X-Turnout-Reason: {reason}\r\n"
        ).encode()


class Route:
    """Where a host leads: a split by weight, one revision, or an answer of the edge.

    `reason` is the value of `X-Turnout-Reason`: weight, label or revision.
    """

    __slots__ = ("app", "fixed", "outcome", "reason", "split")

    def __init__(
        self,
        app: str,
        reason: str,
        *,
        split: AliasTable[RevisionRoute] | None = None,
        fixed: RevisionRoute | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        self.app = app
        self.reason = reason
        self.split = split
        self.fixed = fixed
        self.outcome = outcome

    def __repr__(self) -> str:
        return f"<Route {self.app} by {self.reason} {self.outcome or self.fixed or self.split}>"

    def revision(self) -> RevisionRoute | None:
        """The revision for this request; None when the edge must answer with `outcome`."""
        if self.split is not None:
            return self.split.pick()
        return self.fixed

    def named(self, revision: str) -> RevisionRoute | None:
        """A revision of this route by its name; None if it has no such revision."""
        ways = self.split.items if self.split is not None else (self.fixed,)
        return next((way for way in ways if way is not None and way.name == revision), None)

    def others(self, but: RevisionRoute) -> list[RevisionRoute]:
        """The other revisions of the same split that have weight."""
        return [r for r in self.split.items if r is not but] if self.split is not None else []


class AppRoutes:
    """One compiled app: its hosts with their routes, and the replicas it may use."""

    __slots__ = ("hosts", "replicas", "spec", "stats")

    def __init__(self, spec: App) -> None:
        self.spec = spec
        self.hosts: dict[bytes, Route] = {}
        self.replicas: set[Replica] = set()
        self.stats: set[RevisionStats] = set()

    @property
    def wildcards(self) -> int:
        """How many of the app's custom domains are wildcards."""
        return sum(host.startswith("*.") for host in self.spec.hosts)


class RoutingTable:
    """One version of the table; `version` and `epoch` name the snapshot it was built from.

    Once a newer table has been made from it, only the newer one may be used.
    """

    __slots__ = ("apps", "domain", "epoch", "hosts", "inside", "version", "wildcards")

    def __init__(
        self,
        domain: str,
        version: int,
        epoch: str,
        *,
        apps: dict[str, AppRoutes],
        hosts: dict[bytes, Route],
        inside: dict[bytes, Route],
        wildcards: int,
    ) -> None:
        self.domain = domain
        self.version = version
        self.epoch = epoch
        self.apps = apps
        self.hosts = hosts
        self.inside = inside  # hosts of internal apps
        self.wildcards = wildcards

    def __repr__(self) -> str:
        return f"<RoutingTable version={self.version} apps={len(self.apps)}>"

    def lookup(self, key: bytes) -> Route | Outcome:
        """The route of a folded host, or the edge's answer when there is none."""
        route = self.hosts.get(key)
        if route is not None:
            return route
        return self._missed(key, self.hosts if self.wildcards else {}, external=True)

    def lookup_inside(self, key: bytes) -> Route | Outcome:
        """The route of a folded host for a client that may reach internal apps."""
        return self.inside.get(key) or self._missed(key, self.inside, external=False)

    def _missed(self, key: bytes, hosts: dict[bytes, Route], *, external: bool) -> Route | Outcome:
        if not self.version:
            return outcomes.NO_TABLE
        host = key.decode("ascii")
        wild = hosts.get(matching.wildcard_of(host).encode())
        if wild is not None and matching.is_plain(host):
            return wild

        def is_app(name: str) -> bool:
            owner = self.apps.get(name)
            return owner is not None and owner.spec.external is external

        return matching.unknown(host, self.domain, is_app, wild.app if wild is not None else "")


EMPTY: Final = RoutingTable("localhost", 0, "", apps={}, hosts={}, inside={}, wildcards=0)


class Compiler:
    """Builds tables for one worker, reusing the routes of apps that did not change."""

    def __init__(self, registry: ReplicaRegistry, stats: WorkerStats) -> None:
        self._registry = registry
        self._stats = stats
        # by revision: an unchanged fault goes on when its routes are replaced
        self._faults: dict[str, FaultRoute] = {}

    def app(self, spec: App, domain: str) -> AppRoutes:
        routes = AppRoutes(spec)
        ways = {r.name: self._revision(spec, r, routes) for r in spec.revisions}
        # many hosts of an app may lead the same way and share a route
        made: dict[tuple[str, str], Route] = {}
        for host, reason, revision in matching.hosts_of(spec, domain):
            key = (reason, revision.name if revision is not None else "")
            if key not in made:
                made[key] = _route(spec, reason, revision, ways)
            routes.hosts[host.encode()] = made[key]
        return routes

    def _revision(self, spec: App, revision: Revision, routes: AppRoutes) -> RevisionRoute:
        replicas = tuple(
            self._registry.get(revision.name, e.replica, e.address) for e in revision.endpoints
        )
        stats = self._stats.of(spec.name, revision.name)
        stats.left_at = 0.0
        routes.replicas.update(replicas)
        routes.stats.add(stats)
        return RevisionRoute(spec.name, revision, replicas, stats, self._fault(revision))

    def _fault(self, revision: Revision) -> FaultRoute | None:
        if revision.fault is None:
            self._faults.pop(revision.name, None)
            return None
        known = self._faults.get(revision.name)
        if known is None or known.spec != revision.fault:
            known = self._faults[revision.name] = FaultRoute(revision.fault)
        return known

    def table(
        self,
        old: RoutingTable,
        *,
        domain: str,
        version: int,
        epoch: str,
        changed: Iterable[AppRoutes],
        dropped: Iterable[str] = (),
    ) -> RoutingTable:
        """The table after `old`, with some apps changed and some gone.

        `old` must not be used again.
        """
        is_first = not old.version
        apps, wildcards = ({} if is_first else old.apps), old.wildcards
        hosts = {True: {}, False: {}} if is_first else {True: old.hosts, False: old.inside}
        new = {routes.spec.name: routes for routes in changed}
        for name in (*dropped, *new):
            gone = apps.pop(name, None)
            if gone is not None:
                wildcards -= gone.wildcards
                for host in gone.hosts:
                    hosts[gone.spec.external].pop(host, None)
        apps.update(new)
        for routes in new.values():
            wildcards += routes.wildcards
            hosts[routes.spec.external].update(routes.hosts)
        return RoutingTable(
            domain,
            version,
            epoch,
            apps=apps,
            hosts=hosts[True],
            inside=hosts[False],
            wildcards=wildcards,
        )

    def retire(self, old: AppRoutes, new: AppRoutes | None) -> None:
        """Called after a swap: replicas and revisions that only the old routes named leave the
        table.
        """
        for replica in old.replicas - (new.replicas if new else set()):
            self._registry.depart(replica)
        for stats in old.stats - (new.stats if new else set()):
            stats.left_at = time.monotonic()
        kept = {revision.name for revision in new.spec.revisions} if new else set()
        for revision in old.spec.revisions:
            if revision.name not in kept:
                self._faults.pop(revision.name, None)
        self._registry.forget_departed()


def _route(
    spec: App, reason: str, revision: Revision | None, ways: Mapping[str, RevisionRoute]
) -> Route:
    refusal = matching.refusal(spec, revision)
    if refusal is not None:
        return Route(spec.name, reason, outcome=refusal)
    if revision is not None:
        return Route(spec.name, reason, fixed=ways[revision.name])
    split = AliasTable([(ways[r.name], r.weight) for r in matching.drawn(spec)])
    return Route(spec.name, reason, split=split)
