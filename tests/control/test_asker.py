"""Questions over kept connections, and answers that are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from control.model.targets import PRIVATE, Targets
from control.model.template import Probe
from control.probes.asker import Asker, Inquiry, KeptConnection
from tests.support.origin import OK, Connection, Origin


@asynccontextmanager
async def asking(address: str, **get: Any) -> AsyncIterator[Any]:
    """A function that asks once and returns what went wrong."""
    asker, kept = Asker(Targets(PRIVATE)), KeptConnection()
    probe = Probe.model_validate(
        {"type": "Readiness", "timeout_seconds": 1, "http_get": {"path": "/", "port": 80, **get}}
    )

    async def ask() -> str:
        heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asker.ask(Inquiry.of(probe, address), kept, heard.set_result)
        return await heard

    try:
        yield ask
    finally:
        kept.close()
        await asker.close()


async def test_a_connection_is_used_again_but_not_for_ever() -> None:
    async with Origin() as origin, asking(origin.address) as ask:
        assert [await ask() for _ in range(12)] == [""] * 12
        assert len(origin.heads) == 12
        assert origin.connections == 2


async def test_a_kept_connection_that_was_closed_is_no_failure() -> None:
    async def once(connection: Connection) -> None:
        await connection.head()
        await connection.send(OK)
        with_reset.append(connection)
        await connection.head()
        connection.reset()  # as if its idle time had been over just then

    with_reset: list[Connection] = []
    async with Origin(once) as origin, asking(origin.address) as ask:
        assert [await ask(), await ask(), await ask()] == ["", "", ""]


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, ""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", ""),
        (b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n", "/ answered 500"),
        (b"SSH-2.0-OpenSSH\r\n", "not a valid HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "not a valid HTTP answer"),
    ],
)
async def test_what_counts_is_the_status(answer: bytes, wrong: str) -> None:
    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(answer)
        await connection.reader.read()

    async with Origin(script) as origin, asking(origin.address) as ask:
        assert (await ask()).startswith(wrong or "\0") is bool(wrong)


async def test_a_connection_that_is_closed_without_an_answer_is_a_failure() -> None:
    async def script(connection: Connection) -> None:
        await connection.head()

    async with Origin(script) as origin, asking(origin.address) as ask:
        assert "the connection was closed" in await ask()


async def test_a_body_that_never_ends_does_not_hold_up_the_answer_or_the_next_one() -> None:
    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await connection.send(b"5\r\nhello\r\n")
            await asyncio.sleep(0.01)

    async with Origin(script) as origin, asking(origin.address) as ask:
        assert [await ask(), await ask()] == ["", ""]


async def test_a_host_name_is_looked_up() -> None:
    async with Origin() as origin:
        port = origin.address.rpartition(":")[2]
        asker, heard = Asker(Targets(PRIVATE)), asyncio.get_running_loop().create_future()
        asker.ask(Inquiry(f"localhost:{port}", 5.0), KeptConnection(), heard.set_result)
        assert await heard == ""
        await asker.close()


async def test_headers_of_the_probe_are_sent() -> None:
    headers = [{"name": "X-Key", "value": "k"}, {"name": "Host", "value": "app.example"}]
    async with Origin() as origin, asking(origin.address, httpHeaders=headers) as ask:
        assert await ask() == ""
        (head,) = origin.heads
        assert b"\r\nX-Key: k\r\n" in head
        assert head.lower().count(b"\r\nhost: ") == head.count(b"\r\nHost: app.example") == 1


LONG = "x" * 64 + ".example"  # no label of a name has more than 63 letters


@pytest.mark.parametrize("host", [LONG, "a..b", ".a"])
@pytest.mark.parametrize("is_http", [True, False])
@pytest.mark.parametrize("is_judged", [True, False])
async def test_a_name_that_cannot_be_looked_up_is_an_answer(
    host: str, is_http: bool, is_judged: bool
) -> None:
    asker, heard = Asker(Targets(PRIVATE)), asyncio.get_running_loop().create_future()
    request = b"GET / HTTP/1.1\r\n\r\n" if is_http else b""
    inquiry = Inquiry(f"{host}:80", 5.0, request, is_judged=is_judged)
    asker.ask(inquiry, KeptConnection(), heard.set_result)
    async with asyncio.timeout(30):
        assert host in await heard
    await asker.close()


async def test_a_question_that_timed_out_over_a_kept_connection_is_not_asked_again() -> None:
    async def once(connection: Connection) -> None:
        await connection.head()
        await connection.send(OK)
        await connection.reader.read()

    async with Origin(once) as origin, asking(origin.address) as ask:
        assert await ask() == ""
        assert "no answer within" in await ask()
        assert await ask() == ""
        assert origin.connections == 2
