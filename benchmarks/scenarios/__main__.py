"""Faults under load: `python -m benchmarks.scenarios`; what was asked, what was lost, and when.

`python -m benchmarks.scenarios abuse [PART OF A NAME…]` plays hostile peers instead, and `… cost`
measures what a change, and none, costs with many apps.

Every fault runs the real `turnout router` with two workers in front of replicas made here, and
a client that counts each request that was not answered with 200.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.scenarios import control, idle
from benchmarks.scenarios.abuse import report
from benchmarks.scenarios.abuse.site import PROXIES
from tests.support.load import Load
from tests.support.origin import OK, Connection, Origin
from tests.support.turnout import Turnout, children, run, until

_RATE = 400.0
_SETTLE_S = 1.5
_RAW = b"GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"


@dataclass
class Row:
    """What became of one scenario."""

    name: str
    asked: int
    lost: int
    note: str = ""


@asynccontextmanager
async def router(*addresses: str, **settings: object) -> AsyncIterator[tuple[Turnout, Path]]:
    """A router on these replicas, with the state directory it uses."""
    with tempfile.TemporaryDirectory(prefix="turnout-scenario-") as folder:
        routes = Path(folder) / "routes.toml"
        endpoints = ", ".join(f'"{a}"' for a in addresses)
        routes.write_text(
            '[[app]]\nname = "shop"\nmode = "multiple"\n[[app.revision]]\nname = "shop--v1"\n'
            f"weight = 100\nendpoints = [{endpoints}]\n"
        )
        flags = ("--routes", str(routes), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        server = Turnout("router", *flags, state=folder, workers=2, cwd=None, **settings)
        await asyncio.to_thread(server.wait_ready)
        try:
            yield server, Path(folder)
        finally:
            await asyncio.to_thread(server.stop)


async def under_load(
    name: str, server: Turnout, fault: Callable[[], Awaitable[None]], note: str = ""
) -> Row:
    """Steady load before, during and after a fault."""
    load = Load(server.port, "shop.localhost", _RATE)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(_SETTLE_S)
    await fault()
    await asyncio.sleep(_SETTLE_S)
    load.stop()
    outcome = await running
    return Row(name, outcome.sent, len(outcome.failures), note)


async def kill_workers() -> Row:
    """SIGKILL each worker in turn."""
    async with Origin() as one, Origin() as two, router(one.address, two.address) as (server, _):

        async def fault() -> None:
            for worker in children(server.process.pid):
                os.kill(worker, signal.SIGKILL)
                await asyncio.sleep(_SETTLE_S)
                await asyncio.to_thread(until, lambda: server.call("GET", "/readyz")[0] == 200)

        return await under_load(
            "SIGKILL of both workers, one by one", server, fault, "those in flight on the worker"
        )


async def stuck_worker() -> Row:
    """SIGSTOP one worker; the heartbeat replaces it."""
    async with Origin() as one, router(one.address, worker_silence_s=2) as (server, _):

        async def fault() -> None:
            stuck = children(server.process.pid)[0]
            os.kill(stuck, signal.SIGSTOP)
            await asyncio.to_thread(until, lambda: stuck not in children(server.process.pid))

        return await under_load(
            "a worker stops dead", server, fault, "its connections, for worker_silence_s"
        )


async def upgrade() -> Row:
    """`turnout upgrade`."""
    async with Origin() as one, router(one.address) as (server, folder):

        async def fault() -> None:
            done = await asyncio.to_thread(run, "upgrade", "--state", str(folder))
            assert done.returncode == 0, done.stderr

        return await under_load("turnout upgrade", server, fault)


async def replica_dies() -> Row:
    """One of two replicas stops listening and resets what it has."""
    async with Origin() as one:
        two = await Origin().__aenter__()
        async with router(one.address, two.address) as (server, _):

            async def fault() -> None:
                await two.__aexit__()

            return await under_load("one of two replicas dies", server, fault)


async def replica_stalls() -> Row:
    """One of two replicas accepts and never answers."""

    async def never(c: Connection) -> None:
        await c.reader.read()

    async with (
        Origin() as one,
        Origin(never) as two,
        router(one.address, two.address, response_timeout_s=0.5, max_in_flight_per_replica=8) as (
            server,
            _,
        ),
    ):

        async def fault() -> None:
            await asyncio.sleep(0)

        return await under_load(
            "one of two replicas stalls (0.5 s response timeout)",
            server,
            fault,
            "504s: a request that reached it may not be sent twice in doubt",
        )


async def replica_cuts() -> Row:
    """Every answer of one replica is cut after another byte; the other one is well."""
    cut = 0

    async def cuts(c: Connection) -> None:
        nonlocal cut
        await c.head()
        cut = (cut + 1) % len(OK)
        await c.send(OK[:cut])
        c.reset()

    async with (
        Origin() as one,
        Origin(cuts) as two,
        router(one.address, two.address, slow_start_s=0) as (server, _),
    ):

        async def fault() -> None:
            await asyncio.sleep(0)

        return await under_load(
            "one of two replicas cuts answers at every byte",
            server,
            fault,
            "cut after the head had been passed on",
        )


async def clients_cut() -> Row:
    """Clients leave after every byte of a request, beside a steady load."""
    async with Origin() as one, router(one.address) as (server, _):

        async def fault() -> None:
            for end in range(1, len(_RAW)):
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(_RAW[:end])
                await writer.drain()
                writer.transport.abort()

        return await under_load("clients leave at every byte of a request", server, fault)


async def accept_queue() -> Row:
    """4,000 connections at once that say nothing."""
    async with Origin() as one, router(one.address, head_timeout_s=2) as (server, _):

        async def fault() -> None:
            opened = await asyncio.gather(
                *(asyncio.open_connection("127.0.0.1", server.port) for _ in range(4000)),
                return_exceptions=True,
            )
            for found in opened:
                if not isinstance(found, BaseException):
                    found[1].close()

        return await under_load("4,000 connections at once that say nothing", server, fault)


async def overload() -> Row:
    """Five times what the replica carries: who is accepted is answered soon."""
    busy = asyncio.Semaphore(1)

    async def slow(c: Connection) -> None:
        while True:
            await c.head()
            async with busy:
                await asyncio.sleep(0.005)  # 200 a second at most
            await c.send(OK)

    limits = {"max_in_flight_per_replica": 8, "max_queue_per_revision": 40}
    async with Origin(slow) as one, router(one.address, **limits) as (server, _):
        accepted: list[float] = []
        refused: list[float] = []
        ends_at = time.monotonic() + 5

        async def ask(number: int) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            due = time.monotonic() + number * 0.001
            while time.monotonic() < ends_at:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                due += 0.2
                began = time.monotonic()
                writer.write(_RAW)
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(size)
                (accepted if b" 200 " in head else refused).append(time.monotonic() - began)
            writer.close()

        await asyncio.gather(*(ask(n) for n in range(200)))
        note = (
            f"{len(accepted) / 5:.0f}/s answered, p99 {_p99(accepted):.0f} ms; "
            f"{len(refused) / 5:.0f}/s got 503, p99 {_p99(refused):.0f} ms"
        )
        return Row("5 x the load a replica carries (200/s)", len(accepted) + len(refused), 0, note)


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100] * 1000 if seconds else 0.0


SCENARIOS = (
    kill_workers, stuck_worker, upgrade, replica_dies, replica_stalls, replica_cuts, clients_cut,
    accept_queue, overload,
)  # fmt: skip


def main() -> int:
    """The faults, the costs, or the abuse, whose exit code is 0 only when all its bounds held."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scenarios")
    parts = parser.add_subparsers(dest="part")
    parts.add_parser("faults", help="what breaks and is changed under load (the default)")
    hostile = parts.add_parser("abuse", help="hostile clients and replicas beside innocent ones")
    hostile.add_argument("names", nargs="*", metavar="NAME", help="part of a scenario's name")
    hostile.add_argument("--proxy", choices=[*PROXIES, "both"], default="both")
    hostile.add_argument("--list", action="store_true", help="name the scenarios and their bounds")
    costs = parts.add_parser("cost", help="a change, and doing nothing, with many apps")
    costs.add_argument("sizes", nargs="*", type=int, metavar="APPS", help="100 2000 10000")
    options = parser.parse_args()
    if options.part == "cost":
        asyncio.run(control.run(options.sizes or list(control.SIZES)))
        asyncio.run(idle.run(idle.APPS))
        return 0
    if options.part != "abuse":
        faults()
        return 0
    if options.list:
        report.show()
        return 0
    return report.run(options.names, list(PROXIES) if options.proxy == "both" else [options.proxy])


def faults() -> None:
    """All faults."""
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("scenario", "requests", "lost", ""):
        table.add_column(title, justify="right" if title in ("requests", "lost") else "left")
    for scenario in SCENARIOS:
        row = asyncio.run(scenario())
        table.add_row(row.name, str(row.asked), str(row.lost), row.note)
    Console(width=140).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
