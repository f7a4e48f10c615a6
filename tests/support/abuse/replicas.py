"""Replicas that behave badly, as scripts for `Origin`; the last part of a path is a number.

`/bytes/N` of `large` is an answer of N bytes, `/chunks/N` of `dribble` one of N chunks, and so on.
"""

from __future__ import annotations

import asyncio
import re

from httptools import HttpRequestParser

from tests.support.origin import OK, Connection

BLOCK = b"x" * (64 << 10)
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
_NUMBER = re.compile(rb"/(\d+) HTTP")
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_GARBAGE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"HTTP/9.9 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    b"y" * 100_000,
)


def number(head: bytes) -> int:
    """The number that ends a request's path; 0 without one."""
    found = _NUMBER.search(head.partition(b"\r\n")[0])
    return int(found[1]) if found else 0


async def switches_or_answers(c: Connection) -> None:
    """A WebSocket for those who ask for one, and an answer for the others."""
    while True:
        if b"websocket" in await c.head():
            await c.send(SWITCHING)
            await c.reader.read()
        await c.send(OK)


async def closes_at_once(c: Connection) -> None:
    """Reset a connection as soon as it is there."""
    c.reset()


async def late(c: Connection) -> None:
    """Answer after N milliseconds."""
    while True:
        head = await c.head()
        await asyncio.sleep(number(head) / 1000)
        await c.send(OK)


async def halves(c: Connection) -> None:
    """Half an answer at once, and the other half after N milliseconds."""
    while True:
        head = await c.head()
        await c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nfirst half")
        await asyncio.sleep(number(head) / 1000)
        await c.send(b"other half")


async def large(c: Connection) -> None:
    """N bytes, of known length."""
    while True:
        left = number(await c.head())
        await c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
        while left:
            await c.send(BLOCK[:left])
            left -= min(left, len(BLOCK))


async def large_until_close(c: Connection) -> None:
    """N bytes that only the end of the connection delimits."""
    left = number(await c.head())
    await c.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while left:
        await c.send(BLOCK[:left])
        left -= min(left, len(BLOCK))


async def dribble(c: Connection) -> None:
    """N chunks of one byte each."""
    while True:
        left = number(await c.head())
        await c.send(_CHUNKED)
        while left:
            step = min(left, 10_000)
            await c.send(b"1\r\nx\r\n" * step)
            left -= step
        await c.send(b"0\r\n\r\n")


async def breaks_off(c: Connection) -> None:
    """A chunked answer that ends in its midst."""
    await c.head()
    await c.send(_CHUNKED + b"5\r\nhello\r\n")
    await asyncio.sleep(0.05)
    c.writer.close()


class _Sizer:
    """Measures the body of one request."""

    def __init__(self) -> None:
        self.size = 0
        self.is_complete = False

    def on_body(self, data: bytes) -> None:
        self.size += len(data)

    def on_message_complete(self) -> None:
        self.is_complete = True


async def counts(c: Connection) -> None:
    """Say how many bytes a request's body had."""
    while True:
        sizer = _Sizer()
        parser = HttpRequestParser(sizer)
        while not sizer.is_complete:
            data = await c.reader.read(256 << 10)
            if not data:
                return
            parser.feed_data(data)
        said = b"%d" % sizer.size
        await c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))


async def stops_reading(c: Connection) -> None:
    """Read a head and nothing of the body behind it."""
    await c.head()
    c.writer.transport.pause_reading()  # type: ignore[attr-defined] # a ReadTransport too
    await asyncio.Event().wait()


async def garbage(c: Connection) -> None:
    """Answer with what is not HTTP, each time another kind."""
    head = await c.head()
    await c.send(_GARBAGE[number(head) % len(_GARBAGE)])
    await asyncio.sleep(0.05)


async def trickles(c: Connection) -> None:
    """One byte of the answer per second."""
    await c.head()
    await c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        await c.send(b"x")
        await asyncio.sleep(1.0)


async def endless_head(c: Connection) -> None:
    """A head that never ends."""
    await c.head()
    await c.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await c.send(b"X-More: more\r\n" * 1000)


async def interim(c: Connection) -> None:
    """N interim heads in one write, then the answer."""
    while True:
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
        await c.send(hints * number(await c.head()) + OK)


async def endless_interim(c: Connection) -> None:
    """Interim heads and never an answer."""
    await c.head()
    while True:
        await c.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
        await asyncio.sleep(0.05)


async def tunnel_sink(c: Connection) -> None:
    """Switch protocols, read N bytes, and say so with one frame."""
    left = number(await c.head())
    await c.send(SWITCHING)
    while left > 0:
        data = await c.reader.read(256 << 10)
        if not data:
            return
        left -= len(data)
    await c.send(b"\x81\x04done")
    await c.reader.read()


async def tunnel_source(c: Connection) -> None:
    """Switch protocols and send N WebSocket frames of ten bytes each."""
    left = number(await c.head())
    await c.send(SWITCHING)
    while left:
        step = min(left, 5_000)
        await c.send(b"\x81\x08frame-no" * step)
        left -= step
    await c.reader.read()


class Held:
    """Answers that leave when they are told to, in that order."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, tuple[Connection, bytes]] = {}

    async def __call__(self, c: Connection) -> None:
        while True:
            head = await c.head()
            token = head.split(b" ", 2)[1].rpartition(b"/")[2]
            self._waiting[token] = (c, token)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def tokens(self) -> list[bytes]:
        """Those of the requests that wait."""
        return list(self._waiting)

    def forget(self) -> None:
        """Begin anew."""
        self._waiting.clear()

    async def release(self, token: bytes) -> None:
        """Answer the request with that token, by its token."""
        c, body = self._waiting.pop(token)
        await c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
