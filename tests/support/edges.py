"""An edge on a real socket, and a raw client for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

from router.contract.snapshot import App
from router.forwarding.context import Context
from router.ingress.http1 import ClientConnection
from router.worker.sweeper import Sweeper
from tests.support.builders import a_revision, an_app, an_edge
from tests.support.origin import Origin

WAIT_S = 5.0


async def eventually(what: Callable[[], object]) -> None:
    """Wait until something is true. Raises TimeoutError when it never is."""
    async with asyncio.timeout(WAIT_S):
        while not what():
            await asyncio.sleep(0.01)


async def settled() -> None:
    """Let the loop deliver what was closed, so that nothing outlives its loop."""
    for _ in range(5):
        await asyncio.sleep(0)


class Client:
    """A connection to the edge that sends and reads raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def response(self, *, is_head: bool = False) -> tuple[bytes, bytes]:
        """One framed response: head and body."""
        async with asyncio.timeout(WAIT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            if is_head or head[9:12] in (b"204", b"304") or head[9:10] == b"1":
                return head, b""
            lowered = head.lower()
            if b"transfer-encoding: chunked" in lowered:
                body = await self.reader.readuntil(b"0\r\n\r\n")
                return head, body
            if b"content-length: " in lowered:
                size = int(lowered.split(b"content-length: ")[1].split(b"\r\n")[0])
                return head, await self.reader.readexactly(size)
            return head, await self.reader.read()

    async def rest(self) -> bytes:
        """Everything until the edge closes. Raises ConnectionResetError for a reset."""
        async with asyncio.timeout(WAIT_S):
            return await self.reader.read()

    async def get(self, host: str = "shop.localhost", path: str = "/") -> tuple[bytes, bytes]:
        """One GET."""
        await self.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return await self.response()

    def close(self) -> None:
        """Close."""
        self.writer.close()


class RunningEdge:
    """An edge that accepts connections."""

    def __init__(self, edge: Context, port: int) -> None:
        self.edge = edge
        self.port = port
        self.clients: list[Client] = []

    async def client(self) -> Client:
        """A new connection to it."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    async def exchange(self, wire: bytes, *, half_close: bool = True) -> bytes:
        """Send bytes on a new connection; everything that comes back until it is closed."""
        client = await self.client()
        await client.send(wire)
        if half_close:
            client.writer.write_eof()
        try:
            return await client.rest()
        finally:
            client.close()


@asynccontextmanager
async def running(*apps: App, **settings: Any) -> AsyncIterator[RunningEdge]:
    """An edge with these apps on a free port."""
    edge = an_edge(*apps, **settings)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(cast(Any, partial(ClientConnection, edge)), "127.0.0.1", 0)
    ticking = asyncio.create_task(_tick(edge))
    live = RunningEdge(edge, server.sockets[0].getsockname()[1])
    try:
        yield live
    finally:
        ticking.cancel()
        server.close()
        for ours in live.clients:
            ours.writer.transport.abort()
        for client in list(edge.clients):
            client.transport.abort()  # type: ignore[attr-defined]
        for replica in edge.registry:
            replica.depart()
        await settled()


async def _tick(edge: Context) -> None:
    sweeper = Sweeper(edge)
    while True:
        await asyncio.sleep(edge.settings.tick_s)
        sweeper.tick(0.0)


@asynccontextmanager
async def in_front_of(*origins: Origin, **settings: Any) -> AsyncIterator[RunningEdge]:
    """An edge with one app, one revision, and these origins as its replicas."""
    addresses = [origin.address for origin in origins]
    async with running(an_app(a_revision("v1", 100, endpoints=addresses)), **settings) as edge:
        yield edge
