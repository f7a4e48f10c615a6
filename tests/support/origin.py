"""A replica that does what a test says, byte for byte, and remembers what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Script = Callable[["Connection"], Awaitable[None]]


class Connection:
    """One connection that the router opened."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        """The next request's head."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def send(self, data: bytes) -> None:
        """Send bytes. Raises ConnectionResetError on every loop when the router is gone."""
        if self.writer.transport.is_closing():
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End without a proper close."""
        self.writer.transport.abort()


class Origin:
    """Listens on a free port; `script` serves each connection."""

    def __init__(self, script: Script | bytes = OK) -> None:
        self._script = script
        self.heads: list[bytes] = []
        self.connections = 0
        self._server: asyncio.Server | None = None
        self.address = ""
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Origin:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        connection = Connection(reader, writer)
        try:
            if callable(self._script):
                await self._script(connection)
            else:
                while True:
                    self.heads.append(await connection.head())
                    await connection.send(self._script)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._serving.discard(task)
            writer.close()
