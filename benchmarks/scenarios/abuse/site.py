"""What a scenario works with: a proxy, innocents beside the abuser, and what it has to hold.

Each scenario is a function whose name is the claim. It gets a `Site`, misbehaves, and says with
`claim` what else has to be true; lost answers, foreign bytes, memory and waits of the innocents
are measured for all of them and held against the bounds of `scenario`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.abuse import clients, meter
from tests.support.abuse.echo import echo
from tests.support.abuse.innocents import Innocents, Traffic
from tests.support.abuse.proxies import Nginx, Proxy, Router
from tests.support.abuse.tally import Tally
from tests.support.origin import Origin, Script

PROXIES: dict[str, type[Proxy]] = {"turnout": Router, "nginx": Nginx}
BAD = "bad.localhost"
GOOD = "good.localhost"
_SECONDS = 4.0  # of abuse, where it goes on and on


@dataclass(frozen=True)
class Bounds:
    """What the innocents and the worker may show at most."""

    wait_ms: float = 300.0
    grows_mib: float = 32.0


@dataclass(frozen=True)
class Scenario:
    """One kind of abuse."""

    run: Callable[[Site], Awaitable[None]]
    replica: Script | None
    bounds: Bounds
    traffic: dict[str, Any]
    settings: dict[str, object]
    proxies: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of its function."""
        return self.run.__name__

    @property
    def claim(self) -> str:
        """What it says in words."""
        return self.name.replace("_", " ")


SCENARIOS: list[Scenario] = []


def scenario(
    *,
    replica: Script | None = None,
    bounds: Bounds = Bounds(),
    traffic: dict[str, Any] | None = None,
    proxies: tuple[str, ...] = tuple(PROXIES),
    **settings: object,
) -> Callable[[Callable[[Site], Awaitable[None]]], Callable[[Site], Awaitable[None]]]:
    """Add a function to the suite; `settings` are turnout's.

    `replica` serves bad.localhost; without one a fast replica does, in a process of its own.
    """

    def add(run: Callable[[Site], Awaitable[None]]) -> Callable[[Site], Awaitable[None]]:
        SCENARIOS.append(Scenario(run, replica, bounds, traffic or {}, settings, proxies))
        return run

    return add


@dataclass
class Site:
    """One proxy under abuse."""

    proxy: Proxy
    bad_address: str
    worker: int
    tally: Tally = field(default_factory=Tally)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    innocents: Innocents | None = None

    @property
    def port(self) -> int:
        """Where the proxy listens."""
        return self.proxy.port

    @property
    def is_turnout(self) -> bool:
        """Whether what only turnout promises can be asked for."""
        return isinstance(self.proxy, Router)

    def claim(self, holds: object, what: str) -> None:
        """Something that has to be true; `what` says it with its figures."""
        if not holds:
            self.broken.append(f"NOT TRUE: {what}")

    def note(self, what: str) -> None:
        """A figure worth a word."""
        self.notes.append(what)

    async def again(self, side: int, client: clients.Client, seconds: float = _SECONDS) -> None:
        """So many of a kind of client side by side, one after the other for some seconds."""
        ends_at = asyncio.get_running_loop().time() + seconds
        done = await asyncio.gather(*(clients.again_until(ends_at, client) for _ in range(side)))
        self.note(f"{sum(done):,} times")

    async def quiet(self) -> None:
        """The innocents finish what they asked, and ask no more."""
        if self.innocents is not None:
            innocents, self.innocents = self.innocents, None
            self.tally.add(await innocents.stop())


@dataclass(frozen=True)
class Row:
    """What came of one scenario at one proxy."""

    scenario: Scenario
    proxy: str
    tally: Tally
    peak_mib: float
    grown_mib: float
    seconds: float
    broken: list[str]
    notes: list[str]

    @property
    def holds(self) -> bool:
        """Whether all bounds and claims held."""
        return not self.broken


async def play(scenario: Scenario, name: str) -> Row:
    """One scenario at one proxy, from its start to its end."""
    began = time.monotonic()
    async with _site(scenario, name) as site:
        before, _ = meter.memory_mib(site.worker)
        try:
            await scenario.run(site)
        except (OSError, EOFError, TimeoutError, AssertionError, RuntimeError) as error:
            site.claim(False, f"it ran to its end: {type(error).__name__}: {error}")
        _, peak = _memory(site)
        await site.quiet()
        _, peak_after = _memory(site)
        peak = max(peak, peak_after, before)
        _judge(site, scenario.bounds, peak - before)
        took = time.monotonic() - began
        return Row(scenario, name, site.tally, peak, peak - before, took, site.broken, site.notes)


@asynccontextmanager
async def _site(scenario: Scenario, name: str) -> AsyncIterator[Site]:
    async with _replica(scenario.replica) as bad, echo() as good:
        apps = {"good": await good.line(), "bad": bad}
        async with PROXIES[name](apps, **scenario.settings) as proxy:
            worker = proxy.workers()[0]
            site = Site(proxy, bad, worker)
            parts = {"proxy": proxy.process.pid, "beside": (good.pid,), **scenario.traffic}
            traffic = Traffic(proxy.port, **parts)
            site.innocents = await Innocents(traffic).start()
            try:
                meter.forget_peak(worker)
                yield site
            finally:
                await site.quiet()


@asynccontextmanager
async def _replica(script: Script | None) -> AsyncIterator[str]:
    """The address of a replica that follows a script, or of one that answers well."""
    if script is not None:
        async with Origin(script) as origin:
            yield origin.address
    else:
        async with echo() as beside:
            yield await beside.line()


def _memory(site: Site) -> tuple[float, float]:
    try:
        return meter.memory_mib(site.worker)
    except (OSError, KeyError):  # it has ended; that is told by `_judge`, or was asked for
        return 0.0, 0.0


def _judge(site: Site, bounds: Bounds, grown_mib: float) -> None:
    tally, broken = site.tally, site.broken
    if tally.losses:
        broken.append(f"{len(tally.losses)} of {tally.sent} answers lost: {tally.losses[0].why}")
    if tally.foreign_bytes:
        broken.append(f"{tally.foreign_bytes:,} foreign bytes: {tally.foreign_example}")
    if tally.worst_ms > bounds.wait_ms:
        broken.append(f"an innocent waited {tally.worst_ms:,.0f} ms, bound {bounds.wait_ms:,.0f}")
    if grown_mib > bounds.grows_mib:
        broken.append(f"memory grew by {grown_mib:,.0f} MiB, bound {bounds.grows_mib:,.0f}")
    if "Traceback (most recent call last)" in site.proxy.said():
        broken.append(f"{site.proxy.said().count('Traceback')} tracebacks on stderr")
    is_up = site.proxy.process.poll() is None
    if is_up and site.worker not in site.proxy.workers():
        broken.append("the worker was replaced")
