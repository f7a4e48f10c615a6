"""Every abuser at once beside innocents, while tables change, workers die and code is upgraded.

A request on a connection whose worker was killed while it was in flight is counted apart: nobody
could have answered it. Everything else has to be answered, with its own token.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import median
from subprocess import TimeoutExpired

from tests.soak.abusers import SCRIPTS, abusers, app_of
from tests.support.abuse import clients, meter
from tests.support.abuse.echo import echo
from tests.support.abuse.innocents import Innocents, Traffic
from tests.support.abuse.proxies import Router
from tests.support.abuse.tally import Loss, Tally
from tests.support.origin import Origin
from tests.support.turnout import command_of, is_alive, run

_LIMITS = {
    "head_timeout_s": 5, "body_idle_timeout_s": 5, "response_timeout_s": 5, "write_timeout_s": 5,
    "tunnel_idle_s": 5, "workers": 2, "access_log": True,
    # A machine that does other things too keeps a loop waiting for longer than the default; what
    # abusers do must not come near either.
    "overload_lag_s": 1,
}  # fmt: skip
_INNOCENTS = 12  # an app each: what is shed is shed from the apps that ask for most
_RELOAD_S, _ROTATE_S, _SAMPLE_S = 2.0, 3.0, 1.0
_NEWS_S = 0.1  # until a client hears that a connection it is about to use has ended
_KILL_WINDOW_S = 3.0  # in which a new connection may wait for a worker to be replaced


@dataclass
class Kill:
    """A worker that was killed, and whose connections went with it."""

    at: float
    gone_at: float  # a killed process closes its connections when a core is free for that
    client_ports: set[int]

    def explains(self, loss: Loss) -> bool:
        """Whether a request was in flight on one of its connections."""
        is_in_flight = loss.sent_at <= self.gone_at + _NEWS_S and self.at <= loss.lost_at
        return is_in_flight and loss.local_port in self.client_ports


@dataclass
class Outcome:
    """What a soak has shown."""

    tally: Tally = field(default_factory=Tally)
    kills: list[Kill] = field(default_factory=list)
    upgrades: list[tuple[float, float]] = field(default_factory=list)  # from, to
    reloads: int = 0
    rotations: int = 0
    abuse: dict[str, int] = field(default_factory=dict)
    memory: dict[int, list[float]] = field(default_factory=dict)  # MiB by worker, one a second
    errors: list[str] = field(default_factory=list)

    @property
    def lost(self) -> list[Loss]:
        """Requests that should have been answered and were not."""
        return [x for x in self.tally.losses if not any(k.explains(x) for k in self.kills)]

    @property
    def peak_mib(self) -> float:
        """The most that one worker had."""
        return max((max(samples) for samples in self.memory.values()), default=0.0)

    @property
    def growth_mib(self) -> float:
        """How much a worker grew between its youth and its end; of those that lived a while."""
        grown = []
        for samples in self.memory.values():
            fifth = len(samples) // 5
            if fifth >= 5:
                grown.append(median(samples[-fifth:]) - median(samples[fifth : 2 * fifth]))
        return max(grown, default=0.0)

    def worst_ms(self, *, is_in_peace: bool) -> float:
        """The longest wait of an innocent; in peace is while no worker was being replaced."""
        windows = [(k.at - 0.5, k.at + _KILL_WINDOW_S) for k in self.kills]
        windows += [(a, b + _KILL_WINDOW_S) for a, b in self.upgrades]
        return max(
            (
                ms
                for at, ms in self.tally.waits_ms
                if is_in_peace != any(a <= at + ms / 1000 and at <= b for a, b in windows)
            ),
            default=0.0,
        )

    def _amid(self, loss: Loss) -> str:
        """What was going on when a request was lost."""
        events = [(k.at, f"kill of {len(k.client_ports)} connections") for k in self.kills]
        events += [(at, "upgrade begun") for at, _ in self.upgrades]
        events += [(at, "upgrade over") for _, at in self.upgrades]
        before = max((e for e in events if e[0] <= loss.lost_at), default=(0.0, "the start"))
        took = loss.lost_at - loss.sent_at
        return f"sent {loss.sent_at - before[0]:.2f} s after {before[1]}, lost {took:.2f} s later"

    def __str__(self) -> str:
        tally = self.tally
        waits = sorted(ms for _, ms in tally.waits_ms) or [0.0]
        return "\n".join((
            f"innocents: {tally.sent:,} sent, {len(self.lost)} lost, {tally.foreign_bytes} foreign"
            f" bytes; {len(tally.losses) - len(self.lost)} were in flight on a killed worker",
            f"waits: median {median(waits):.0f} ms, p99 {waits[len(waits) * 99 // 100]:.0f} ms, "
            f"worst {self.worst_ms(is_in_peace=True):.0f} ms, and while workers were replaced "
            f"{self.worst_ms(is_in_peace=False):.0f} ms",
            f"memory of a worker: peak {self.peak_mib:.0f} MiB, growth {self.growth_mib:+.1f} MiB",
            f"{len(self.kills)} kills, {len(self.upgrades)} upgrades, {self.reloads} reloads, "
            f"{self.rotations} rotations of the log",
            f"abuse: {', '.join(f'{name} {n:,}' for name, n in self.abuse.items())}",
            *(f"lost: {loss.why}; {self._amid(loss)}" for loss in self.lost[:10]),
            *self.errors[:10],
        ))  # fmt: skip


def raised(said: str) -> list[str]:
    """The exceptions of the tracebacks in a text, each once, and how often."""
    ends = re.findall(r"^Traceback .*\n(?: .*\n)*(\S.*)", said, re.MULTILINE)
    return [f"{n} x {what[:150]}" for what, n in Counter(ends).items()]


class Operator:
    """Does to a router what happens to routers."""

    def __init__(self, router: Router, outcome: Outcome) -> None:
        self._router = router
        self._outcome = outcome

    def workers(self) -> list[int]:
        """Those that serve, the youngest last."""
        ours = (p for p in self._router.workers() if "router.worker.worker" in command_of(p))
        return sorted(ours)

    async def reload(self) -> None:
        self._router.process.send_signal(signal.SIGHUP)
        self._outcome.reloads += 1

    async def rotate(self) -> None:
        log = self._router.access_log
        if log.exists():
            log.rename(log.with_suffix(".1"))
            self._outcome.rotations += 1

    async def kill(self) -> None:
        """The youngest worker, so that the others grow old."""
        if len(workers := self.workers()) < 2:
            return
        os.kill(workers[-1], signal.SIGSTOP)  # else its connections are others when it dies
        while not meter.is_stopped(workers[-1]):
            await asyncio.sleep(0)
        # /proc/net/tcp is read in pieces, and a row may be passed over while others come and go.
        looks = (meter.client_ports(workers[-1], self._router.port) for _ in range(3))
        ports = set().union(*looks)
        at = time.monotonic()
        os.kill(workers[-1], signal.SIGKILL)
        while is_alive(workers[-1]):
            await asyncio.sleep(0.005)
        self._outcome.kills.append(Kill(at, time.monotonic(), ports))

    async def upgrade(self) -> None:
        began = time.monotonic()
        state = self._router.folder / "state"
        try:
            done = await asyncio.to_thread(run, "upgrade", "--state", str(state))
            trouble = done.stderr if done.returncode else ""
        except TimeoutExpired as error:
            trouble = str(error)
        self._outcome.upgrades.append((began, time.monotonic()))
        if trouble:
            said = self._router.said()[-2000:]
            self._outcome.errors.append(f"upgrade: {trouble}; the router said: {said}")

    async def look(self) -> None:
        for pid in self.workers():
            try:
                resident, _ = meter.memory_mib(pid)
            except (OSError, KeyError):
                continue  # it has just ended
            self._outcome.memory.setdefault(pid, []).append(resident)


async def soak(seconds: float, *, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """All of it, for so long."""
    outcome = Outcome()
    async with AsyncExitStack() as stack:
        good = await stack.enter_async_context(echo())
        address = await good.line()
        apps = {f"good{n}": address for n in range(_INNOCENTS)}
        hosts = tuple(f"{app}.localhost" for app in apps)
        for script in SCRIPTS:
            apps[app_of(script)] = (await stack.enter_async_context(Origin(script))).address
        router = Router(apps, **_LIMITS)
        await stack.enter_async_context(router)
        traffic = Traffic(
            router.port,
            hosts,
            rate=100,
            connections=_INNOCENTS,
            proxy=router.process.pid,
            beside=(good.pid,),
        )
        innocents = await Innocents(traffic).start()
        operator = Operator(router, outcome)
        ends_at = asyncio.get_running_loop().time() + seconds

        async def every(pause_s: float, what: clients.Client) -> None:
            while asyncio.get_running_loop().time() + pause_s < ends_at:
                await asyncio.sleep(pause_s)
                await what()

        async def tell() -> None:
            now = {pid: samples[-1] for pid, samples in outcome.memory.items()}
            mib = ", ".join(f"{now[p]:.0f}" for p in operator.workers() if p in now)
            say(f"{ends_at - asyncio.get_running_loop().time():.0f} s to go; {mib} MiB")

        async def abuse(name: str, pause_s: float, client: clients.Client) -> None:
            outcome.abuse[name] = await clients.again_until(ends_at, client, pause_s)

        await asyncio.gather(
            every(_RELOAD_S, operator.reload),
            every(_ROTATE_S, operator.rotate),
            every(_SAMPLE_S, operator.look),
            every(max(7.0, seconds / 20), operator.kill),
            every(max(10.0, seconds / 3.5), operator.upgrade),
            every(30.0, tell),
            *(abuse(*abuser) for abuser in abusers(router.port)),
        )
        outcome.tally = await innocents.stop()
        outcome.errors += raised(router.said())
    return outcome


async def main(seconds: float) -> int:
    """Soak and print; 0 when nothing was lost or foreign and memory and waits were bounded."""
    outcome = await soak(seconds, say=lambda line: print(line, flush=True))
    print(outcome)
    held = (
        not outcome.lost
        and not outcome.tally.foreign_bytes
        and not outcome.errors
        and outcome.peak_mib < 128
        and outcome.growth_mib < 16
        and outcome.worst_ms(is_in_peace=True) <= 300
    )
    print("holds" if held else "BROKEN: 0 lost, 0 foreign bytes, 128 MiB, growth 16 MiB, 300 ms")
    return 0 if held else 1
