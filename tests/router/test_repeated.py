"""Fields that a client repeats are read once, and mean the same as if they were read again."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.contract.outcomes import Outcome
from router.http.request_head import Ingress, RequestHead
from router.ingress.repeated import Repeated, is_repeatable
from tests.support.edges import in_front_of
from tests.support.heads import read_request
from tests.support.origin import OK, Connection, Origin

INGRESS = Ingress(forwarded=b"X-Forwarded-For: 1.2.3.4\r\n", peer=b"1.2.3.4", is_trusted=False)
ID, NEW = b"0" * 32, b"1" * 32
FIELDS = st.lists(
    st.sampled_from(
        [
            (b"Accept", b"*/*"), (b"Cookie", b"a=b"), (b"Connection", b"keep-alive"),
            (b"Connection", b"close"), (b"Connection", b"close, X-A"), (b"X-A", b"1"),
            (b"X-Request-Id", b"mine"), (b"Content-Length", b"0"), (b"Content-Length", b"3"),
            (b"Transfer-Encoding", b"chunked"), (b"Expect", b"100-continue"),
            (b"Upgrade", b"websocket"), (b"Connection", b"upgrade"), (b"Max-Forwards", b"3"),
            (b"X-Forwarded-For", b"6.6.6.6"), (b"Date", b"today"), (b"TE", b"trailers"),
        ]
    ),
    max_size=6,
)  # fmt: skip
LINES = st.tuples(
    st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"BREW"]),
    st.sampled_from(
        [b"/", b"/a?b=c", b"/%41", b"*", b"http://other/", b"/#x", b"//", b"/\xe9", b"/<"]
    ),
    st.sampled_from([b"1.1", b"1.0", b"1.2"]),
)


def outside(head: RequestHead) -> dict[str, object]:
    return {name: getattr(head, name) for name in dir(head) if not name.startswith("_")}


@given(FIELDS, LINES, LINES)
def test_reading_again_and_remembering_agree(
    fields: list[tuple[bytes, bytes]],
    first: tuple[bytes, bytes, bytes],
    second: tuple[bytes, bytes, bytes],
) -> None:
    fields = [(b"Host", b"shop.localhost"), *fields]
    method, target, version = first
    head = read_request(method, target, version, fields, INGRESS, ID)
    if isinstance(head, Outcome) or not is_repeatable(head, target, ID):
        return
    method, target, version = second
    line = method + b" " + target + b" HTTP/" + version
    found = Repeated(b"", head, 8192).read(line, NEW)
    if found is None:
        return
    expected = read_request(method, target, version, fields, INGRESS, NEW)
    assert isinstance(expected, RequestHead)
    assert outside(found) == outside(expected)


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        ([b"GET / HTTP/1.1"] * 4 + [b"GET /\x01 HTTP/1.1"], [200] * 4 + [400]),
        ([b"GET / HTTP/1.1"] * 4 + [b"GET  / HTTP/1.1"], [200] * 4 + [400]),
        ([b"GET / HTTP/1.1"] * 4 + [b"CONNECT a:1 HTTP/1.1"], [200] * 4 + [405]),
        ([b"GET / HTTP/1.1"] * 4 + [b"GET / HTTP/1.0"], [200] * 5),
        ([b"GET / HTTP/1.1"] * 4 + [b"GET /" + b"x" * 9000 + b" HTTP/1.1"], [200] * 4 + [414]),
        ([b"GET / HTTP/1.1"] * 4 + [b"GET http://nobody.localhost/ HTTP/1.1"], [200] * 4 + [404]),
        ([b"GET / HTTP/1.1"] * 4 + [b"HEAD / HTTP/1.1"] * 2 + [b"GET / HTTP/1.1"] * 2, [200] * 8),
    ],
)
async def test_a_known_client_is_held_to_the_same_rules(
    lines: list[bytes], statuses: list[int]
) -> None:
    async def answer(c: Connection) -> None:
        while True:
            is_head = (await c.head()).startswith(b"HEAD ")
            await c.send(OK.removesuffix(b"ok") if is_head else OK)

    async with Origin(answer) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        found = []
        for line in lines:
            await client.send(line + b"\r\nHost: shop.localhost\r\nAccept: */*\r\n\r\n")
            head, _ = await client.response(is_head=line.startswith(b"HEAD"))
            found.append(int(head[9:12]))
        assert found == statuses


async def test_every_request_has_an_id_of_its_own() -> None:
    seen: list[bytes] = []

    async def answer(c: Connection) -> None:
        while True:
            seen.append(await c.head())
            await c.send(OK)

    async with Origin(answer) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        told = [(await client.get(path=f"/{n}"))[0] for n in range(6)]
    ids = [re.findall(rb"X-Request-Id: (\S+)", head) for head in seen]
    assert len({i[0] for i in ids}) == 6
    assert ids == [re.findall(rb"X-Request-Id: (\S+)", head) for head in told]
    assert [head.split(b" ")[1] for head in seen] == [b"/%d" % n for n in range(6)]


async def test_a_changed_answer_is_read_anew() -> None:
    answers = [
        OK, OK, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", OK,
    ]  # fmt: skip

    async def answer(c: Connection) -> None:
        for data in answers:
            await c.head()
            for half in (data[:30], data[30:]):
                await c.send(half)
                await asyncio.sleep(0.01)

    async with Origin(answer) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        bodies = [(await client.get())[1] for _ in answers]
    assert bodies == [b"ok", b"ok", b"abc", b"ok", b"1\r\nx\r\n0\r\n\r\n", b"ok"]
