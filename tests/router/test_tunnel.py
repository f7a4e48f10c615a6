"""WebSockets: what happens to them when their revision or their worker leaves."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.forwarding import tunnel
from router.http.websocket import FrameBoundary, close_frame
from tests.support.builders import a_revision, an_app, take
from tests.support.edges import Client, RunningEdge, eventually, in_front_of
from tests.support.origin import Connection, Origin

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
QUICK = {"tunnel_drain_s": 0.05, "tunnel_spread_s": 0.0, "tick_s": 0.01}


def frame(payload: bytes) -> bytes:
    """A server's text frame."""
    n = len(payload)
    if n < 126:
        return b"\x81" + bytes([n]) + payload
    if n < 65536:
        return b"\x81\x7e" + n.to_bytes(2, "big") + payload
    return b"\x81\x7f" + n.to_bytes(8, "big") + payload


@given(st.lists(st.integers(0, 70_000), max_size=5), st.integers(1, 5000))
def test_frame_ends_are_found_in_any_pieces(sizes: list[int], piece: int) -> None:
    stream = b"".join(frame(b"x" * n) for n in sizes)
    piece = max(piece, len(stream) // 2000)
    ends, at = {0}, 0
    for n in sizes:
        at += len(frame(b"x" * n))
        ends.add(at)
    boundary, seen = FrameBoundary(), 0
    while seen < len(stream):
        boundary.feed(stream[seen : seen + piece])
        seen = min(seen + piece, len(stream))
        assert boundary.is_between_frames == (seen in ends)


class Replica:
    """Accepts a WebSocket and then sends what it is told; remembers what it was sent."""

    def __init__(self, first: bytes = b"") -> None:
        self.first = first
        self.got = b""
        self.said = asyncio.Event()
        self.connection: Connection | None = None

    async def __call__(self, c: Connection) -> None:
        await c.head()
        self.connection = c
        await c.send(SWITCHING + self.first)
        while data := await c.reader.read(1000):
            self.got += data
            self.said.set()


async def open_socket(edge: RunningEdge) -> Client:
    client = await edge.client()
    await client.send(UPGRADE)
    head, _ = await client.response()
    assert head.startswith(b"HTTP/1.1 101 ")
    return client


def deactivate(edge: RunningEdge) -> None:
    """The revision leaves the table."""
    take(edge.edge, an_app(a_revision("v2", 100)))


async def read(client: Client, size: int) -> bytes:
    async with asyncio.timeout(5):
        return await client.reader.readexactly(size)


async def test_a_leaving_revision_says_going_away_and_the_replica_hears_the_clients_close() -> None:
    replica = Replica()
    async with Origin(replica) as origin, in_front_of(origin, **QUICK) as edge:
        client = await open_socket(edge)
        deactivate(edge)
        assert await read(client, 4) == close_frame(1001)
        await client.send(b"\x88\x82\x00\x00\x00\x00\x03\xe9")
        await asyncio.wait_for(replica.said.wait(), 5)
        assert replica.got == b"\x88\x82\x00\x00\x00\x00\x03\xe9"
        assert await client.rest() == b""
        assert not edge.edge.tunnels
        assert edge.edge.stats.of("shop", "shop--v1").tunnels == 0


async def test_a_leaving_worker_says_that_the_service_restarts() -> None:
    async with Origin(Replica()) as origin, in_front_of(origin, **QUICK) as edge:
        client = await open_socket(edge)
        for tunnel in edge.edge.tunnels:
            tunnel.leave(edge.edge.clock.now)
        assert await read(client, 4) == close_frame(1012)


async def test_it_lives_until_its_time_comes() -> None:
    replica = Replica()
    async with Origin(replica) as origin, in_front_of(origin, tick_s=0.01) as edge:
        client = await open_socket(edge)
        deactivate(edge)
        await asyncio.sleep(0.05)  # several sweeps
        assert replica.connection is not None
        await replica.connection.send(frame(b"still here"))
        assert await read(client, 12) == frame(b"still here")


async def test_a_close_is_never_put_into_a_frame() -> None:
    replica = Replica(first=frame(b"x" * 300)[:100])
    async with Origin(replica) as origin, in_front_of(origin, **QUICK) as edge:
        client = await open_socket(edge)
        deactivate(edge)
        assert await read(client, 100) == frame(b"x" * 300)[:100]
        await eventually(lambda: any(t.is_leaving for t in edge.edge.tunnels))
        assert replica.connection is not None
        await replica.connection.send(frame(b"x" * 300)[100:])
        assert await read(client, 208) == frame(b"x" * 300)[100:] + close_frame(1001)


@pytest.mark.parametrize("protocol", [b"websocket", b"something"])
async def test_nothing_else_is_spoken_into_another_protocol(
    protocol: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel, "_FAREWELL_S", 0.1)  # this client never answers a Close

    async def accept(c: Connection) -> None:
        await c.head()
        await c.send(SWITCHING.replace(b"websocket", protocol))
        await c.reader.read()

    async with Origin(accept) as origin, in_front_of(origin, **QUICK) as edge:
        client = await edge.client()
        await client.send(UPGRADE.replace(b"websocket", protocol))
        await client.response()
        deactivate(edge)
        expected = close_frame(1001) if protocol == b"websocket" else b""
        assert await client.rest() == expected


async def test_a_silent_one_ends() -> None:
    quick = {"tunnel_idle_s": 0.05, "tick_s": 0.01}
    async with Origin(Replica()) as origin, in_front_of(origin, **quick) as edge:
        client = await open_socket(edge)
        assert await client.rest() == b""
