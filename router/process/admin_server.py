"""The server of an admin port, with bounds on what a client may hold without sending a request.

HTTP on the connections is spoken by a site: aiohttp's for the control plane, and a small one for
the router, whose four pages are not worth aiohttp's memory.

A connection counts from its accept (before a TLS handshake) to its end. The server closes a
connection that sends no complete request in time. When there are too many, the one that has been
silent longest is closed, so that silent clients cannot lock out others; when every connection is at
work, one that only waits for news is closed. A client that stops reading its answer is cut off; a
slow one is not.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, cast

from router.process.listeners import address_of, bind_admin

log = logging.getLogger("turnout")

LEAVE_S = 2.0  # for answers being written; a long poll ends as soon as its client leaves
_SWEEP_S = 1.0
_IDLE_S = 75.0  # between two requests; above the interval of most scrapers
_STALLED_S = 60.0  # without a byte of an answer taken
_BACKLOG = 1024
_NO_ROOM_S = 0.1  # between accepts while the process has no free descriptors
_QUIET_S = 10.0  # without a failed accept, after which the next failure is logged again


class Work(Protocol):
    """A request that is being handled."""

    @property
    def awaits_body(self) -> bool:
        """Whether the client still has to send more of the request's body."""

    @property
    def waiter(self) -> str | None:
        """For a long poll or a stream, the name of the token that it came with; None for other
        work.

        The server may end such work at any time: the client simply asks again.
        """


Handling = Callable[[object, Work], AbstractContextManager[None]]


class Site(Protocol):
    """The HTTP side of an admin server."""

    async def start(self, handling: Handling) -> None:
        """Called before the first connection; a site that runs handlers runs them inside
        `handling`.
        """

    def connection(self) -> asyncio.Protocol:
        """The protocol object for a new connection."""

    async def stop(self) -> None:
        """Wait until the answers being written are sent, for LEAVE_S at most."""


class Connection(asyncio.Protocol):
    """One client: passes everything to the site's protocol and measures how long it is silent."""

    def __init__(self, inner: asyncio.Protocol, now: float, silence_s: float) -> None:
        self.inner = inner
        self.transport: asyncio.Transport | None = None  # None during a TLS handshake
        self._work: Work | None = None  # the request being handled
        self.silent_since = now
        self.lost = asyncio.Event()
        self._patience_s = silence_s
        self._unsent = 0
        self._moved_at = now

    def begin(self, work: Work) -> None:
        """Called when the head of a request has arrived."""
        self._work = work

    @property
    def is_busy(self) -> bool:
        """Whether the server is at work, rather than waiting for the client to send the body."""
        return self._work is not None and not self._work.awaits_body

    @property
    def waiter(self) -> str | None:
        """The name of the token if the client only waits for news, else None."""
        return self._work.waiter if self._work is not None else None

    def end(self, now: float) -> None:
        """Called when the request has been handled: from now on the client is expected to read."""
        self._work = None
        self.silent_since = now
        self._patience_s = _IDLE_S

    def is_overdue(self, now: float) -> bool:
        """Whether the client has used up its time. Called about once a second."""
        unsent = self.transport.get_write_buffer_size() if self.transport is not None else 0
        if unsent != self._unsent or not unsent:
            self._unsent, self._moved_at = unsent, now
        if unsent:
            return now - self._moved_at > _STALLED_S
        return not self.is_busy and now - self.silent_since > self._patience_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's
        self.transport = cast(asyncio.Transport, transport)
        self.inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        self.inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()


class AdminServer:
    """Serves a site on one address."""

    def __init__(
        self,
        site: Site,
        address: str,
        *,
        listener: socket.socket | None = None,
        tls: ssl.SSLContext | None = None,
        max_connections: int,
        silence_s: float,
        setting: str = "admin",  # the setting that gives the address, named in errors
    ) -> None:
        self._address = address
        self._setting = setting
        self._listener = listener
        self._tls = tls
        self._max = max_connections
        self._silence_s = silence_s
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._by_inner: dict[object, Connection] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._refused_at = -_QUIET_S  # when an accept last failed
        self._site = site

    @property
    def address(self) -> str:
        """The bound address: HOST:PORT or unix:PATH."""
        if self._address.startswith("unix:"):
            return self._address
        return address_of(self.listener)

    @property
    def listener(self) -> socket.socket:
        """The listening socket; only after `start`."""
        assert self._listener is not None
        return self._listener

    async def start(self) -> None:
        """Accept connections, on `listener` if one was handed over. Raises OSError if binding
        fails.
        """
        if self._listener is None:
            self._listener = bind_admin(self._address, self._setting)
        await self._site.start(self._handling)
        self._listener.listen(_BACKLOG)
        self._tasks = [asyncio.create_task(self._accept()), asyncio.create_task(self._sweep())]

    async def close(self) -> None:
        """Accept no more connections, let answers be written, then close what is left."""
        await _end(self._tasks)
        if self._listener is not None:
            self._listener.close()
        await self._site.stop()
        await _end(list(self._open))

    @contextmanager
    def _handling(self, inner: object, work: Work) -> Iterator[None]:
        connection = self._by_inner.get(inner)
        if connection is None:  # the client left while its request was parsed
            yield
            return
        connection.begin(work)
        try:
            yield
        finally:
            connection.end(asyncio.get_running_loop().time())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self.listener)
            except OSError as error:
                self._say_once(error, loop.time())
                self._make_room()
                await asyncio.sleep(_NO_ROOM_S)
                continue
            if len(self._open) >= self._max and not self._make_room():
                # every connection is at work, which only clients with tokens can bring about
                sock.close()
                continue
            connection = Connection(self._site.connection(), loop.time(), self._silence_s)
            task = loop.create_task(self._serve(sock, connection))
            self._open[task] = connection
            self._by_inner[connection.inner] = connection
            task.add_done_callback(self._gone)

    def _say_once(self, error: OSError, now: float) -> None:
        """Log the first failed accept of a series: the rest follow at ten a second."""
        if now - self._refused_at > _QUIET_S:
            log.error("event=admin_accept_failed reason=%r", str(error))
        self._refused_at = now

    async def _serve(self, sock: socket.socket, connection: Connection) -> None:
        """Serve one connection until it ends; cancel the task to end it early."""
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: connection, sock, ssl=self._tls)
            await connection.lost.wait()
        except OSError:
            pass  # a failed handshake concerns only its client
        finally:
            if connection.transport is not None:
                connection.transport.abort()
            sock.close()

    def _gone(self, task: asyncio.Task[None]) -> None:
        connection = self._open.pop(task)
        del self._by_inner[connection.inner]

    def _make_room(self) -> bool:
        """Close the longest silent connection, or one that waits for news; False if neither."""
        silent = [(c.silent_since, task) for task, c in self._open.items() if not c.is_busy]
        if silent:
            min(silent, key=lambda pair: pair[0])[1].cancel()
            return True
        waiting: dict[str, list[asyncio.Task[None]]] = {}
        for task, connection in self._open.items():
            if (waiter := connection.waiter) is not None:
                waiting.setdefault(waiter, []).append(task)
        if not waiting:
            return False
        # Close the newest waiter of the token that has the most: earlier ones keep their place.
        max(waiting.values(), key=len)[-1].cancel()
        return True

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_SWEEP_S, self._silence_s / 2))
            now = loop.time()
            for task, connection in self._open.items():
                if connection.is_overdue(now):
                    task.cancel()


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
