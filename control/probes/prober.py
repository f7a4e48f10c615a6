"""Asks replicas how they are: startup, readiness and liveness probes.

Knows nothing of what is done about the answers: it tells a consumer that a replica started, is
ready or not, or should be restarted. A probe never outlives its timeout. Only what is due costs
anything: one wheel has all the times, and `asker.py` asks.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from weakref import WeakValueDictionary

from control.model.kinds import ReplicaName
from control.model.resources import Replica
from control.model.targets import Targets
from control.model.template import Probe, Template
from control.probes.asker import Asker, Done, Inquiry, KeptConnection, split, too_late
from control.probes.wheel import Wheel

log = logging.getLogger("turnout.control")

_MOMENT_S = 0.2  # in which an answer is good for all probes that ask the same
_GRID_S = 0.5


class Verdict(StrEnum):
    """What a probe's consumer can be told."""

    READY = "ready"
    UNREADY = "unready"
    STARTUP_FAILED = "startup failed"
    LIVENESS_FAILED = "liveness failed"


OnVerdict = Callable[[ReplicaName, Verdict, str], None]  # replica, verdict, what was seen
OnFailure = Callable[[ReplicaName, str], None]  # replica, probe type; for the metric


def _default(kind: str, delay_s: int, period_s: int, timeout_s: int, failures: int) -> Probe:
    return Probe.model_validate(
        {
            "type": kind,
            "tcpSocket": {"port": 1},  # the replica's own is asked, whatever stands here
            "initialDelaySeconds": delay_s,
            "periodSeconds": period_s,
            "timeoutSeconds": timeout_s,
            "failureThreshold": failures,
        }
    )


# What ACA gives an app with ingress that brings no probe of its own
_DEFAULTS = (
    _default("Startup", 1, 1, 3, 240),
    _default("Readiness", 3, 5, 5, 48),
    _default("Liveness", 0, 10, 1, 3),
)
_TRAFFIC = _default("Readiness", 0, 5, 5, 3)


@dataclass(frozen=True, slots=True)
class Probes:
    """The probes of one replica; None where there is none."""

    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None


def probes_of(
    template: Template, *, has_ingress: bool, other_ports: Container[str] = ()
) -> list[Probes]:
    """Those of each container; an ingress brings defaults for the main one's that are not given.

    `other_ports` are those that are asked elsewhere than where traffic goes. When readiness is
    asked there only, the port that traffic uses has to accept as well.
    """
    by_type: list[dict[str, Probe]] = [{p.type: p for p in c.probes} for c in template.containers]
    main, *others = by_type
    if has_ingress:
        for probe in _DEFAULTS:
            main.setdefault(probe.type, probe)
    every = [
        Probes(found.get("Startup"), found.get("Readiness"), found.get("Liveness"))
        for found in (main, *others)
        if found or found is main
    ]
    asked = [str(_port_of(p.readiness)) for p in every if p.readiness is not None]
    if has_ingress and all(port in other_ports for port in asked):
        every.append(Probes(readiness=_TRAFFIC))
    return every


def _port_of(probe: Probe) -> int | None:
    asked = probe.http_get or probe.tcp_socket
    return asked.port if asked is not None else None


class Prober:
    """Probes every replica it was told of until it is told to forget it."""

    def __init__(self, on_verdict: OnVerdict, on_failure: OnFailure, targets: Targets) -> None:
        self.tell = on_verdict
        self.count_failure = on_failure
        self.targets = targets
        self.asker = Asker(targets)
        self.wheel = Wheel()
        self._questions: WeakValueDictionary[Inquiry, _Question] = WeakValueDictionary()
        self._watches: dict[ReplicaName, _Watch] = {}

    def watch(self, replica: Replica, probes: Sequence[Probes], *, is_started: bool) -> None:
        """Begin to probe; `is_started` for a replica that was ready before we were."""
        self.forget(replica.name)
        watch = _Watch(self, replica, probes)
        self._watches[replica.name] = watch
        watch.begin(is_started=is_started)

    def question(self, inquiry: Inquiry) -> _Question:
        """One for all probes that ask the same."""
        found = self._questions.get(inquiry)
        if found is None:
            found = self._questions[inquiry] = _Question()
        return found

    def watches(self, replica: ReplicaName) -> bool:
        """Whether a replica is being probed."""
        return replica in self._watches

    def forget(self, replica: ReplicaName) -> None:
        """Stop probing a replica."""
        watch = self._watches.pop(replica, None)
        if watch is not None:
            watch.kept.close()

    async def close(self) -> None:
        """Stop probing everything."""
        for name in list(self._watches):
            self.forget(name)
        self.wheel.close()
        await self.asker.close()


class _Question:
    """What several probes ask alike, also those of different replicas at one address.

    Who asks while an answer is on its way waits for that one, or uses the last if it is fresh; but
    no longer than it would wait for its own.
    """

    def __init__(self) -> None:
        self._asked: _Check | None = None  # whose answer is waited for
        self._ends_at = 0.0  # when that one gives up
        self._waiting: dict[_Check, asyncio.TimerHandle | None] = {}
        self._good_at = 0.0  # when the answer was good

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
        """It waited in vain for one that is more patient; who comes next asks anew."""
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
            elif not other.is_over:  # what is too late for one may be in time for the other
                self._put(other)


class _Watch:
    """The probes of one replica, in their order: startup alone first, then the other two."""

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
        """A container's startup probe succeeded: now the others."""
        probes, readiness = self._probes[number], None
        if probes.readiness is None:
            self.prober.wheel.at(self.began, partial(self.ready, number))
        else:
            readiness = _Readiness(self, number, probes.readiness, is_ready=is_ready)
            readiness.begin()
        if probes.liveness is not None:
            _Liveness(self, number, probes.liveness, readiness).begin()

    def ready(self, number: int) -> None:
        """A replica is ready when all its containers are."""
        self._unready.discard(number)
        if not self._unready:
            self.tell(Verdict.READY, "")

    def not_ready(self, number: int, seen: str) -> None:
        """One that is not is enough."""
        self._unready.add(number)
        self.tell(Verdict.UNREADY, seen)

    def tell(self, verdict: Verdict, seen: str) -> None:
        """Pass a verdict on, unless nobody wants to know any more."""
        if self.kept.is_over:
            return
        try:
            self.prober.tell(self.replica.name, verdict, seen)
        except Exception:  # whatever a verdict led to, the replica is asked again
            log.exception("event=verdict_failed replica=%s", self.replica.name)


class _Check(ABC):
    """One probe of one container: asks, judges, asks again after its period."""

    is_steady = False  # nobody waits for the next answer

    def __init__(self, watch: _Watch, number: int, probe: Probe) -> None:
        self._watch = watch
        self._number = number
        self.probe = probe
        replica = watch.replica
        address = replica.ports.get(str(_port_of(probe)), replica.address)
        # Where our own processes and containers are is no app's choice; a name is judged each time.
        is_judged = replica.runtime != "endpoint" or watch.prober.targets.is_good_address(
            split(address)[0]
        )
        self.inquiry = Inquiry.of(probe, address, replica.app, is_judged=is_judged)
        self.question = watch.prober.question(self.inquiry)
        self.due = 0.0

    def begin(self, share: float = 0.0) -> None:
        """Ask first after the initial delay, which counts from the start of the replica.

        Then after a share of the period: a thousand at the same moment would be a stall.
        """
        earliest = self._watch.began + self.probe.initial_delay_seconds
        self._at(max(_now(), earliest) + self.probe.period_seconds * share)

    def again(self, pause: float) -> None:
        """Ask once more, `pause` seconds after this question was due."""
        self._at(max(_now(), self.due + pause))

    def _at(self, when: float) -> None:
        if self.is_steady:  # many at once cost less than one by one
            when = math.ceil(when / _GRID_S) * _GRID_S
        self.due = when
        self._watch.prober.wheel.at(when, self._ask)

    def _ask(self) -> None:
        self.question.ask(self)

    @property
    def is_over(self) -> bool:
        """Whether nobody wants to know any more."""
        return self._watch.kept.is_over

    def put(self, done: Done) -> None:
        """Put the question to the replica."""
        self._watch.prober.asker.ask(self.inquiry, self._watch.kept, done)

    def answered(self, wrong: str) -> None:
        """The question was answered."""
        if self.is_over:
            return
        if wrong:
            self._watch.prober.count_failure(self._watch.replica.name, self.probe.type)
        self.judge(wrong)

    @abstractmethod
    def judge(self, wrong: str) -> None:
        """What an answer means, and when to ask again."""


class _Startup(_Check):
    """Until it succeeds once, nothing else is asked."""

    _failures = 0

    def judge(self, wrong: str) -> None:
        """Started, failed too often, or asked again."""
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
    """Whether requests may come."""

    def __init__(self, watch: _Watch, number: int, probe: Probe, *, is_ready: bool) -> None:
        super().__init__(watch, number, probe)
        self.is_ready = self.is_steady = is_ready
        self._successes = self._failures = 0

    def begin(self, share: float = 0.0) -> None:
        """A replica that is taken for ready is asked at some moment of the first period."""
        super().begin(random.random() if self.is_ready else 0.0)

    def judge(self, wrong: str) -> None:
        """Ready, not ready, or as before."""
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
        # A replica that is expected to come is asked more often than its period says: the
        # period is how long a *change* may go unnoticed, not how long a deploy should wait.
        self.again(probe.period_seconds if self.is_ready else min(1, probe.period_seconds))


class _Liveness(_Check):
    """Whether it has to be restarted."""

    is_steady = True

    def __init__(
        self, watch: _Watch, number: int, probe: Probe, readiness: _Readiness | None
    ) -> None:
        super().__init__(watch, number, probe)
        self._failures = 0
        self._readiness = readiness  # when it asks, that answer is used if it is to the same

    def begin(self, share: float = 0.0) -> None:
        """Not at once: what has just become ready lives."""
        super().begin(random.random())

    def judge(self, wrong: str) -> None:
        """Failed often enough, or asked again, when the readiness probe asks if that may be."""
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
