"""What strangers send is remembered, and what is remembered is bounded in bytes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from router.contract.hosts import fold
from router.contract.memo import Memo
from router.http.fields import connection_options, kind_of
from router.http.response_head import read_status_line
from tests.support.edges import in_front_of
from tests.support.origin import Origin

READERS: dict[str, Callable[[bytes], object]] = {
    "field names": lambda text: kind_of(b"x-" + text),
    "hosts": lambda text: fold(text + b".localhost"),
    "hosts that are none": lambda text: fold(b"!" + text),
    "connection options": lambda text: connection_options(b"x-" + text),
    "many connection options": lambda text: connection_options(text.replace(b"0", b",x")),
    "status lines": lambda text: read_status_line(b"HTTP/1.1 200 " + text),
}


@pytest.mark.parametrize("name", READERS)
def test_no_reader_remembers_more_than_a_few_megabytes(name: str) -> None:
    reader = READERS[name]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(2500):
            reader(b"%d" % number)
            reader(b"%040d" % number)
        for number in range(300):
            reader(b"%016000d" % number)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2.5e6


def test_a_flood_of_new_keys_costs_the_others_one_more_reading() -> None:
    memo: Memo[int] = Memo(most=100, longest=8)
    readings = 0

    def read(key: bytes) -> None:
        nonlocal readings
        if key not in memo.known:
            readings += 1
            memo.keep(key, len(key))

    for number in range(1000):  # a client that never repeats itself, beside one that always does
        memo.keep(b"%d" % number, 0)
        read(b"host")
    assert readings <= 11


def test_long_keys_are_read_anew_and_evict_nothing() -> None:
    memo: Memo[int] = Memo(most=2, longest=8)
    memo.keep(b"host", 1)
    for number in range(10):
        assert memo.keep(b"%09d" % number, 5) == 5
    assert memo.known == {b"host": 1}


def asking(options: int, before: bytes = b"") -> bytes:
    values = b", ".join(b"x-%d" % n for n in range(options))
    return b"GET / HTTP/1.1\r\nHost: shop.localhost\r\n%bConnection: %b\r\n\r\n" % (before, values)


async def test_a_request_may_name_32_connection_options_and_no_more() -> None:
    async with Origin() as origin, in_front_of(origin) as edge:
        assert b" 200 OK" in await edge.exchange(asking(32))
        assert b" 400 Bad Request" in await edge.exchange(asking(33))
        assert b" 400 Bad Request" in await edge.exchange(
            asking(17, b"Connection: %b\r\n" % (b"," * 16))
        )
        assert b" 200 OK" in await edge.exchange(asking(1))
    assert len(origin.heads) == 2


async def test_a_request_with_endless_protocols_is_refused() -> None:
    upgrade = b"Upgrade: %b\r\n" % (b"a," * 40)
    async with Origin() as origin, in_front_of(origin) as edge:
        request = asking(0, upgrade).replace(b"Connection: ", b"Connection: upgrade")
        assert b" 400 Bad Request" in await edge.exchange(request)
    assert origin.heads == []


@pytest.mark.parametrize("fields", [1, 40])
async def test_a_replica_that_names_more_does_not_speak_http(fields: int) -> None:
    line = b"Connection: %b\r\n" % b",".join([b"x"] * (41 - fields))
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%b\r\nok" % (line * fields)
    async with Origin(answer) as origin, in_front_of(origin) as edge:
        head, _ = await (await edge.client()).get()
    assert head.startswith(b"HTTP/1.1 502 ")
    assert b"X-Turnout-Error: UpstreamProtocolError\r\n" in head
