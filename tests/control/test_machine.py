"""Random histories of one app, with crashes in between, against what must always hold.

hypothesis drives commands, the planner and a real store; a crash opens the store anew. What was
acknowledged is there again, and no history leads to a state that the contract forbids.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from control.history import journal, label_history
from control.model import traffic
from control.model.clock import Moment
from control.model.errors import ControlError
from control.model.resources import AppView, ReplicaState, replace
from control.model.schema import TrafficRule
from control.publish.compiler import compile_app
from control.reconcile.planner import plan
from control.rules import commands, rollback
from control.store import Store
from router.contract.check import check
from router.contract.snapshot import Snapshot
from tests.control.support import ALICE, LIMITS
from tests.support.builders import a_body

APP = "shop"
HISTORY = 3
MEMORY = Path("/dev/shm")
MODES = ("single", "multiple", "labels")
LABELS = ("blue", "green", "prod")


class Machine(RuleBasedStateMachine):
    """One app in a store."""

    @initialize()
    def begin(self) -> None:
        # Thousands of commits: a disk's waiting for each would prove nothing here.
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.store = Store(Path(self.folder.name) / "control.db")
        self.now = 1000.0
        self.numbers = itertools.count(1)
        self.broken: set[str] = set()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()

    @property
    def view(self) -> AppView:
        return self.store.view(APP)

    def revision(self, index: int) -> str:
        names = sorted(self.view.revisions) or ["shop--none"]
        return names[index % len(names)]

    def command(self, what: Callable[[AppView, float], AppView]) -> None:
        """What a caller does: acknowledged and recorded, or refused without a trace."""
        self.now += 1
        before = self.view
        try:
            after = label_history.follow(before, what(before, self.now), self.now)
        except ControlError:
            assert self.view is before
            return
        record = journal.record(APP, before, after, ALICE, self.now)
        self.store.write(APP, before, after, record)

    # --- callers

    @rule(
        suffix=st.sampled_from(["", "v1", "v2", "v3"]),
        image=st.sampled_from(["process:demo", "process:a", "process:b"]),
        mode=st.sampled_from(MODES),
        label=st.sampled_from(["", *LABELS]),
        replicas=st.integers(0, 2),
        strategy=st.sampled_from(["switch", "recreate"]),
        is_asked=st.booleans(),
    )
    def deploy(self, **given: Any) -> None:
        body = a_body(
            given["suffix"], mode=given["mode"], image=given["image"], replicas=given["replicas"],
            targetLabel=given["label"], updateStrategy=given["strategy"],
            maxInactiveRevisions=HISTORY,
        )  # fmt: skip
        made = lambda: f"gen{next(self.numbers)}"  # noqa: E731
        is_asked = given["is_asked"]
        self.command(
            lambda view, now: commands.deploy(view, APP, body, now, made, is_asked=is_asked)
        )

    @rule(data=st.data())
    def set_traffic(self, data: st.DataObject) -> None:
        if not self.view.revisions:
            return
        names = sorted(self.view.revisions)
        chosen = data.draw(st.lists(st.sampled_from(names), unique=True, max_size=3))
        first = data.draw(st.sampled_from([0, 30, 100]))
        weights = [first, 100 - first, *([0] * len(chosen))]
        labels = data.draw(st.permutations([*LABELS, None, None]))
        rules = tuple(
            TrafficRule(revision_name=name, weight=weight, label=label)
            for name, weight, label in zip(chosen, weights, labels, strict=False)
        )
        self.command(lambda view, now: commands.set_traffic(view, rules, now))

    @rule(label=st.sampled_from(LABELS), other=st.sampled_from(LABELS), at=st.integers(0, 9),
          what=st.sampled_from(["add", "remove", "swap"]))  # fmt: skip
    def move_labels(self, label: str, other: str, at: int, what: str) -> None:
        name = self.revision(at)
        self.command(
            lambda view, now: {
                "add": lambda: commands.add_label(view, label, name, now),
                "remove": lambda: commands.remove_label(view, label, now),
                "swap": lambda: commands.swap_labels(view, label, other, now),
            }[what]()
        )

    @rule(at=st.integers(0, 9), what=st.sampled_from(["activate", "deactivate", "restart"]))
    def one_revision(self, at: int, what: str) -> None:
        name = self.revision(at)
        self.command(lambda view, now: getattr(commands, what)(view, name, now))

    @rule()
    def cancel(self) -> None:
        self.command(commands.cancel)

    @rule(mode=st.sampled_from(MODES), label=st.sampled_from(LABELS))
    def set_mode(self, mode: str, label: str) -> None:
        self.command(lambda view, now: commands.set_mode(view, mode, now, label))

    @rule(is_stopped=st.booleans())
    def stop_or_start(self, is_stopped: bool) -> None:
        self.command(lambda view, now: commands.set_stopped(view, now, is_stopped=is_stopped))

    @rule(at=st.integers(0, 20))
    def roll_back(self, at: int) -> None:
        records = self.store.journal(APP, 1 << 62, 50)
        states = [record.state for record in records if record.state is not None]
        if states and self.view.app is not None:
            state = states[at % len(states)]
            self.command(lambda view, now: rollback.roll_back(view, state, now))

    # --- the world

    @rule(rounds=st.integers(1, 6), can_stop=st.booleans())
    def reconcile(self, rounds: int, can_stop: bool) -> None:
        for _ in range(rounds):
            result = plan(
                self.view, Moment(self.now, self.now), LIMITS, lambda *_: can_stop,
                lambda revision: f"{revision}-r{next(self.numbers)}",
            )  # fmt: skip
            before = self.view
            self.store.write(APP, before, result.view, result.record)
            self.check_is_noticed(before)
            replicas = dict(self.view.replicas)
            for replica in result.starts:
                is_good = replica.revision not in self.broken
                state = ReplicaState.READY if is_good else ReplicaState.STARTING
                replicas[replica.name] = replace(
                    replicas[replica.name], state=state, address="127.0.0.1:1"
                )
            for replica in result.stops:
                del replicas[replica.name]
            after = AppView(self.view.app, self.view.revisions, replicas)
            self.store.write(APP, self.view, after)
        self.check_recreate()

    @rule(at=st.integers(0, 9))
    def break_one(self, at: int) -> None:
        self.broken.add(self.revision(at))

    @rule(at=st.integers(0, 9))
    def recover_late(self, at: int) -> None:
        name = self.revision(at)
        self.broken.discard(name)
        replicas = {
            n: replace(r, state=ReplicaState.READY, address="127.0.0.1:1")
            if r.revision == name and r.state is ReplicaState.STARTING
            else r
            for n, r in self.view.replicas.items()
        }
        before = self.view
        self.store.write(APP, before, AppView(before.app, before.revisions, replicas))

    @rule()
    def time_passes(self) -> None:
        self.now += LIMITS.progress_deadline_s + 1

    @rule()
    def crash(self) -> None:
        before = self.view
        records = self.store.journal(APP, 1 << 62, 500)
        self.store.close()
        self.store = Store(Path(self.folder.name) / "control.db")
        assert self.view == before
        assert self.store.journal(APP, 1 << 62, 500) == records

    # --- what must always hold

    def check_is_noticed(self, before: AppView) -> None:
        """What turnout changed by itself has another ETag."""
        old, new = before.app, self.view.app
        if old is not None and new is not None:
            # since when an attempt is timed is shown to nobody
            was, now = (
                [replace(r, attempt_at=0.0, attempt_since=0.0) for r in view.revisions.values()]
                for view in (before, self.view)
            )
            is_same = (old, was) == (new, now)
            assert (old.version == new.version) is is_same

    def check_recreate(self) -> None:
        """Where two must never run, no second revision has a running replica."""
        app = self.view.app
        if app is None or not app.is_single or app.candidate == "":
            return
        if app.configuration.update_strategy == "recreate":
            young = [r for r in self.view.of(app.candidate) if not r.is_leaving]
            assert not young or all(r.revision == app.candidate for r in young)

    @invariant()
    def routers_would_take_the_table(self) -> None:
        compiled = compile_app(self.view) if hasattr(self, "store") else None
        if compiled is not None:
            table = Snapshot(domain="localhost", apps=(compiled,), version=1, epoch="e")
            taken = check(orjson.loads(orjson.dumps(table)))
            assert isinstance(taken, Snapshot), taken

    @invariant()
    def traffic_is_sound(self) -> None:
        if not hasattr(self, "store") or self.view.app is None:
            return
        app, shares = self.view.app, traffic.shares(self.view)
        weights = [share.weight for share in shares.values() if share.weight]
        assert sum(weights) in (0, 100)
        labels = [label for share in shares.values() for label in share.labels]
        assert len(labels) == len(set(labels))
        if app.is_single and app.serving:
            assert len(weights) <= 1
        for rule_ in traffic.rules_of(app):
            if rule_.revision_name is not None:
                assert rule_.revision_name in self.view.revisions
                revision = self.view.revisions[rule_.revision_name]
                assert revision.is_active or app.is_single or not (rule_.weight or rule_.label)

    @invariant()
    def history_is_bounded(self) -> None:
        if not hasattr(self, "store") or self.view.app is None:
            return
        app = self.view.app
        exempt = {app.latest, app.latest_ready, app.serving, app.candidate}
        exempt |= {r.revision_name or "" for r in traffic.rules_of(app) if r.label}
        inactive = [r for r in self.view.revisions.values() if not r.is_active]
        rest = [r for r in inactive if r.name not in exempt]
        # However many rested in the last switch, a rollback may need them all.
        last = max((r.last_active_at for r in inactive if r.has_been_ready), default=0.0)
        older = [r for r in rest if r.last_active_at != last or not r.has_been_ready]
        assert len(rest) <= HISTORY or not older

    @invariant()
    def names_that_count_exist(self) -> None:
        if not hasattr(self, "store") or self.view.app is None:
            return
        app = self.view.app
        for name in (app.latest, app.serving, app.candidate, *app.pending.values()):
            assert name == "" or name in self.view.revisions


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
