"""The router's admin port: what its small HTTP server makes of requests, good and bad."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from router.process.admin.pages import Asked, Page, Pages
from router.process.admin_server import AdminServer

GET = b"GET /a?b=c HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def told(asked: Asked) -> Page:
    return Page(f"{asked.method} {asked.path}\n".encode())


@asynccontextmanager
async def serving(
    answer: Callable[[Asked], Awaitable[Page]] = told, silence_s: float = 30.0
) -> AsyncIterator[Callable[[bytes], Awaitable[bytes]]]:
    """A way to send bytes on a new connection and get all that comes back until it is closed."""
    server = AdminServer(Pages(answer), "127.0.0.1:0", max_connections=100, silence_s=silence_s)
    await server.start()
    host, _, port = server.address.rpartition(":")

    async def exchange(wire: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(wire)
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()

    try:
        yield exchange
    finally:
        await server.close()


def closing(request: bytes) -> bytes:
    return request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


def statuses(wire: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", wire)]


async def test_requests_on_one_connection_are_answered_in_order() -> None:
    async with serving() as exchange:
        said = await exchange(GET * 40 + closing(GET.replace(b"/a", b"/last")))
    assert statuses(said) == [200] * 41
    assert said.count(b"GET /a\n") == 40
    assert said.endswith(b"\r\nConnection: close\r\n\r\nGET /last\n")


async def test_head_has_the_length_and_no_body() -> None:
    async with serving() as exchange:
        said = await exchange(closing(GET.replace(b"GET", b"HEAD")))
    assert b"Content-Length: 8\r\n" in said
    assert said.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 413),
        (
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            413,
        ),
        (b"what is this\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000, 431),
        (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nwhatever", 200),
    ],
    ids=["POST", "body", "chunks", "garbage", "large", "HTTP/1.0", "upgrade"],
)
async def test_one_answer_and_the_end(wire: bytes, status: int) -> None:
    async with serving() as exchange:
        assert statuses(await exchange(wire)) == [status]


async def test_a_client_that_sends_nothing_is_let_go() -> None:
    async with serving(silence_s=0.1) as exchange:
        assert await exchange(b"GET / HT") == b""


async def test_a_client_that_leaves_ends_its_answer() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(_: Asked) -> Page:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with serving(slow) as exchange:
        waiting = asyncio.create_task(exchange(GET))
        await begun.wait()
        waiting.cancel()
        async with asyncio.timeout(10):
            await ended.wait()


async def test_a_mistake_of_ours_is_a_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(_: Asked) -> Page:
        raise RuntimeError("a mistake")

    async with serving(broken) as exchange:
        assert statuses(await exchange(closing(GET))) == [500]
    assert "a mistake" in caplog.text
