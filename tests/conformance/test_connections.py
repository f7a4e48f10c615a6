"""RFC 9110 and 9112 on connections: persistence, pipelining, upgrades, expectations.

Each case states what the client sends, what the replica answers to each head, and what both see.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

import pytest

from tests.support.edges import in_front_of
from tests.support.origin import OK, Connection, Origin

HOST = b"Host: shop.localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Case:
    """One connection of a client."""

    sends: bytes
    statuses: list[int]  # of all answers, interim ones too
    closes: bool  # whether the edge ends the connection by itself
    answers: list[bytes] = field(default_factory=lambda: [OK])  # one per head the replica reads
    heads: int | None = None  # how many the replica reads; default: one per answer
    sees: tuple[bytes, ...] = ()  # in what the replica reads
    misses: tuple[bytes, ...] = ()  # not in it
    ends_with: bytes = b""  # what the client reads last


def post(*lines: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    head = b"POST / HTTP/%b\r\n" % version + HOST + b"".join(x + b"\r\n" for x in lines)
    return head + b"\r\n" + body


CASES = {
    # RFC 9112 §9.3: persistence
    "1.1 stays open": Case(GET + b"\r\n", [200], closes=False),
    "1.1 with close": Case(GET + b"Connection: close\r\n\r\n", [200], closes=True),
    "1.1 with Close, keep-alive": Case(
        GET + b"Connection: Keep-Alive, CLOSE\r\n\r\n", [200], closes=True
    ),
    "1.0 closes": Case(b"GET / HTTP/1.0\r\n" + HOST + b"\r\n", [200], closes=True),
    "1.0 with keep-alive stays": Case(
        b"GET / HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n\r\n", [200], closes=False
    ),
    "a replica's close is its own": Case(
        GET + b"\r\n" + GET + b"\r\n", [200, 200], closes=False,
        answers=[b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", OK],
    ),
    "nothing behind close is a request": Case(
        GET + b"Connection: close\r\n\r\n" + GET + b"\r\n", [200], closes=True
    ),
    # RFC 9112 §9.3.2: pipelining
    "three in one write": Case((GET + b"\r\n") * 3, [200] * 3, closes=False, answers=[OK] * 3),
    "a body, then a request": Case(
        post(b"Content-Length: 3", body=b"abc") + GET + b"\r\n", [200, 200], closes=False,
        answers=[OK, OK],
    ),
    "chunks, then a request": Case(
        post(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n") + GET + b"\r\n",
        [200, 200], closes=False, answers=[OK, OK],
    ),
    "empty lines between requests": Case(
        GET + b"\r\n\r\n\r\n" + GET + b"\r\n", [200, 200], closes=False, answers=[OK, OK]
    ),
    "a bad one behind a good one": Case(GET + b"\r\nnonsense\r\n\r\n", [200, 400], closes=True),
    # RFC 9110 §7.8: upgrades
    "WebSocket": Case(
        GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", [101], closes=False,
        answers=[SWITCH % b"websocket"], sees=(b"Connection: Upgrade\r\nUpgrade: websocket\r\n",),
    ),
    "an upgrade that is not taken": Case(
        GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", [200], closes=False
    ),
    "Upgrade that Connection does not name": Case(
        GET + b"Upgrade: websocket\r\n\r\n", [200], closes=False, misses=(b"websocket",)
    ),
    "h2c is not offered": Case(
        GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n",
        [200], closes=False, misses=(b"h2c", b"HTTP2-Settings", b"Connection"),
    ),
    "an upgrade with a body is a plain request": Case(
        post(b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 3", body=b"abc"),
        [200], closes=False, sees=(b"\r\n\r\nabc",), misses=(b"websocket",),
    ),
    "101 that nobody asked for": Case(
        GET + b"\r\n", [502], closes=False, answers=[SWITCH % b"websocket"]
    ),
    "101 to HTTP/1.0": Case(
        b"GET / HTTP/1.0\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        [502], closes=True, answers=[SWITCH % b"websocket"], misses=(b"websocket",),
    ),
    # RFC 9110 §10.1.1: expectations
    "continue comes from the replica": Case(
        post(b"Content-Length: 3", b"Expect: 100-continue", body=b"abc"), [100, 200],
        closes=False, answers=[CONTINUE + OK], sees=(b"Expect: 100-continue",),
    ),
    "a final answer instead of continue": Case(
        post(b"Content-Length: 3", b"Expect: 100-continue"), [413], closes=True,
        answers=[TOO_LARGE],
    ),
    "an expectation nobody knows": Case(
        post(b"Content-Length: 3", b"Expect: tea"), [417], closes=True, answers=[], heads=0
    ),
    "continue is nothing for HTTP/1.0": Case(
        post(b"Content-Length: 3", b"Expect: 100-continue", body=b"abc", version=b"1.0"),
        [200], closes=True, answers=[CONTINUE + OK], misses=(b"Expect",),
    ),
    # RFC 9110 §15.2: interim answers
    "103 passes": Case(GET + b"\r\n", [103, 200], closes=False, answers=[HINTS + OK]),
    "two of them pass": Case(GET + b"\r\n", [103, 103, 200], closes=False,
                             answers=[HINTS + HINTS + OK]),
    "103 is nothing for HTTP/1.0": Case(
        b"GET / HTTP/1.0\r\n" + HOST + b"\r\n", [200], closes=True, answers=[HINTS + OK]
    ),
    # RFC 9112 §6.3, §9.5: endings
    "an answer that ends with its connection": Case(
        GET + b"\r\n", [200], closes=False, answers=[b"HTTP/1.1 200 OK\r\n\r\nok" + b"END"],
        ends_with=b"0\r\n\r\n",
    ),
    "the same for HTTP/1.0": Case(
        b"GET / HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n\r\n", [200], closes=True,
        answers=[b"HTTP/1.1 200 OK\r\n\r\nok" + b"END"], ends_with=b"ok",
    ),
    "a request that ends early": Case(
        post(b"Content-Length: 10", body=b"abc") + b"EOF", [], closes=True, answers=[]
    ),
}  # fmt: skip


async def serve(c: Connection, answers: list[bytes], seen: list[bytes]) -> None:
    for answer in answers:
        head = await c.head()
        expects = b"Expect: 100-continue" in head
        if expects and answer.startswith(CONTINUE):
            await c.send(CONTINUE)
            answer = answer.removeprefix(CONTINUE)
            expects = False
        if not expects and (length := re.search(rb"\nContent-Length: (\d+)", head)):
            head += await c.reader.readexactly(int(length[1]))
        elif b"\nTransfer-Encoding: chunked" in head:
            head += await c.reader.readuntil(b"0\r\n\r\n")
        seen.append(head)
        await c.send(answer.removesuffix(b"END"))
        if answer.endswith(b"END"):
            return
        if b"Connection: close" in answer:
            return
    await c.reader.read()


@pytest.mark.parametrize("name", CASES)
async def test_connection(name: str) -> None:
    case = CASES[name]
    seen: list[bytes] = []
    answers = list(case.answers)

    async def script(c: Connection) -> None:
        mine = answers if not seen else answers[len(seen) :]
        await serve(c, mine, seen)

    async with Origin(script) as origin, in_front_of(origin, linger_s=0.05, tick_s=0.01) as edge:
        client = await edge.client()
        await client.send(case.sends.removesuffix(b"EOF"))
        if case.sends.endswith(b"EOF"):
            client.writer.write_eof()
        got = b""
        is_open = True
        async with asyncio.timeout(5):
            while is_open and (len(_statuses(got)) < len(case.statuses) or case.closes):
                data = await client.reader.read(65536)
                got, is_open = got + data, bool(data)
            while case.ends_with and not got.endswith(case.ends_with):
                got += await client.reader.readexactly(1)

    assert _statuses(got) == case.statuses
    assert is_open is not case.closes
    assert len(seen) == (len(case.answers) if case.heads is None else case.heads)
    for text in case.sees:
        assert text in b"".join(seen)
    for text in case.misses:
        assert text not in b"".join(seen)


def _statuses(got: bytes) -> list[int]:
    return [int(s) for s in re.findall(rb"HTTP/1\.1 (\d{3}) ", got)]
