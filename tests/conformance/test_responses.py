"""Responses as RFC 9112 §6.3 frames them: what the client gets of what the replica sent."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.support.edges import in_front_of
from tests.support.origin import OK, Connection, Origin

GET = b"GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
OLD = GET.replace(b"1.1", b"1.0")
ADDED = re.compile(rb"(?:Date|X-Request-Id): [^\r\n]*\r\n")


def reply(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    return b"\r\n".join((line, *fields)) + b"\r\n\r\n" + body


LENGTH, CHUNKED = b"Content-Length: 3", b"Transfer-Encoding: chunked"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"

# What the replica sends (and then keeps the connection open); the client gets a 502.
UNREADABLE = {
    "no status line": b"hello\r\n\r\n",
    "a status line of HTTP/2": reply(line=b"HTTP/2 200 OK"),
    "a status of two digits": reply(line=b"HTTP/1.1 20 OK"),
    "a status of four digits": reply(line=b"HTTP/1.1 2000 OK"),
    "a status below 100": reply(line=b"HTTP/1.1 099 OK"),
    "a status above 599": reply(line=b"HTTP/1.1 600 OK"),
    "two spaces before the status": reply(line=b"HTTP/1.1  200 OK"),
    "a control in the reason": reply(line=b"HTTP/1.1 200 \x01"),
    "bare LF line ends": reply(LENGTH, body=b"abc").replace(b"\r\n", b"\n"),
    "obs-fold": reply(b"A: b", b" c", LENGTH, body=b"abc"),
    "a space before the colon": reply(b"A : b", LENGTH, body=b"abc"),
    "an empty name": reply(b": b", LENGTH, body=b"abc"),
    "NUL in a value": reply(b"A: b\0", LENGTH, body=b"abc"),
    "CR in a value": reply(b"A: b\rSet-Cookie: x", LENGTH, body=b"abc"),
    "a length that is none": reply(b"Content-Length: x", body=b"abc"),
    "a negative length": reply(b"Content-Length: -3", body=b"abc"),
    "a length list": reply(b"Content-Length: 3, 3", body=b"abc"),
    "two lengths": reply(LENGTH, b"Content-Length: 4", body=b"abc"),
    "length and coding": reply(LENGTH, CHUNKED, body=CHUNKS),
    "an unknown coding": reply(b"Transfer-Encoding: gzip, chunked", body=CHUNKS),
    "chunks in HTTP/1.0": reply(CHUNKED, line=b"HTTP/1.0 200 OK", body=CHUNKS),
    "101 unasked": reply(b"Connection: upgrade", b"Upgrade: x", line=b"HTTP/1.1 101 Switching"),
    "a head of 40 kB": reply(b"A: " + b"b" * 40000, LENGTH, body=b"abc"),
}

# name: (the request, what the replica sends before it closes, what the client gets)
PASSED = {
    "a length": (GET, reply(LENGTH, body=b"abc"), reply(LENGTH, body=b"abc")),
    "a length of zero": (GET, reply(b"Content-Length: 0"), reply(b"Content-Length: 0")),
    "chunks": (GET, reply(CHUNKED, body=CHUNKS), reply(CHUNKED, body=CHUNKS)),
    "chunk extensions end here": (
        GET,
        reply(CHUNKED, body=b"3;a=b\r\nabc\r\n0\r\n\r\n"),
        reply(CHUNKED, body=CHUNKS),
    ),
    "trailers": (
        GET,
        reply(CHUNKED, body=b"0\r\nX-T: 1\r\nSet-Cookie: x\r\n\r\n"),
        reply(CHUNKED, body=b"0\r\nX-T: 1\r\n\r\n"),
    ),
    "until close becomes chunks": (GET, reply(body=b"abc"), reply(CHUNKED, body=CHUNKS)),
    "until close for HTTP/1.0": (OLD, reply(body=b"abc"), reply(b"Connection: close", body=b"abc")),
    "chunks for HTTP/1.0": (
        OLD,
        reply(CHUNKED, body=CHUNKS),
        reply(b"Connection: close", body=b"abc"),
    ),
    "an HTTP/1.0 replica": (
        GET,
        reply(LENGTH, line=b"HTTP/1.0 200 OK", body=b"abc"),
        reply(LENGTH, body=b"abc"),
    ),
    "HEAD keeps the length": (HEAD, reply(LENGTH), reply(LENGTH)),
    "304 keeps the length": (
        GET,
        reply(LENGTH, line=b"HTTP/1.1 304 Not Modified"),
        reply(LENGTH, line=b"HTTP/1.1 304 Not Modified"),
    ),
    "204 loses the length": (
        GET,
        reply(LENGTH, line=b"HTTP/1.1 204 No Content"),
        reply(line=b"HTTP/1.1 204 No Content"),
    ),
    "a status nobody knows": (
        GET,
        reply(LENGTH, line=b"HTTP/1.1 299 Odd", body=b"abc"),
        reply(LENGTH, line=b"HTTP/1.1 299 Odd", body=b"abc"),
    ),
    "no reason": (
        GET,
        reply(LENGTH, line=b"HTTP/1.1 200", body=b"abc"),
        reply(LENGTH, line=b"HTTP/1.1 200 ", body=b"abc"),
    ),
    "103 passes": (
        GET,
        reply(b"Link: </a>", line=b"HTTP/1.1 103 Early Hints") + reply(LENGTH, body=b"abc"),
        reply(b"Link: </a>", line=b"HTTP/1.1 103 Early Hints") + reply(LENGTH, body=b"abc"),
    ),
    "103 does not pass to HTTP/1.0": (
        OLD,
        reply(b"Link: </a>", line=b"HTTP/1.1 103 Early Hints") + reply(LENGTH, body=b"abc"),
        reply(LENGTH, b"Connection: close", body=b"abc"),
    ),
    "hop-by-hop fields end here": (
        GET,
        reply(b"Connection: close, X-Hop", b"X-Hop: 1", b"Keep-Alive: 5", LENGTH, body=b"abc"),
        reply(LENGTH, body=b"abc"),
    ),
    "what only the edge may say": (
        GET,
        reply(b"X-Turnout-Error: HostNotFound", LENGTH, body=b"abc"),
        reply(LENGTH, body=b"abc"),
    ),
    "cookies stay apart": (
        GET,
        reply(b"Set-Cookie: a=1", b"Set-Cookie: b=2", LENGTH, body=b"abc"),
        reply(b"Set-Cookie: a=1", b"Set-Cookie: b=2", LENGTH, body=b"abc"),
    ),
    "bytes behind the body are nobody's": (
        GET,
        reply(LENGTH, body=b"abcHTTP/1.1 200 OK\r\n"),
        reply(LENGTH, body=b"abc"),
    ),
}

# What the replica sends before it breaks off; no client may take it for complete.
CUT_SHORT = {
    "inside a length": reply(b"Content-Length: 9", body=b"abc"),
    "before the body": reply(b"Content-Length: 9"),
    "inside a chunk": reply(CHUNKED, body=b"9\r\nabc"),
    "between chunks": reply(CHUNKED, body=b"3\r\nabc\r\n"),
    "before the last empty line": reply(CHUNKED, body=b"3\r\nabc\r\n0\r\n"),
    "in a chunk size that is none": reply(CHUNKED, body=b"3\r\nabc\r\nxyz\r\n"),
    "with a chunk longer than its size": reply(CHUNKED, body=b"3\r\nabcdef\r\n0\r\n\r\n"),
}


async def everything(request: bytes, sent: bytes, *, closes: bool) -> bytes:
    async def answer(c: Connection) -> None:
        await c.head()
        await c.send(sent)
        if not closes:
            await c.reader.read()

    async with Origin(answer) as origin, in_front_of(origin, half_close_s=0.3, tick_s=0.02) as edge:
        return ADDED.sub(b"", await edge.exchange(request))


@pytest.mark.parametrize("name", UNREADABLE)
async def test_unreadable(name: str) -> None:
    got = await everything(GET, UNREADABLE[name], closes=False)

    assert got.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"X-Turnout-Error: UpstreamProtocolError\r\n" in got


@pytest.mark.parametrize("name", PASSED)
async def test_passed(name: str) -> None:
    request, sent, expected = PASSED[name]

    assert await everything(request, sent, closes=True) == expected


@pytest.mark.parametrize("name", CUT_SHORT)
async def test_cut_short(name: str) -> None:
    got = await everything(GET, CUT_SHORT[name], closes=True)

    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert not got.endswith(b"0\r\n\r\n")
    assert got.partition(b"\r\n\r\n")[2] in (b"", b"abc", b"3\r\nabc\r\n")


async def test_an_answer_until_close_that_is_reset_ends_with_a_reset_for_http10() -> None:
    async def answer(c: Connection) -> None:
        await c.head()
        await c.send(reply(body=b"abc"))
        await gone.wait()
        sock = c.writer.get_extra_info("socket")
        sock.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER 0: close by reset
        c.reset()

    gone = asyncio.Event()
    async with Origin(answer) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await client.send(OLD)
        await client.reader.readuntil(b"abc")
        gone.set()
        with pytest.raises(ConnectionResetError):
            await client.rest()


async def test_a_connection_with_bytes_left_over_is_not_used_again() -> None:
    async with Origin(OK + b"x") as origin, in_front_of(origin) as edge:
        client = await edge.client()
        for _ in range(3):
            assert (await client.get())[1] == b"ok"
        assert origin.connections == 3
