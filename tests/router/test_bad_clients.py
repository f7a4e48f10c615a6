"""A client that misbehaves costs itself: no answer, no time and no memory of anybody else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import socket
import struct
from collections.abc import Callable

import pytest

from router.ingress.http1 import ClientConnection
from tests.support.builders import a_revision, an_app
from tests.support.edges import Client, RunningEdge, eventually, in_front_of, running
from tests.support.origin import OK, Connection, Origin

GET = b"GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"
MISS = b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n"
QUICK = {"tick_s": 0.01, "write_timeout_s": 0.05}
MANY = 64 << 20  # more than all socket buffers between a replica and a client hold


async def never_reads(edge: RunningEdge) -> Client:
    """A client whose kernel takes little, and that reads nothing of it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", edge.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    client = Client(reader, writer)
    edge.clients.append(client)
    return client


def reset(client: Client) -> None:
    """Go away without a proper end."""
    sock = client.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


async def quiet(count: Callable[[], int]) -> int:
    """A number, once it has not changed for a while."""
    last, same = count(), 0
    async with asyncio.timeout(10):
        while same < 10:
            await asyncio.sleep(0.01)
            same = same + 1 if count() == last else 0
            last = count()
    return last


class Endless:
    """Answers with `size` bytes; counts what its kernel took."""

    def __init__(self, head: bytes, size: int = MANY) -> None:
        self.head = head
        self.size = size
        self.sent = 0

    async def __call__(self, c: Connection) -> None:
        while True:
            await c.head()
            await c.send(self.head)
            self.sent = 0
            while self.sent < self.size:
                piece = min(65536, self.size - self.sent)
                await c.send(b"x" * piece)
                self.sent += piece


def misses(edge: RunningEdge) -> int:
    return edge.edge.stats.of("_unknown", "").codes[404]


# --- clients that do not read


async def test_a_blocked_client_gets_no_new_exchange_until_it_reads() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000)
    asked = 200  # 20 MB: more than the kernel takes, in answers that each are read at once
    async with Origin(answer) as origin, in_front_of(origin) as edge:
        client = await never_reads(edge)
        for _ in range(asked):  # one by one: each arrives when the answer before is on its way
            before = edge.edge.stats.of("shop", "shop--v1").requests
            await client.send(GET)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    while edge.edge.stats.of("shop", "shop--v1").requests == before:
                        await asyncio.sleep(0)
            if edge.edge.stats.of("shop", "shop--v1").requests == before:
                break
        made = len(origin.heads)
        await client.send(GET)
        assert await quiet(lambda: len(origin.heads)) == made < asked
        for _ in range(made + 2):
            assert (await client.response())[1] == bytes(100_000)


async def test_a_client_that_reads_nothing_holds_its_replica_back() -> None:
    script = Endless(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MANY)
    async with Origin(script) as origin, in_front_of(origin) as edge:
        client = await never_reads(edge)
        await client.send(GET + GET)
        assert await quiet(lambda: script.sent) < 24 << 20
        assert edge.edge.stats.stalled == 1


async def test_a_client_that_reads_nothing_is_given_up_and_counted() -> None:
    script = Endless(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MANY)
    async with Origin(script) as origin, in_front_of(origin, **QUICK) as edge:
        client = await never_reads(edge)
        await client.send(GET)
        await eventually(lambda: edge.edge.stats.errors["shop", "ClientStalled"] == 1)
        await eventually(lambda: not edge.edge.clients)
        assert edge.edge.stats.stalled == 0
        assert all(r.in_flight == 0 for r in edge.edge.registry)
        with pytest.raises(ConnectionResetError):
            await client.rest()


@pytest.mark.parametrize("framing", [b"Content-Length: 8388608\r\n", b""])
async def test_a_slow_reader_gets_all_of_an_answer_that_ends_its_connection(framing: bytes) -> None:
    async def once(c: Connection) -> None:
        await c.head()
        await c.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n" + b"x" * 8388608)

    patient = {"tick_s": 0.01, "linger_s": 0.02, "write_timeout_s": 5.0}
    async with Origin(once) as origin, in_front_of(origin, **patient) as edge:
        client = await never_reads(edge)
        await client.send(GET.replace(b"1.1", b"1.0"))
        await eventually(lambda: edge.edge.clients)
        began = edge.edge.clock.now
        size = 0
        while data := await client.reader.read(1 << 20):
            size += len(data)
            if edge.edge.clock.now - began < 0.2:  # ten times the time that an idle end gets
                await asyncio.sleep(0.01)
        assert size > 8388608
        assert size - 8388608 < 400


async def test_an_answer_that_cannot_be_sent_ends_with_a_reset_not_as_if_complete() -> None:
    script = Endless(b"HTTP/1.1 200 OK\r\n\r\n", 6 << 20)

    async def once(c: Connection) -> None:
        async with asyncio.timeout(5):
            await script(c)

    async with Origin(script) as origin, in_front_of(origin, **QUICK) as edge:
        client = await never_reads(edge)
        await client.send(GET.replace(b"1.1", b"1.0"))
        await eventually(lambda: edge.edge.stats.stalled)
        await eventually(lambda: not edge.edge.clients)
        with pytest.raises(ConnectionResetError):
            await client.rest()


# --- clients that send too much at once


async def test_a_pipeline_of_thousands_does_not_make_another_client_wait() -> None:
    async with Origin() as origin, in_front_of(origin) as edge:
        flood, innocent = await edge.client(), await edge.client()
        await innocent.get()
        ours = next(c for c in edge.edge.clients if isinstance(c, ClientConnection))
        assert ours is not None
        flood.writer.write(MISS * 5000)
        assert (await innocent.get())[1] == b"ok"
        assert misses(edge) < 2500
        await eventually(lambda: misses(edge) == 5000)


async def test_a_body_of_crumbs_does_not_make_another_client_wait() -> None:
    got = bytearray()

    async def count(c: Connection) -> None:
        if b"POST" in await c.head():
            while b"0\r\n\r\n" not in got[-7:]:
                got.extend(await c.reader.read(65536))
        await c.send(OK)

    crumbs = b"1\r\nx\r\n" * 100_000
    async with Origin(count) as origin, in_front_of(origin) as edge:
        flood, innocent = await edge.client(), await edge.client()
        await innocent.get()
        flood.writer.write(
            b"POST / HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            + crumbs
            + b"0\r\n\r\n"
        )
        assert (await innocent.get())[1] == b"ok"
        seen = edge.edge.stats.of("shop", "shop--v1").requests
        assert seen == 2, "the flood was read whole before the innocent's turn came"
        assert (await flood.response())[1] == b"ok"
        sizes = [int(size, 16) for size in re.findall(rb"([0-9a-f]+)\r\nx", bytes(got))]
        assert sum(sizes) == 100_000


# --- clients that are slow to ask


async def test_a_head_that_trickles_is_refused_in_time() -> None:
    async with running(tick_s=0.01, head_timeout_s=0.1) as edge:
        client = await edge.client()
        answer = asyncio.create_task(client.rest())
        for byte in b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nX: " + b"y" * 10_000:
            client.writer.write(bytes([byte]))
            await asyncio.sleep(0.002)
            if answer.done():
                break
        assert (await answer).startswith(b"HTTP/1.1 408 ")


async def test_silence_from_the_start_ends_in_time_although_bytes_came_late() -> None:
    async with running(tick_s=0.01, head_timeout_s=0.2) as edge:
        client = await edge.client()
        await eventually(lambda: edge.edge.clients)
        (ours,) = edge.edge.clients
        before = ours.deadline
        await client.send(b"GET / HT")
        await eventually(lambda: ours.deadline != before or not edge.edge.clients)
        assert (await client.rest()).startswith(b"HTTP/1.1 408 ")


# --- clients that leave


async def test_a_client_that_leaves_is_noticed_though_it_sent_a_byte_too_many() -> None:
    async def wait(c: Connection) -> None:
        await c.head()
        await c.reader.read()

    async with Origin(wait) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await client.send(GET + b"G")
        await eventually(lambda: origin.connections)
        reset(client)
        await eventually(lambda: edge.edge.stats.of("shop", "shop--v1").codes[499] == 1)


async def test_connections_on_their_way_end_with_the_client_that_wanted_them() -> None:
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    address = f"127.0.0.1:{full.getsockname()[1]}"
    fill = []
    for _ in range(3):  # the queue is full: further connects are left waiting
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(full.getsockname())
        fill.append(sock)
    try:
        async with running(an_app(a_revision("v1", 100, endpoints=[address]))) as edge:
            client = await edge.client()
            await client.send(GET)
            await eventually(lambda: edge.edge.registry.connections() == {"shop--v1": (0, 0, 1)})
            reset(client)
            await eventually(lambda: edge.edge.registry.connections() == {})
    finally:
        for sock in (*fill, full):
            sock.close()


async def test_a_closed_connection_leaves_nothing_for_the_collector() -> None:
    async with Origin() as origin, in_front_of(origin) as edge:
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                client = await edge.client()
                await client.get()
                await client.get(path="/other")
                client.close()
            await eventually(lambda: not edge.edge.clients)
            kept = [o for o in gc.get_objects() if isinstance(o, ClientConnection)]
            assert kept == []
        finally:
            gc.enable()


# --- answers that were never sent


async def test_an_answer_in_progress_ends_its_connection_when_the_worker_leaves() -> None:
    go = asyncio.Event()

    async def answer(c: Connection) -> None:
        await c.head()
        await c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwx")
        await go.wait()
        await c.send(b"yz")

    async with Origin(answer) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await client.send(GET)
        await client.reader.readuntil(b"wx")
        edge.edge.is_draining = edge.edge.is_leaving = True
        go.set()
        assert await client.rest() == b"yz"
