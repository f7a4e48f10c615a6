"""A replica that left the table is ended when it owes no answer: it gets no request any more."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import pytest

from router.contract.snapshot import App, Fault, Revision
from tests.support.builders import a_revision, an_app, take
from tests.support.edges import RunningEdge, in_front_of, running
from tests.support.origin import Connection, Origin


class Fails:
    """A replica that breaks its connection when it is told, the request unanswered."""

    def __init__(self) -> None:
        self.came, self.fails = asyncio.Event(), asyncio.Event()

    async def __call__(self, c: Connection) -> None:
        await c.head()
        self.came.set()
        await self.fails.wait()
        c.reset()


def revision(name: str, *origins: Origin) -> Revision:
    return a_revision(name, 100, endpoints=[origin.address for origin in origins])


async def lost(edge: RunningEdge, script: Fails, then: Callable[[], None]) -> bytes:
    """What a request earns whose replica breaks after `then`."""
    client = await edge.client()
    asking = asyncio.create_task(client.get())
    await script.came.wait()
    then()
    script.fails.set()
    return (await asking)[0]


async def test_a_request_is_tried_again_at_replicas_of_the_table_in_force() -> None:
    script = Fails()
    async with Origin(script) as bad, Origin() as gone, Origin() as new, in_front_of(bad) as edge:
        take(edge.edge, an_app(revision("v1", bad, gone)))
        while not script.came.is_set():  # of the two, until it is the bad one's turn
            asking = asyncio.create_task((await edge.client()).get())
            came = asyncio.create_task(script.came.wait())
            await asyncio.wait({asking, came}, return_when=asyncio.FIRST_COMPLETED)
        requests = len(gone.heads)
        take(edge.edge, an_app(revision("v2", new)))
        script.fails.set()

        assert (await asking)[0].startswith(b"HTTP/1.1 200 ")
        assert len(gone.heads) == requests
        assert len(new.heads) == 1
        assert edge.edge.stats.of("shop", "shop--v1").in_flight == 0
        assert edge.edge.stats.of("shop", "shop--v2").in_flight == 0


async def test_a_request_that_is_tried_again_stays_with_its_revision() -> None:
    script = Fails()
    async with Origin(script) as bad, Origin() as same, Origin() as other, in_front_of(bad) as edge:
        app = an_app(revision("v1", bad, same), revision("v2", other))
        answer = await lost(edge, script, lambda: take(edge.edge, app))

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert (len(same.heads), len(other.heads)) == (1, 0)


@pytest.mark.parametrize("left", [[], [an_app(a_revision("v2", 100, endpoints=[]))]])
async def test_a_request_with_nowhere_left_to_go_says_what_became_of_it(left: list[App]) -> None:
    script = Fails()
    async with Origin(script) as bad, in_front_of(bad) as edge:
        answer = await lost(edge, script, lambda: take(edge.edge, *left))

        assert answer.startswith(b"HTTP/1.1 502 ")
        assert b"X-Turnout-Error: UpstreamReset" in answer
        assert edge.edge.stats.of("shop", "shop--v1").in_flight == 0


async def test_a_request_that_a_fault_delays_goes_by_the_table_of_then() -> None:
    async with Origin() as gone, Origin() as new:
        slow = Fault(until=0.0, seconds=60.0, delay_ms=300, delay_percent=100)
        async with running(an_app(dataclasses.replace(revision("v1", gone), fault=slow))) as edge:
            client = await edge.client()
            asking = asyncio.create_task(client.get())
            stats = edge.edge.stats.of("shop", "shop--v1")
            while not stats.in_flight:
                await asyncio.sleep(0)
            take(edge.edge, an_app(revision("v2", new)))

            assert (await asking)[0].startswith(b"HTTP/1.1 200 ")
            assert (len(gone.heads), len(new.heads)) == (0, 1)
            assert stats.in_flight == 0


async def test_a_delayed_request_of_an_app_that_is_gone_meanwhile_is_told_so() -> None:
    slow = Fault(until=0.0, seconds=60.0, delay_ms=300, delay_percent=100)
    async with (
        Origin() as gone,
        running(an_app(dataclasses.replace(revision("v1", gone), fault=slow))) as edge,
    ):
        asking = asyncio.create_task((await edge.client()).get())
        while not edge.edge.stats.of("shop", "shop--v1").in_flight:
            await asyncio.sleep(0)
        take(edge.edge)

        assert (await asking)[0].startswith(b"HTTP/1.1 404 ")
        assert not gone.heads
