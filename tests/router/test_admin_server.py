"""The admin port's bounds, on real sockets: silence costs the silent client and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from control.up.certificates import Authority
from router.contract.settings import RouterSettings
from router.process.admin.web_site import WAITER, WebSite
from router.process.admin_server import AdminServer
from router.process.config import load
from router.process.guard import guard
from router.process.tokens import Tokens

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


@asynccontextmanager
async def serving(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]] = hello,
    tls: ssl.SSLContext | None = None,
    *,
    max_connections: int = 100,
    silence_s: float = 30.0,
    guarded_in: Path | None = None,
) -> AsyncIterator[Callable[[], Awaitable[Streams]]]:
    """A server, and a way to connect to it."""
    app = web.Application()
    if guarded_in is not None:
        settings = load(RouterSettings, {"state": guarded_in}, environ={})
        app.middlewares.append(guard(settings, Tokens("", guarded_in)))
    app.router.add_route("*", "/", handler)
    server = AdminServer(
        WebSite(app), "127.0.0.1:0", tls=tls, max_connections=max_connections, silence_s=silence_s
    )
    await server.start()
    opened: list[asyncio.StreamWriter] = []

    async def connect() -> Streams:
        host, _, port = server.address.rpartition(":")
        streams = await asyncio.open_connection(host, int(port))
        opened.append(streams[1])
        return streams

    try:
        yield connect
    finally:
        for writer in opened:
            writer.close()
        await server.close()


async def ask(streams: Streams, request: bytes = GET) -> bytes:
    """The head and the body of an answer."""
    reader, writer = streams
    writer.write(request)
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")
        )
        return head + await reader.readexactly(length)


async def closed(streams: Streams) -> bool:
    """Waits until the server has ended a connection without a byte of answer."""
    try:
        async with asyncio.timeout(10):
            return await streams[0].read(1) == b""
    except ConnectionResetError:
        return True


async def test_a_connection_that_sends_no_request_is_closed() -> None:
    async with serving(silence_s=0.2) as connect:
        silent, halfway, alive = await connect(), await connect(), await connect()
        halfway[1].write(GET[:20])
        assert (await ask(alive)).endswith(b"hello")
        assert await closed(silent)
        assert await closed(halfway)
        assert (await ask(alive)).endswith(b"hello")  # it has shown that it means it


async def test_bytes_that_trickle_in_do_not_buy_time() -> None:
    async with serving(silence_s=0.2) as connect:
        streams = await connect()

        async def trickle() -> None:
            for byte in GET[:-2] * 100:
                streams[1].write(bytes([byte]))
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        assert await closed(streams)
        trickling.cancel()


async def test_a_silent_tls_handshake_is_closed_too(tmp_path: Path) -> None:
    async with serving(tls=Authority(tmp_path).context(), silence_s=0.2) as connect:
        assert await closed(await connect())


async def test_silent_clients_make_room_for_one_that_asks() -> None:
    async with serving(max_connections=8) as connect:
        crowd = [await connect() for _ in range(40)]
        assert (await ask(await connect())).endswith(b"hello")
        assert await closed(crowd[0])


async def test_clients_that_keep_a_body_back_are_silent_too() -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"
    async with serving(echo, max_connections=8, silence_s=0.3) as connect:
        crowd = [await connect() for _ in range(40)]
        for _, writer in crowd:
            writer.write(head + b"he")
        assert (await ask(await connect(), head + b"hello")).endswith(b"hello")
        assert await closed(crowd[0])
        assert await closed(crowd[-1])


async def test_requests_at_work_are_never_ended_to_make_room() -> None:
    proceed, at_work = asyncio.Event(), asyncio.Semaphore(0)

    async def slow(_: web.Request) -> web.Response:
        at_work.release()
        await proceed.wait()
        return web.Response(text="done")

    async with serving(slow, max_connections=4, silence_s=0.2) as connect:
        asking = [asyncio.create_task(ask(await connect())) for _ in range(4)]
        for _ in asking:
            await at_work.acquire()
        assert await closed(await connect())  # there is no room, and none is taken from them
        proceed.set()
        assert all(answer.endswith(b"done") for answer in await asyncio.gather(*asking))


async def test_who_only_waits_for_news_makes_room_and_the_newest_of_the_greediest_first() -> None:
    waiting = asyncio.Semaphore(0)

    async def news(request: web.Request) -> web.Response:
        if (name := request.query.get("of")) is None:
            return await hello(request)
        request[WAITER] = name
        waiting.release()
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(news, max_connections=4) as connect:

        async def poll(name: str) -> Streams:
            streams = await connect()
            streams[1].write(GET.replace(b"/", b"/?of=" + name.encode(), 1))
            async with asyncio.timeout(10):
                await waiting.acquire()
            return streams

        first, *rest = [await poll("greedy") for _ in range(3)]
        modest = await poll("modest")
        assert (await ask(await connect())).endswith(b"hello")
        assert await closed(rest[1])
        for _ in range(40):  # it comes again at once
            await poll("greedy")
            assert (await ask(await connect())).endswith(b"hello")
        assert not first[0].at_eof()
        assert not modest[0].at_eof()


async def test_a_slow_reader_gets_all_of_its_answer() -> None:
    size = 8 << 20

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=bytes(size))

    async with serving(large, silence_s=0.1) as connect:
        reader, writer = await connect()
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(size // 8)
        await asyncio.sleep(0.25)  # some sweeps of the server pass meanwhile
        async with asyncio.timeout(10):
            await reader.readexactly(size - size // 8)


# --- what the guard says, where only bytes can ask


def lines(*fields: bytes, start: bytes = b"GET / HTTP/1.1", body: bytes = b"") -> bytes:
    return b"\r\n".join((start, *fields, b"", body))


async def test_bytes_beyond_ascii_are_a_token_that_nobody_has(tmp_path: Path) -> None:
    async with serving(guarded_in=tmp_path) as connect:
        for value in (b"\xff\xfe", b"Bearer \xff\xfe", b"Bearer \xc3\xa9", b"\xc3 x"):
            answer = await ask(
                await connect(), lines(b"Host: localhost", b"Authorization: " + value)
            )
            assert answer.startswith(b"HTTP/1.1 401 "), value


async def test_the_guard_reads_every_field_and_not_the_first(tmp_path: Path) -> None:
    async with serving(guarded_in=tmp_path) as connect:
        token = (tmp_path / "token").read_bytes().strip()
        good = (b"Host: localhost", b"Authorization: bearer " + token)
        assert (await ask(await connect(), lines(*good))).endswith(b"hello")
        for code, fields in (
            (b"421", (*good, b"Host: evil.example")),
            (b"421", good[1:]),
            (b"403", (*good, b"Origin: http://localhost", b"Origin: http://evil.example")),
            (b"403", (*good, b"Sec-Fetch-Site: none", b"Sec-Fetch-Site: cross-site")),
        ):
            answer = await ask(await connect(), lines(*fields))
            # a doubled Host is refused by the parser already, as RFC 9112 §3.2 asks
            assert answer.startswith((b"HTTP/1.1 " + code, b"HTTP/1.0 400 ")), (fields, answer)


async def test_an_empty_body_needs_no_type_and_a_full_one_does(tmp_path: Path) -> None:
    async with serving(guarded_in=tmp_path) as connect:
        token = (tmp_path / "token").read_bytes().strip()
        fields = (b"Host: localhost", b"Authorization: Bearer " + token)
        chunked = b"Transfer-Encoding: chunked"
        for status, more, body in (
            (b"200", (b"Content-Length: 0",), b""),
            (b"200", (chunked,), b"0\r\n\r\n"),
            (b"200", (b"Content-Length: 2", b"Content-Type: application/json"), b"{}"),
            (b"415", (b"Content-Length: 2",), b"{}"),
            (b"415", (b"Content-Length: 2", b"Content-Type: text/plain"), b"{}"),
            (b"415", (chunked, b"Content-Type: text/plain"), b"2\r\n{}\r\n0\r\n\r\n"),
        ):
            request = lines(*fields, *more, start=b"POST / HTTP/1.1", body=body)
            answer = await ask(await connect(), request)
            assert answer.startswith(b"HTTP/1.1 " + status), (more, body, answer)


def a_bomb(megabytes: int) -> bytes:
    """About a thousandth of what it unpacks to: the same block over and over."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + block * megabytes


@pytest.mark.parametrize("has_token", [False, True])
async def test_nobody_unpacks_a_body(tmp_path: Path, has_token: bool) -> None:
    bomb = a_bomb(2000)

    async with serving(guarded_in=tmp_path) as connect:
        token = (tmp_path / "token").read_bytes().strip() if has_token else b"none"

        async def cost(*fields: bytes) -> tuple[float, bytes]:
            began = time.process_time()
            head = lines(
                b"Host: localhost",
                b"Authorization: Bearer " + token,
                b"Content-Type: application/json",
                b"Content-Length: %d" % len(bomb),
                b"Connection: close",
                *fields,
                start=b"POST / HTTP/1.1",
            )
            reader, writer = await connect()
            writer.write(head + bomb)
            answer = b""
            with contextlib.suppress(ConnectionError):  # it may end before all was sent
                while more := await reader.read(1 << 16):
                    answer += more
            return time.process_time() - began, answer

        plain, _ = await cost()
        packed, answer = await cost(b"Content-Encoding: gzip")
        assert packed < plain + 0.5  # unpacking takes seconds
        assert answer.startswith(b"HTTP/1.1 415 " if has_token else b"HTTP/1.1 401 ")
        assert not has_token or b"send it as it is" in answer


async def test_a_port_without_descriptors_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """Each accept that fails makes room by ending the client that was silent longest."""
    async with serving() as connect:
        silent = [await connect() for _ in range(3)]
        for streams in silent:
            assert b"hello" in await ask(streams)
        waiting = [socket.socket() for _ in range(6)]
        probe = socket.socket()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno(), hard))
        probe.close()
        filling = []
        try:
            with contextlib.suppress(OSError):
                while True:
                    filling.append(socket.socket())
            port = silent[0][1].get_extra_info("peername")[1]
            for sock in waiting:
                sock.connect(("127.0.0.1", port))
            assert [await closed(streams) for streams in silent] == [True] * 3
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for sock in (*filling, *waiting):
                sock.close()
    assert caplog.text.count("event=admin_accept_failed") == 1
