"""A worker that stops, or never starts, costs its own slot and no client's connection."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from tests.support.origin import Origin
from tests.support.turnout import Turnout, children, is_alive, until

WAIT_S = 2.5  # until another worker accepts for the one that went silent, and some room
RATE_PER_S = 200


def routes(address: str) -> str:
    return f"""
[[app]]
name = "shop"
mode = "multiple"
[[app.revision]]
name = "shop--v1"
weight = 100
endpoints = ["{address}"]
"""


def a_router(file: Path, state: Path, **settings: object) -> Turnout:
    flags = ("--routes", str(file), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    return Turnout("router", *flags, "--state", str(state / "s"), workers=2, **settings)


@dataclass
class Arrivals:
    """Clients that each bring a connection of their own, ask once and leave."""

    port: int
    waits: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def longest_s(self) -> float:
        return max(self.waits)

    async def for_seconds(self, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        asking = set()
        due = time.monotonic()
        while time.monotonic() < ends_at:
            asking.add(asyncio.create_task(self._ask()))
            due += 1 / RATE_PER_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*asking)

    async def _ask(self) -> None:
        began = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n")
            try:
                async with asyncio.timeout(20):
                    answer = await reader.read()
            finally:
                writer.close()
        except (OSError, TimeoutError) as error:
            self.failures.append(repr(error))
            return
        if b" 200 " not in answer[:16]:
            self.failures.append(repr(answer[:200]))
        self.bodies.append(answer.rpartition(b"\r\n\r\n")[2])
        self.waits.append(time.monotonic() - began)


@asynccontextmanager
async def serving(state: Path, **settings: object) -> AsyncIterator[Turnout]:
    async with Origin() as origin:
        file = state / "routes.toml"
        file.write_text(routes(origin.address))
        server = a_router(file, state, **settings)
        with await asyncio.to_thread(server.__enter__):
            yield server
            await asyncio.to_thread(server.stop)


@contextmanager
def ending_at_once(parent: int, spare: set[int]) -> Iterator[None]:
    """Every child that is not spared ends as soon as it is there; those that are there, first.

    A worker that serves takes what it is answering along, which is not what is asked here.
    """
    is_over, there = Event(), set(children(parent)) - spare

    def hunt() -> None:
        while not is_over.wait(0.01):
            for pid in set(children(parent)) - spare:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    thread = Thread(target=hunt)
    thread.start()
    try:
        until(lambda: not any(map(is_alive, there)))
        yield
    finally:
        is_over.set()
        thread.join()


async def test_no_new_connection_waits_for_a_stopped_worker(state: Path) -> None:
    async with serving(state, worker_silence_s=30) as server:
        stopped = children(server.process.pid)[0]
        arrivals = Arrivals(server.port)
        os.kill(stopped, signal.SIGSTOP)
        await arrivals.for_seconds(4)
        os.kill(stopped, signal.SIGCONT)  # it takes its slot back while clients come
        await arrivals.for_seconds(2)

        assert not arrivals.failures
        assert arrivals.longest_s < WAIT_S
        assert stopped in children(server.process.pid)


async def test_a_worker_that_wakes_up_accepts_for_itself_again(state: Path) -> None:
    async with serving(state, worker_silence_s=30) as server:
        stopped = children(server.process.pid)[0]
        server.stderr = b""
        os.kill(stopped, signal.SIGSTOP)
        await asyncio.to_thread(server.read_until, b"event=slot_handed_over slot=0\n")
        os.kill(stopped, signal.SIGCONT)
        await asyncio.to_thread(server.read_until, b"event=slot_taken_back slot=0\n")
        (other,) = set(children(server.process.pid)) - {stopped}
        os.kill(other, signal.SIGSTOP)  # now slot 0 has nobody but its own worker
        arrivals = Arrivals(server.port)
        await arrivals.for_seconds(3)
        os.kill(other, signal.SIGCONT)

        assert not arrivals.failures
        assert arrivals.longest_s < WAIT_S


async def test_a_slot_whose_worker_always_ends_loses_no_connection(state: Path) -> None:
    async with serving(state) as server:
        victim, spared = children(server.process.pid)
        os.kill(victim, signal.SIGSTOP)  # so that it takes nothing with it
        with ending_at_once(server.process.pid, {spared}):
            arrivals = Arrivals(server.port)
            await arrivals.for_seconds(5)
            restarts = await asyncio.to_thread(_restarts, server)
        assert not arrivals.failures
        assert arrivals.longest_s < WAIT_S
        assert restarts <= 6  # each time it waits longer
        until(lambda: len(children(server.process.pid)) == 2)
        until(lambda: server.call("GET", "/readyz")[0] == 200)


def _restarts(server: Turnout) -> float:
    _, text = server.call("GET", "/metrics")
    line = next(x for x in text.splitlines() if x.startswith("turnout_worker_restarts_total "))
    return float(line.split()[1])


async def test_tables_reach_the_others_while_a_slot_has_no_worker(state: Path) -> None:
    async with serving(state) as server, Origin() as second, Origin() as third:
        spared = children(server.process.pid)[1]
        with ending_at_once(server.process.pid, {spared}):
            file = state / "routes.toml"
            for origin in (second, third):
                file.write_text(routes(origin.address))
                await _asked_at(server, origin)
            assert await asyncio.to_thread(_is_ready, server)  # who is left routes by it


async def test_tables_reach_the_others_while_a_worker_is_stopped(state: Path) -> None:
    async with serving(state, worker_silence_s=60) as server, Origin() as second, Origin() as third:
        stopped = children(server.process.pid)[0]
        os.kill(stopped, signal.SIGSTOP)
        file = state / "routes.toml"
        for origin in (second, third):
            file.write_text(routes(origin.address))
            await _asked_at(server, origin)
        os.kill(stopped, signal.SIGCONT)


async def _asked_at(server: Turnout, origin: Origin) -> None:
    """Ask until an answer came from `origin`."""
    async with asyncio.timeout(8):
        while not origin.heads:
            arrivals = Arrivals(server.port)
            await arrivals.for_seconds(0.1)
            assert not arrivals.failures


def _is_ready(server: Turnout) -> bool:
    until(lambda: server.call("GET", "/readyz")[0] == 200)
    return True


async def test_a_router_whose_workers_never_start_says_so_and_exits_1(state: Path) -> None:
    file = state / "routes.toml"
    file.write_text(routes("127.0.0.1:1"))
    server = a_router(file, state)
    with ending_at_once(server.process.pid, set()):
        code = await asyncio.to_thread(server.process.wait, 30)
    assert server.process.stderr is not None
    said = server.process.stderr.read().decode()
    server.process.stderr.close()
    assert code == 1
    assert "turnout: no worker starts" in said
