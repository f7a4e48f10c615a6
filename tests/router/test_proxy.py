"""The proxy on real sockets: what the client gets, and what the replica saw."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from router.contract.snapshot import App
from router.ingress.http1 import ClientConnection
from router.routing.stats import RevisionStats
from tests.support.abuse.meter import forget_peak, memory_mib
from tests.support.builders import a_revision, an_app, take
from tests.support.edges import RunningEdge, in_front_of, running
from tests.support.origin import OK, Connection, Origin

GET = b"GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"


def codes(edge: RunningEdge, revision: str = "shop--v1") -> dict[int, int]:
    return dict(edge.edge.stats.of("shop", revision).codes)


def stats(edge: RunningEdge) -> RevisionStats:
    return edge.edge.stats.of("shop", "shop--v1")


async def test_requests_reuse_both_connections() -> None:
    async with Origin() as origin, in_front_of(origin) as edge:
        client = await edge.client()
        for _ in range(5):
            head, body = await client.get()
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert body == b"ok"

        assert origin.connections == 1
        assert codes(edge) == {200: 5}
        assert stats(edge).in_flight == 0
        assert all(r.in_flight == 0 for r in edge.edge.registry)


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def echo(c: Connection) -> None:
        while True:
            path = (await c.head()).split(b" ")[1]
            if path == b"/slow":
                await asyncio.sleep(0.05)
            await c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    async with Origin(echo) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        paths = [b"/slow", b"/a", b"/slow", b"/b", b"/c"]
        await client.send(
            b"".join(b"GET %b HTTP/1.1\r\nHost: shop.localhost\r\n\r\n" % p for p in paths)
        )

        assert [(await client.response())[1] for _ in paths] == paths


async def test_a_thousand_pipelined_refusals_do_not_recurse() -> None:
    wire = b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n" * 1500
    async with running() as edge:
        client = await edge.client()
        await client.send(wire)
        for _ in range(1500):
            head, _ = await client.response()
            assert b"X-Turnout-Error: HostNotFound\r\n" in head


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 40])
async def test_a_request_may_arrive_in_any_pieces(cut: int) -> None:
    wire = (
        b"POST /x HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    )
    seen: list[bytes] = []

    async def read(c: Connection) -> None:
        await c.head()
        seen.append(await c.reader.readuntil(b"0\r\n\r\n"))
        await c.send(OK)

    async with Origin(read) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        for at in range(0, len(wire), cut):
            await client.send(wire[at : at + cut])
            await asyncio.sleep(0)
        assert (await client.response())[1] == b"ok"
        assert _dechunk(seen[0]) == b"hello world"


def _dechunk(wire: bytes) -> bytes:
    body = b""
    while True:
        size, _, wire = wire.partition(b"\r\n")
        if not int(size, 16):
            return body
        body, wire = body + wire[: int(size, 16)], wire[int(size, 16) + 2 :]


async def test_a_request_hidden_behind_a_body_is_the_clients_next_one_not_the_replicas() -> None:
    hidden = b"GET /admin HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n"
    wire = (
        b"POST /x HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    async with Origin() as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await client.send(wire + hidden)
        first, second = await client.response(), await client.response()

        assert first[0].startswith(b"HTTP/1.1 200")
        assert second[0].startswith(b"HTTP/1.1 404")
        assert not any(b"/admin" in head for head in origin.heads)


async def test_head_204_and_304_have_no_body() -> None:
    answers = iter(
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: x\r\n\r\n",
            OK,
        ]
    )

    async def answer(c: Connection) -> None:
        while True:
            await c.head()
            await c.send(next(answers))

    async with Origin(answer) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await client.send(GET.replace(b"GET", b"HEAD"))
        assert b"Content-Length: 99\r\n" in (await client.response(is_head=True))[0]
        assert b"Content-Length" not in (await client.get())[0]
        assert b"ETag: x" in (await client.get())[0]
        assert (await client.get())[1] == b"ok"
        assert origin.connections == 1


async def test_chunked_answers_are_chunked_for_11_and_end_with_the_connection_for_10() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
    )
    async with Origin(answer) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await client.send(GET)
        async with asyncio.timeout(5):
            whole = await client.reader.readuntil(b"X-T: 1\r\n\r\n")
        assert whole.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")

        old = await edge.exchange(GET.replace(b"1.1", b"1.0"))
        assert old.endswith(b"Connection: close\r\n\r\nabc")
        assert b"Transfer-Encoding" not in old


async def test_expect_continue_goes_end_to_end() -> None:
    async def wait_for_body(c: Connection) -> None:
        assert b"Expect: 100-continue" in await c.head()
        await c.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await c.reader.readexactly(5) == b"hello"
        await c.send(OK)

    async with Origin(wait_for_body) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await client.send(
            b"POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 5\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert (await client.response())[0].startswith(b"HTTP/1.1 100")
        await client.send(b"hello")
        assert (await client.response())[1] == b"ok"


async def test_a_replica_that_refuses_is_passed_over() -> None:
    async with Origin() as dead:
        pass
    async with Origin() as alive, in_front_of(dead, alive) as edge:
        client = await edge.client()
        for _ in range(20):
            assert (await client.get())[1] == b"ok"
        assert codes(edge) == {200: 20}
        assert 1 <= stats(edge).retries["connect"] == stats(edge).ejections <= 20


async def test_when_every_replica_refuses_the_answer_says_so() -> None:
    async with Origin() as dead:
        pass
    async with in_front_of(dead) as edge:
        head, body = await (await edge.client()).get()
        assert head.startswith(b"HTTP/1.1 502")
        assert b"X-Turnout-Error: UpstreamConnectFailed\r\n" in head
        assert b"Retry-After: 1\r\n" in head  # nobody was given the request
        assert b"UpstreamConnectFailed" in body


async def test_another_revision_of_the_split_stands_in_for_a_dead_one() -> None:
    dead = socket.socket()  # bound, so that nobody else gets the port, and not listening
    dead.bind(("127.0.0.1", 0))
    with dead:
        at = f"127.0.0.1:{dead.getsockname()[1]}"
        async with Origin() as alive:
            split = an_app(
                a_revision("v1", 50, endpoints=[at]),
                a_revision("v2", 50, endpoints=[alive.address]),
            )
            await stands_in(split)


async def stands_in(split: App) -> None:
    async with running(split) as edge:
        client = await edge.client()
        for _ in range(20):
            assert (await client.get())[1] == b"ok"
        head, _ = await client.get(host="shop--v1.localhost")
        assert head.startswith(b"HTTP/1.1 502")


async def test_a_stale_connection_does_not_surface() -> None:
    async def once(c: Connection) -> None:
        await c.head()
        await c.send(OK)
        await c.head()  # take the second request, and break without a word
        c.reset()

    async with Origin(once) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        for _ in range(4):
            assert (await client.get())[1] == b"ok"
        assert stats(edge).retries["stale"] == 3


async def test_a_request_that_may_not_be_repeated_is_not() -> None:
    async def break_all(c: Connection) -> None:
        await c.head()
        c.reset()

    post = b"POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 1\r\n\r\nx"
    async with Origin(break_all) as one, Origin(break_all) as two, in_front_of(one, two) as edge:
        answer = await edge.exchange(post)
        assert b"X-Turnout-Error: UpstreamReset" in answer
        assert one.connections + two.connections == 1


async def test_an_idempotent_request_moves_to_another_replica_after_a_reset() -> None:
    async def break_all(c: Connection) -> None:
        await c.head()
        c.reset()

    put = b"PUT / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 5\r\n\r\nhello"
    seen: list[bytes] = []

    async def take_it(c: Connection) -> None:
        await c.head()
        seen.append(await c.reader.readexactly(5))
        await c.send(OK)

    async with Origin(break_all) as bad, Origin(take_it) as good, in_front_of(bad, good) as edge:
        for _ in range(8):
            assert b" 200 " in await edge.exchange(put)
        assert seen == [b"hello"] * 8


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"garbage\r\n\r\n", b"UpstreamProtocolError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"UpstreamProtocolError"),
        (b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", b"UpstreamProtocolError"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"UpstreamProtocolError",
        ),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", b"UpstreamProtocolError"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40000 + b"\r\n\r\n", b"UpstreamProtocolError"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_a_502(answer: bytes, code: bytes) -> None:
    async with Origin(answer) as origin, in_front_of(origin) as edge:
        got = await edge.exchange(GET)
        assert got.startswith(b"HTTP/1.1 502 ")
        assert b"X-Turnout-Error: " + code in got


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ],
)
async def test_an_answer_cut_short_never_looks_complete(answer: bytes) -> None:
    async def cut(c: Connection) -> None:
        await c.head()
        await c.send(answer)

    async with Origin(cut) as origin, in_front_of(origin) as edge:
        got = await edge.exchange(GET, half_close=False)
        assert got.startswith(b"HTTP/1.1 200 OK")
        assert not got.endswith(b"0\r\n\r\n")
        assert b"abcdefghij" not in got


async def test_stray_bytes_behind_an_answer_end_the_connection() -> None:
    async with Origin(OK + b"HTTP/1.1 200 OK\r\n") as origin, in_front_of(origin) as edge:
        client = await edge.client()
        assert (await client.get())[1] == b"ok"
        assert (await client.get())[1] == b"ok"
        assert origin.connections == 2


async def test_an_early_answer_leaves_the_connection_in_step() -> None:
    too_large = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"

    async def refuse(c: Connection) -> None:
        await c.head()
        await c.send(too_large)
        await c.reader.read()

    async with Origin(refuse) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 8\r\n\r\n")
        assert b" 413 " in (await client.response())[0]
        await client.send(b"GET / HT")  # still the body, whatever it looks like
        await client.send(b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n")
        assert b" 404 " in (await client.response())[0]


async def test_a_body_far_larger_than_memory_moves_with_bounded_memory() -> None:
    size = 96 << 20
    block = bytes(1 << 20)

    async def sink(c: Connection) -> None:
        await c.head()
        got = 0
        while got < size:
            got += len(await c.reader.read(1 << 18))
        await c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size >> 20):
            await c.send(block)

    async with Origin(sink) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        forget_peak(os.getpid())  # earlier tests may have needed more
        before, _ = memory_mib(os.getpid())
        head = b"POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: %d\r\n\r\n" % size
        await client.send(head)
        for _ in range(size >> 20):
            await client.send(block)
        await client.reader.readuntil(b"\r\n\r\n")
        got = 0
        while got < size:
            got += len(await client.reader.read(1 << 18))
        _, peak = memory_mib(os.getpid())
        assert peak - before < 32
        assert stats(edge).request_bytes == stats(edge).response_bytes == size


async def test_a_slow_client_holds_the_replica_back() -> None:
    sent = 0

    async def flood(c: Connection) -> None:
        nonlocal sent
        await c.head()
        await c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            await c.send(bytes(1 << 16))
            sent += 1 << 16

    async with Origin(flood) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(GET)
        before = -1
        while sent != before or not sent:  # until nothing moves any more
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 32 << 20


async def test_a_client_that_leaves_frees_the_replica() -> None:
    gone = asyncio.Event()

    async def wait(c: Connection) -> None:
        await c.head()
        await c.reader.read()
        gone.set()

    limits = {"half_close_s": 0.05, "tick_s": 0.02}
    async with Origin(wait) as origin, in_front_of(origin, **limits) as edge:
        client = await edge.client()
        await client.send(GET)
        while not stats(edge).in_flight:
            await asyncio.sleep(0.01)
        client.writer.transport.abort()
        async with asyncio.timeout(5):
            await gone.wait()
        assert codes(edge) == {499: 1}
        assert stats(edge).in_flight == 0


async def test_a_client_may_close_its_direction_and_still_read() -> None:
    async def slow(c: Connection) -> None:
        await c.head()
        await asyncio.sleep(0.05)
        await c.send(OK)

    async with Origin(slow) as origin, in_front_of(origin) as edge:
        assert (await edge.exchange(GET)).endswith(b"ok")


async def test_an_answer_of_the_same_turn_is_sent_before_the_end() -> None:
    async with running() as edge:
        client = await edge.client()
        while not edge.edge.clients:
            await asyncio.sleep(0)
        (ours,) = edge.edge.clients
        assert isinstance(ours, ClientConnection)
        ours.data_received(GET)  # answered at once: no such host
        if not ours.eof_received():  # and the client's end arrives in the same turn of the loop
            ours.transport.close()
        assert b"HostNotFound" in await client.rest()


async def test_a_connection_that_breaks_does_not_take_the_writes_of_others_with_it() -> None:
    async with running() as edge:
        breaking, other = await edge.client(), await edge.client()
        while len(edge.edge.clients) < 2:
            await asyncio.sleep(0)
        ports = {c.writer.get_extra_info("sockname")[1]: c for c in (breaking, other)}
        ours = {ports[c.transport.get_extra_info("peername")[1]]: c for c in edge.edge.clients}
        ours[breaking].data_received(GET)
        ours[breaking].transport.abort()
        ours[other].data_received(GET)  # in the same turn of the loop

        head, _ = await other.response()
        assert b"HostNotFound" in head


async def test_a_websocket_passes_both_ways_with_bytes_behind_the_heads() -> None:
    async def upgrade(c: Connection) -> None:
        head = await c.head()
        assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in head
        await c.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello"
        )
        while data := await c.reader.read(100):
            await c.send(data.upper())

    async with Origin(upgrade) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await client.send(
            b"GET /ws HTTP/1.1\r\nHost: shop.localhost\r\nConnection: keep-alive, Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\nfirst"
        )
        async with asyncio.timeout(5):
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert b"Sec-WebSocket-Accept: x" in head
            assert await client.reader.readexactly(10) in (b"helloFIRST",)
            assert stats(edge).tunnels == 1
            client.writer.write_eof()  # a half-close is carried over, and answered
            assert await client.reader.read() == b""
        assert stats(edge).tunnels == 0
        assert stats(edge).in_flight == 0
        assert codes(edge) == {101: 1}


async def test_a_replica_that_never_answers_is_a_504() -> None:
    async def silent(c: Connection) -> None:
        await c.head()
        await c.reader.read()

    limits = {"response_timeout_s": 0.1, "tick_s": 0.02}
    async with Origin(silent) as origin, in_front_of(origin, **limits) as edge:
        head, _ = await (await edge.client()).get()
        assert head.startswith(b"HTTP/1.1 504")
        assert b"X-Turnout-Error: UpstreamTimeout" in head


async def test_a_head_that_does_not_come_is_a_408() -> None:
    async with running(head_timeout_s=0.1, tick_s=0.02) as edge:
        answer = await edge.exchange(b"GET / HTTP/1.1\r\nHo", half_close=False)
        assert answer.startswith(b"HTTP/1.1 408")


async def test_a_request_finishes_by_the_table_it_began_with() -> None:
    going = asyncio.Event()

    async def slow(c: Connection) -> None:
        await c.head()
        await going.wait()
        await c.send(OK)

    async with Origin(slow) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await client.send(GET)
        while not stats(edge).in_flight:
            await asyncio.sleep(0.01)
        take(edge.edge, an_app())
        assert edge.edge.registry.departed() == {origin.address: 1}
        going.set()
        assert (await client.response())[1] == b"ok"
        assert b"AppStopped" in (await client.get())[1]
        assert edge.edge.registry.departed() == {}


async def test_the_edge_tells_which_revision_answered_when_asked_to() -> None:
    async with Origin() as origin, in_front_of(origin, expose_revision=True) as edge:
        head, _ = await (await edge.client()).get(host="shop--v1.localhost")
        assert b"X-Turnout-Revision: shop--v1\r\n" in head
        assert f"X-Turnout-Replica: {origin.address}\r\n".encode() in head
        assert b"X-Turnout-Reason: revision\r\n" in head


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\nHost: shop.localhost\n\n", b"400"),
        (b"GET /\r\n", b"400"),
        (b"GET  / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n", b"400"),
        (b"\nGET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost : shop.localhost\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nA: b\r\n c\r\n\r\n", b"400"),
        (b"GET / HTTP/2.0\r\nHost: shop.localhost\r\n\r\n", b"505"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"505"),
        (b"CONNECT shop.localhost:80 HTTP/1.1\r\nHost: shop.localhost\r\n\r\n", b"405"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 40000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 150 + b"\r\n", b"431"),
        (
            b"POST / HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"400",
        ),
    ],
)
async def test_what_is_no_request_is_refused_and_closed(wire: bytes, status: bytes) -> None:
    async with Origin() as origin, in_front_of(origin) as edge:
        answer = await edge.exchange(wire, half_close=False)
        assert answer[9:12] == status
        assert b"Connection: close\r\n" in answer
        assert not origin.heads


async def test_a_newer_minor_version_is_served_as_11() -> None:
    async with Origin() as origin, in_front_of(origin) as edge:
        answer = await edge.exchange(b"GET / HTTP/1.3\r\nHost: shop.localhost\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")


async def test_http10_keeps_alive_only_when_asked() -> None:
    async with Origin() as origin, in_front_of(origin) as edge:
        plain = await edge.exchange(GET.replace(b"1.1", b"1.0"), half_close=False)
        assert b"Connection: close\r\n" in plain
        client = await edge.client()
        wire = b"GET / HTTP/1.0\r\nHost: shop.localhost\r\nConnection: keep-alive\r\n\r\n"
        for _ in range(2):
            await client.send(wire)
            assert b"Connection: keep-alive\r\n" in (await client.response())[0]
