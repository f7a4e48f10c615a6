"""A control plane's pure core, driven by hand."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

from control.changes.changes import Changes
from control.changes.places import Places
from control.history.caller import Caller
from control.model.clock import Clock, Moment, SystemClock
from control.model.resources import AppView, ReplicaState, replace
from control.model.schema import AppBody, TrafficRule
from control.model.targets import Targets
from control.ops.metrics import ControlCounters
from control.probes.prober import Prober
from control.publish.publisher import Publisher
from control.reconcile.limits import Limits
from control.reconcile.planner import Plan, plan
from control.reconcile.reconciler import Reconciler
from control.reconcile.replica_events import MakeProber
from control.rules import commands
from control.runtime.endpoint import EndpointRuntime
from control.settings import ControlSettings
from control.store import Store
from tests.support.builders import a_body

ALICE, BOB = Caller("alice (turnout/1)"), Caller("bob (turnout/1)")
LIMITS = Limits(progress_deadline_s=600, crash_loop_exits=3, drain_timeout_s=30)


def changes_of(store: Store) -> Changes:
    """Commands on a store, for apps of endpoints on loopback."""
    runtimes = {"endpoint": EndpointRuntime(Targets(["127.0.0.0/8"]))}
    return Changes(store, runtimes, "localhost", Places(store, "local", "local"))


def a_reconciler(
    settings: ControlSettings,
    store: Store,
    publisher: Publisher,
    clock: Clock | None = None,
    make_prober: MakeProber | None = None,
) -> Reconciler:
    """As the control plane wires it, unless time and probes are the test's."""
    network = partial(Prober, targets=Targets(settings.endpoint_networks))
    return Reconciler(
        settings,
        store,
        publisher,
        ControlCounters(),
        clock or SystemClock(),
        make_prober or network,
    )


class World:
    """One app: commands change it, `settle` plays reconciler, runtime, prober and routers."""

    def __init__(self, name: str = "shop") -> None:
        self.name = name
        self.view = AppView(None)
        self.now = 1000.0
        self.wall_is_off = 0.0
        self.broken: set[str] = set()  # revisions whose replicas never become ready
        self._numbers = itertools.count()

    def new_suffix(self) -> str:
        return f"gen{next(self._numbers)}"

    def new_replica(self, revision: str) -> str:
        return f"{revision}-r{next(self._numbers)}"

    def deploy(self, body: AppBody | None = None, **given: Any) -> str:
        """Deploy and return the name of the latest revision."""
        self.now += 1
        body = body or a_body(**given)
        self.view = commands.deploy(self.view, self.name, body, self.now, self.new_suffix)
        return self.app.latest

    @property
    def app(self) -> Any:
        assert self.view.app is not None
        return self.view.app

    @property
    def moment(self) -> Moment:
        return Moment(self.now, self.now + self.wall_is_off)

    def plan(self, *, can_stop: bool = True, has_left: bool = False) -> Plan:
        """One look of the planner; `has_left`: routers only wait for answers of what drains."""

        def may_stop(_: str, is_late: bool) -> bool:
            return can_stop or (has_left and is_late)

        result = plan(self.view, self.moment, LIMITS, may_stop, self.new_replica)
        self.view = result.view
        return result

    def settle(self) -> None:
        """Until nothing is left to do."""
        for _ in range(100):
            before = self.view
            result = self.plan()
            for replica in result.starts:
                state = ReplicaState.STARTING
                if replica.revision not in self.broken:
                    state = ReplicaState.READY
                self.set(replica.name, state=state, address=f"127.0.0.1:{next(self._numbers) + 1}")
            for replica in result.stops:
                self.view = self.view.without_replica(replica.name)
            if before == self.view:
                return
        raise AssertionError("the plan never settles")

    def set(self, replica: str, **changes: Any) -> None:
        """Something happened to a replica."""
        self.view = self.view.with_replica(replace(self.view.replicas[replica], **changes))

    def active(self) -> list[str]:
        """The suffixes of the active revisions."""
        return sorted(r.suffix for r in self.view.revisions.values() if r.is_active)

    def traffic(self, **weights: int) -> None:
        """Set weights by suffix."""
        rules = tuple(
            TrafficRule(latest_revision=True, weight=weight)
            if suffix == "latest"
            else TrafficRule(revision_name=f"{self.name}--{suffix}", weight=weight)
            for suffix, weight in weights.items()
        )
        self.view = commands.set_traffic(self.view, rules, self.now)
