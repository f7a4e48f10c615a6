"""Runs the startup, readiness and liveness probes of replicas.

Knows nothing of what follows from the results: it tells a consumer that a replica has started, is
ready or not, or should be restarted. A probe never outlives its timeout. Only probes that are due
cost anything: one wheel holds all times, and `asker.py` asks.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from weakref import WeakValueDictionary

from control.model.kinds import ReplicaName
from control.model.resources import Replica
from control.model.targets import Targets
from control.model.template import Probe
from control.probes.asker import Asker, Done, Inquiry, KeptConnection, split, too_late
from control.probes.defaults import Probes, port_of
from control.probes.wheel import Wheel

log = logging.getLogger("turnout.control")

_MOMENT_S = 0.2  # how long an answer is used for all probes that ask the same
_GRID_S = 0.5


class Verdict(StrEnum):
    """What a probe's consumer can be told."""

    READY = "ready"
    UNREADY = "unready"
    STARTUP_FAILED = "startup failed"
    LIVENESS_FAILED = "liveness failed"


OnVerdict = Callable[[ReplicaName, Verdict, str], None]  # replica, verdict, what was observed
OnFailure = Callable[[ReplicaName, str], None]  # replica, probe type; for the metric


class Prober:
    """Probes every replica from `watch` until `forget`."""

    def __init__(self, on_verdict: OnVerdict, on_failure: OnFailure, targets: Targets) -> None:
        self.tell = on_verdict
        self.count_failure = on_failure
        self.targets = targets
        self.asker = Asker(targets)
        self.wheel = Wheel()
        self._questions: WeakValueDictionary[Inquiry, _Question] = WeakValueDictionary()
        self._watches: dict[ReplicaName, _Watch] = {}

    def watch(self, replica: Replica, probes: Sequence[Probes], *, is_started: bool) -> None:
        """Begin to probe; `is_started` for a replica that was already ready before we started."""
        self.forget(replica.name)
        watch = _Watch(self, replica, probes)
        self._watches[replica.name] = watch
        watch.begin(is_started=is_started)

    def question(self, inquiry: Inquiry) -> _Question:
        """The shared question of all probes that ask the same."""
        found = self._questions.get(inquiry)
        if found is None:
            found = self._questions[inquiry] = _Question()
        return found

    def watches(self, replica: ReplicaName) -> bool:
        """Whether a replica is being probed."""
        return replica in self._watches

    def forget(self, replica: ReplicaName) -> None:
        watch = self._watches.pop(replica, None)
        if watch is not None:
            watch.kept.close()

    async def close(self) -> None:
        """Stop all probes."""
        for name in list(self._watches):
            self.forget(name)
        self.wheel.close()
        await self.asker.close()


class _Question:
    """What several probes ask alike, even those of different replicas at one address.

    A probe that is due while an answer is awaited waits for that answer, or uses the last one if it
    is fresh; but never longer than it would wait for its own.
    """

    def __init__(self) -> None:
        self._asked: _Check | None = None  # the check whose answer is awaited
        self._ends_at = 0.0  # when that check gives up
        self._waiting: dict[_Check, asyncio.TimerHandle | None] = {}
        self._good_at = 0.0  # when the last good answer came

    def ask(self, check: _Check) -> None:
        """Get an answer for a check."""
        if check.is_over:
            return
        now = _now()
        if now - self._good_at < _MOMENT_S:
            check.answered("")
        elif self._asked is None:
            self._put(check)
        else:
            timeout_s, timer = check.probe.timeout_seconds, None
            if now + timeout_s < self._ends_at:
                timer = asyncio.get_running_loop().call_later(timeout_s, self._too_late, check)
            self._waiting[check] = timer

    def _put(self, check: _Check) -> None:
        now = _now()
        self._asked, self._ends_at = check, now + check.probe.timeout_seconds
        check.put(partial(self._answered, check, now))

    def _too_late(self, check: _Check) -> None:
        """Called when a check has waited in vain for a more patient one's answer.

        The next asks anew.
        """
        del self._waiting[check]
        self._asked = None
        check.answered(too_late(check.probe.timeout_seconds))

    def _answered(self, check: _Check, asked_at: float, wrong: str) -> None:
        now = _now()
        waiting, self._waiting = self._waiting, {}
        if self._asked is check:
            self._asked = None
        if not wrong:
            self._good_at = now
        check.answered(wrong)
        for other, timer in waiting.items():
            if timer is not None:
                timer.cancel()
            if not wrong and now - asked_at <= other.probe.timeout_seconds:
                other.answered("")
            elif not other.is_over:  # too late for one check may be in time for another
                self._put(other)


class _Watch:
    """The probes of one replica in order: startup alone first, then the other two."""

    def __init__(self, prober: Prober, replica: Replica, probes: Sequence[Probes]) -> None:
        self.prober = prober
        self.replica = replica
        self.kept = KeptConnection()
        self.began = asyncio.get_running_loop().time()
        self._probes = probes
        self._unready = set(range(len(probes)))  # containers that are not ready

    def begin(self, *, is_started: bool) -> None:
        """Begin to ask."""
        if is_started:
            self._unready.clear()
        for number, probes in enumerate(self._probes):
            if probes.startup is not None and not is_started:
                _Startup(self, number, probes.startup).begin()
            else:
                self.started(number, is_ready=is_started)

    def started(self, number: int, *, is_ready: bool = False) -> None:
        """Called when a container's startup probe has succeeded: begin with the others."""
        probes, readiness = self._probes[number], None
        if probes.readiness is None:
            self.prober.wheel.at(self.began, partial(self.ready, number))
        else:
            readiness = _Readiness(self, number, probes.readiness, is_ready=is_ready)
            readiness.begin()
        if probes.liveness is not None:
            _Liveness(self, number, probes.liveness, readiness).begin()

    def ready(self, number: int) -> None:
        """Called when a container is ready; the replica is once all its containers are."""
        self._unready.discard(number)
        if not self._unready:
            self.tell(Verdict.READY, "")

    def not_ready(self, number: int, seen: str) -> None:
        """Called when a container is not ready, which makes the replica not ready."""
        self._unready.add(number)
        self.tell(Verdict.UNREADY, seen)

    def tell(self, verdict: Verdict, seen: str) -> None:
        """Pass on a verdict, unless the replica is not watched any more."""
        if self.kept.is_over:
            return
        try:
            self.prober.tell(self.replica.name, verdict, seen)
        except Exception:  # whatever the consumer did, go on asking
            log.exception("event=verdict_failed replica=%s", self.replica.name)


class _Check(ABC):
    """One probe of one container: asks, judges, and asks again after its period."""

    is_steady = False  # True when nothing depends on getting the next answer soon

    def __init__(self, watch: _Watch, number: int, probe: Probe) -> None:
        self._watch = watch
        self._number = number
        self.probe = probe
        replica = watch.replica
        address = replica.ports.get(str(port_of(probe)), replica.address)
        # Our own processes' and containers' addresses are not chosen by an app; names are judged
        # each time.
        is_judged = replica.runtime != "endpoint" or watch.prober.targets.is_good_address(
            split(address)[0]
        )
        self.inquiry = Inquiry.of(probe, address, replica.app, is_judged=is_judged)
        self.question = watch.prober.question(self.inquiry)
        self.due = 0.0

    def begin(self, share: float = 0.0) -> None:
        """Ask first after the initial delay, counted from the start of the replica.

        A share of the period is added: a thousand probes at the same moment would stall the loop.
        """
        earliest = self._watch.began + self.probe.initial_delay_seconds
        self._at(max(_now(), earliest) + self.probe.period_seconds * share)

    def again(self, pause: float) -> None:
        """Ask once more, `pause` seconds after this question was due."""
        self._at(max(_now(), self.due + pause))

    def _at(self, when: float) -> None:
        if self.is_steady:  # asking many at once costs less than one by one
            when = math.ceil(when / _GRID_S) * _GRID_S
        self.due = when
        self._watch.prober.wheel.at(when, self._ask)

    def _ask(self) -> None:
        self.question.ask(self)

    @property
    def is_over(self) -> bool:
        """Whether the answer is not needed any more."""
        return self._watch.kept.is_over

    def put(self, done: Done) -> None:
        """Send the question to the replica."""
        self._watch.prober.asker.ask(self.inquiry, self._watch.kept, done)

    def answered(self, wrong: str) -> None:
        """Called with the answer."""
        if self.is_over:
            return
        if wrong:
            self._watch.prober.count_failure(self._watch.replica.name, self.probe.type)
        self.judge(wrong)

    @abstractmethod
    def judge(self, wrong: str) -> None:
        """Draw conclusions from an answer, and decide when to ask again."""


class _Startup(_Check):
    """The startup probe: until it succeeds once, no other is asked."""

    _failures = 0

    def judge(self, wrong: str) -> None:
        """Report success or too many failures, or ask again."""
        if not wrong:
            self._watch.started(self._number)
            return
        self._failures += 1
        if self._failures >= self.probe.failure_threshold:
            self._watch.tell(Verdict.STARTUP_FAILED, wrong)
            return
        self._watch.tell(Verdict.UNREADY, f"startup probe: {wrong}")
        self.again(self.probe.period_seconds)


class _Readiness(_Check):
    """The readiness probe: whether the replica may get requests."""

    def __init__(self, watch: _Watch, number: int, probe: Probe, *, is_ready: bool) -> None:
        super().__init__(watch, number, probe)
        self.is_ready = self.is_steady = is_ready
        self._successes = self._failures = 0

    def begin(self, share: float = 0.0) -> None:
        """Spread replicas that are taken for ready over the first period."""
        super().begin(random.random() if self.is_ready else 0.0)

    def judge(self, wrong: str) -> None:
        """Report ready or not ready when a threshold is reached."""
        probe = self.probe
        self._successes, self._failures = (
            (0, self._failures + 1) if wrong else (self._successes + 1, 0)
        )
        if not self.is_ready and self._successes >= probe.success_threshold:
            self.is_ready = self.is_steady = True
            self._watch.ready(self._number)
        elif wrong and (not self.is_ready or self._failures >= probe.failure_threshold):
            self.is_ready = self.is_steady = False
            self._watch.not_ready(self._number, wrong)
        # A replica that is expected to become ready is asked more often than its period says: the
        # period is how long a *change* may go unnoticed, not how long a deploy should wait.
        self.again(probe.period_seconds if self.is_ready else min(1, probe.period_seconds))


class _Liveness(_Check):
    """The liveness probe: whether the replica has to be restarted."""

    is_steady = True

    def __init__(
        self, watch: _Watch, number: int, probe: Probe, readiness: _Readiness | None
    ) -> None:
        super().__init__(watch, number, probe)
        self._failures = 0
        self._readiness = readiness  # its answer is used if both probes ask the same

    def begin(self, share: float = 0.0) -> None:
        """Wait one period: a replica that has just become ready is alive."""
        super().begin(random.random())

    def judge(self, wrong: str) -> None:
        """Restart after enough failures.

        Else ask again, together with the readiness probe if possible.
        """
        self._failures = self._failures + 1 if wrong else 0
        if self._failures >= self.probe.failure_threshold:
            self._watch.tell(Verdict.LIVENESS_FAILED, wrong)
            return
        pause, readiness = float(self.probe.period_seconds), self._readiness
        if readiness is not None and readiness.is_ready and not wrong:
            every = readiness.probe.period_seconds
            if readiness.question is self.question and every <= pause:
                pause += (readiness.due - self.due - pause) % every
        self.again(pause)


def _now() -> float:
    return asyncio.get_running_loop().time()
