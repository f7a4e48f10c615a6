"""Limits, queues, retries and ejection on real sockets: what a client and a replica notice."""

from __future__ import annotations

import asyncio

import pytest

from router.routing.stats import RevisionStats
from tests.router.test_bad_clients import reset
from tests.support.builders import a_revision, an_app
from tests.support.edges import RunningEdge, eventually, in_front_of, running
from tests.support.origin import OK, Connection, Origin

GET = b"GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"
GET_ONCE = b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: shop.localhost\r\n"
CLOSES = b"Connection: close\r\n"


def stats(edge: RunningEdge, revision: str = "shop--v1") -> RevisionStats:
    return edge.edge.stats.of("shop", revision)


class Gate:
    """A replica that answers only when it is let."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = 0
        self.came = asyncio.Event()

    async def __call__(self, c: Connection) -> None:
        while True:
            await c.head()
            self.waiting += 1
            self.came.set()
            await self.open.wait()
            self.waiting -= 1
            await c.send(OK)


# --- limits


async def test_a_body_longer_than_allowed_is_refused_before_the_replica_sees_it() -> None:
    async with Origin() as origin, in_front_of(origin, max_body_bytes=10) as edge:
        answer = await edge.exchange(POST + b"Content-Length: 11\r\n\r\nhello world")
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"X-Turnout-Error: ContentTooLarge" in answer
        assert origin.connections == 0

        fits = await edge.client()
        await fits.send(POST + b"Content-Length: 10\r\n\r\nhelloworld")
        assert (await fits.response())[1] == b"ok"


async def test_a_chunked_body_is_cut_when_it_turns_out_too_long() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def reads_on(c: Connection) -> None:
        await c.head()
        began.set()
        got = b""
        try:
            while more := await c.reader.read(100):
                got += more
        except ConnectionError:
            pass
        assert b"0\r\n\r\n" not in got  # the replica must not take it for complete
        ended.set()

    async with Origin(reads_on) as origin, in_front_of(origin, max_body_bytes=10) as edge:
        client = await edge.client()
        await client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await asyncio.wait_for(began.wait(), 5)
        await client.send(b"6\r\n world\r\n0\r\n\r\n")
        head, _ = await client.response()
        assert head.startswith(b"HTTP/1.1 413 ")
        assert CLOSES in head
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_connection_carries_only_so_many_requests() -> None:
    async with Origin() as origin, in_front_of(origin, max_requests_per_connection=3) as edge:
        client = await edge.client()
        heads = [(await client.get())[0] for _ in range(3)]
        assert [CLOSES in head for head in heads] == [False, False, True]
        assert await client.rest() == b""


async def test_one_connection_too_many_is_told_so_and_leaves_the_others_alone() -> None:
    async with Origin() as origin, in_front_of(origin, max_connections=2, workers=1) as edge:
        first, second = await edge.client(), await edge.client()
        await first.get()
        await second.get()
        refused = await edge.exchange(GET, half_close=False)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"X-Turnout-Error: TooManyConnections" in refused
        assert b"Retry-After: " in refused
        assert (await first.get())[1] == b"ok"

        second.close()
        await eventually(lambda: len(edge.edge.clients) == 1)
        third = await edge.client()
        assert (await third.get())[1] == b"ok"


async def test_one_client_may_not_take_all_connections() -> None:
    async with Origin() as origin, in_front_of(origin, max_connections_per_client=1) as edge:
        first = await edge.client()
        await first.get()
        refused = await edge.exchange(GET, half_close=False)
        assert refused.startswith(b"HTTP/1.1 429 ")
        assert b"X-Turnout-Error: TooManyClientConnections" in refused

        first.close()
        await eventually(lambda: not edge.edge.clients)
        again = await edge.client()
        assert (await again.get())[1] == b"ok"


# --- room at a replica


async def test_a_full_replica_is_waited_for_in_order() -> None:
    gate = Gate()
    async with (
        Origin(gate) as origin,
        in_front_of(origin, max_in_flight_per_replica=1, workers=1) as edge,
    ):
        clients = [await edge.client() for _ in range(3)]
        for client in clients:
            await client.send(GET)
            await asyncio.wait_for(gate.came.wait(), 5)
        await eventually(lambda: stats(edge).in_flight == 3)
        assert gate.waiting == 1  # never more than it may have
        assert edge.edge.registry.queued() == {"shop--v1": 2}
        gate.open.set()
        for client in clients:
            assert (await client.response())[1] == b"ok"
        assert edge.edge.registry.queued() == {}
        assert all(r.in_flight == 0 for r in edge.edge.registry)


async def test_a_full_queue_says_no_at_once() -> None:
    gate = Gate()
    limits = {"max_in_flight_per_replica": 1, "max_queue_per_revision": 1, "workers": 1}
    async with Origin(gate) as origin, in_front_of(origin, **limits) as edge:
        clients = [await edge.client() for _ in range(2)]
        for client in clients:
            await client.send(GET)
        await eventually(lambda: stats(edge).in_flight == 2)
        late = await edge.client()
        head, _ = await late.get()
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"X-Turnout-Error: ReplicaOverloaded" in head
        assert b"Retry-After: 1" in head
        gate.open.set()
        assert [(await c.response())[1] for c in clients] == [b"ok", b"ok"]


async def test_waiting_for_room_has_an_end() -> None:
    gate = Gate()
    limits = {"max_in_flight_per_replica": 1, "queue_timeout_s": 0.05, "tick_s": 0.02, "workers": 1}
    async with Origin(gate) as origin, in_front_of(origin, **limits) as edge:
        first, second = await edge.client(), await edge.client()
        await first.send(GET)
        await asyncio.wait_for(gate.came.wait(), 5)
        head, _ = await second.get()
        assert head.startswith(b"HTTP/1.1 503 ")
        assert edge.edge.registry.queued() == {}
        gate.open.set()
        assert (await first.response())[1] == b"ok"


async def test_a_client_that_leaves_gives_its_place_up() -> None:
    gate = Gate()
    async with (
        Origin(gate) as origin,
        in_front_of(origin, max_in_flight_per_replica=1, workers=1, queue_timeout_s=60) as edge,
    ):
        first, second = await edge.client(), await edge.client()
        await first.send(GET)
        await asyncio.wait_for(gate.came.wait(), 5)
        await second.send(GET)
        await eventually(lambda: stats(edge).in_flight == 2)
        reset(second)  # a FIN would not do: whoever sends that may still read
        await eventually(lambda: not edge.edge.registry.queued())
        gate.open.set()
        assert (await first.response())[1] == b"ok"
        assert stats(edge).in_flight == 0


async def test_another_replica_with_room_is_used_first() -> None:
    gate = Gate()
    async with (
        Origin(gate) as one,
        Origin(gate) as two,
        in_front_of(one, two, max_in_flight_per_replica=1, workers=1) as edge,
    ):
        clients = [await edge.client() for _ in range(2)]
        for client in clients:
            await client.send(GET)
        await eventually(lambda: gate.waiting == 2)
        assert edge.edge.registry.queued() == {}
        gate.open.set()
        for client in clients:
            await client.response()


async def test_who_waits_for_a_replica_that_fails_goes_to_another() -> None:
    entered = asyncio.Event()
    fail = asyncio.Event()

    async def fails_later(c: Connection) -> None:
        await c.head()
        entered.set()
        await fail.wait()
        c.reset()

    gate = Gate()
    async with (
        Origin(fails_later) as bad,
        Origin(gate) as good,
        in_front_of(bad, good, max_in_flight_per_replica=1, workers=1) as edge,
    ):
        clients = [await edge.client() for _ in range(3)]
        for client in clients:
            await client.send(GET)
        await asyncio.wait_for(entered.wait(), 5)
        await eventually(lambda: gate.waiting == 1 and edge.edge.registry.queued())
        fail.set()
        gate.open.set()
        assert [(await c.response())[1] for c in clients] == [b"ok"] * 3


async def test_an_overloaded_worker_refuses_some_quickly() -> None:
    async with Origin() as origin, in_front_of(origin) as edge:
        client = await edge.client()
        edge.edge.shedding = {"shop": 1.0}
        head, _ = await client.get()
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"X-Turnout-Error: RouterOverloaded" in head
        edge.edge.shedding = {}
        assert (await client.get())[1] == b"ok"


# --- retries and ejection


async def resets(c: Connection) -> None:
    await c.head()
    c.reset()


async def test_retries_end_with_the_budget() -> None:
    no_budget = {"retry_budget_percent": 0.0, "retry_min_per_s": 0.0}
    async with Origin(resets) as bad, Origin() as good, in_front_of(bad, good, **no_budget) as edge:
        answer = b""
        while b" 502 " not in answer:
            answer = await edge.exchange(GET_ONCE, half_close=False)
        assert stats(edge).retries == {}


@pytest.mark.parametrize("answered", [0, 1], ids=["new connections", "pooled connections"])
async def test_a_request_that_kills_replicas_reaches_two_at_most(answered: int) -> None:
    """Three replicas, and a budget for all of them: the last one must live."""
    killed = []

    async def dies(c: Connection) -> None:
        while b"/kill" not in await c.head():
            await c.send(OK)
        killed.append(c)
        c.reset()

    async with (
        Origin(dies) as one,
        Origin(dies) as two,
        Origin(dies) as three,
        in_front_of(one, two, three, retry_min_per_s=100.0) as edge,
    ):
        client = await edge.client()
        while answered and not all(len(r.idle) == 1 for r in edge.edge.registry):
            await client.get()
        head, _ = await client.get(path="/kill")
        assert head.startswith(b"HTTP/1.1 502 ")
        assert b"X-Turnout-Error: UpstreamReset" in head
        assert len(killed) == 2
        assert (await client.get())[1] == b"ok"


async def test_what_a_replica_died_of_still_passes_by_those_that_refuse_connections() -> None:
    """Whichever comes first, nothing is lost: to be refused is not to be sent."""
    async with Origin(resets) as bad, Origin() as good:
        for _ in range(20):
            replicas = [bad.address, "127.0.0.1:1", "127.0.0.2:1", good.address]
            app = an_app(a_revision("v1", 100, endpoints=replicas))
            async with running(app, retry_min_per_s=100.0) as edge:
                assert (await (await edge.client()).get())[1] == b"ok"
        assert bad.connections > 0


async def test_another_revision_does_not_stand_in_when_that_is_off() -> None:
    app = an_app(a_revision("v1", 100), a_revision("v2", 0, endpoints=["127.0.0.1:1"]))
    async with running(app, retry_other_revisions=False) as edge:
        client = await edge.client()
        head, _ = await client.get()
        assert b"X-Turnout-Error: UpstreamConnectFailed" in head


async def test_a_replica_that_only_fails_is_passed_over_for_a_while() -> None:
    sick = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    async with (
        Origin(sick) as bad,
        Origin() as good,
        in_front_of(bad, good, eject_after_faults=3) as edge,
    ):
        client = await edge.client()
        seen: list[bytes] = []
        while stats(edge).ejections == 0:
            seen.append((await client.get())[0][9:12])
        assert seen.count(b"503") == 3
        assert [(await client.get())[0][9:12] for _ in range(20)] == [b"200"] * 20


async def test_the_last_replicas_are_never_passed_over_for_faults() -> None:
    sick = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    async with Origin(sick) as bad, in_front_of(bad, eject_after_faults=2) as edge:
        client = await edge.client()
        for _ in range(6):
            assert b" 503 " in (await client.get())[0]
        assert stats(edge).ejections == 0


@pytest.mark.parametrize(
    "stage", ["head", "half of the head", "half of the body", "between chunks"]
)
async def test_a_reset_at_any_stage_is_an_error_or_a_cut_never_a_whole_answer(stage: str) -> None:
    parts = {
        "head": b"",
        "half of the head": b"HTTP/1.1 200 OK\r\nContent-Le",
        "half of the body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "between chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    }

    async def breaks(c: Connection) -> None:
        await c.head()
        await c.send(parts[stage])
        await asyncio.sleep(0.05)  # so that the bytes arrive before the reset overtakes them
        c.reset()

    async with Origin(breaks) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await client.send(GET_ONCE)
        try:
            answer = await client.rest()
        except ConnectionResetError:
            answer = b""
        if b"head" in stage.encode():
            assert answer.startswith(b"HTTP/1.1 502 ")
        else:
            assert not answer.endswith((b"0\r\n\r\n", b"helloworld"))
