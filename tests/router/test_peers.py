"""Peers have one address each, whatever kind of socket they came to."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from router.contract.peers import is_in, network, plain_address
from router.ingress.http1 import ClientConnection
from tests.support.edges import Client, RunningEdge, in_front_of
from tests.support.origin import Origin


@pytest.mark.parametrize(
    ("named", "plain"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("::1", "::1"),
        ("2001:db8::ffff:192.0.2.1", "2001:db8::ffff:192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", "unknown"),
    ],
)
def test_an_address_has_one_form(named: str, plain: str) -> None:
    assert plain_address(named) == plain


@pytest.mark.parametrize(
    ("address", "cidr", "expected"),
    [
        ("192.0.2.1", "192.0.2.0/24", True),
        ("192.0.3.1", "192.0.2.0/24", False),
        ("192.0.2.1", "::ffff:192.0.2.0/120", True),
        ("192.0.3.1", "::ffff:192.0.2.0/120", False),
        ("192.0.2.1", "::/0", False),
        ("::1", "::/0", True),
        ("fe80::1", "fe80::/10", True),
        ("::1", "0.0.0.0/0", False),
        ("unknown", "0.0.0.0/0", False),
    ],
)
def test_networks_hold_the_plain_addresses(address: str, cidr: str, expected: bool) -> None:
    assert is_in(address, [network(cidr)]) is expected


@asynccontextmanager
async def for_both_families(edge: RunningEdge) -> AsyncIterator[int]:
    """The port of a socket that takes IPv6 and IPv4, as `--listen [::]:…` binds it."""
    listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(ClientConnection, edge.edge), sock=listener)
    try:
        yield listener.getsockname()[1]
    finally:
        server.close()


GET = b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize(
    ("trusted", "client", "expected"),
    [
        ((), "127.0.0.1", b"127.0.0.1"),
        (("127.0.0.0/8",), "127.0.0.1", b"6.6.6.6, 127.0.0.1"),
        (("127.0.0.0/8",), "::1", b"::1"),
        (("::1",), "::1", b"6.6.6.6, ::1"),
    ],
)
async def test_an_ipv4_client_of_an_ipv6_socket_is_an_ipv4_client(
    trusted: tuple[str, ...], client: str, expected: bytes
) -> None:
    async with (
        Origin() as origin,
        in_front_of(origin, trusted_proxies=trusted) as edge,
        for_both_families(edge) as port,
    ):
        edge.clients.append(Client(*await asyncio.open_connection(client, port)))
        await edge.clients[-1].send(GET)
        await edge.clients[-1].response()
    assert re.findall(rb"X-Forwarded-For: (.*)\r\n", origin.heads[0]) == [expected]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
async def test_a_client_cannot_have_twice_its_connections_by_coming_to_both_sockets() -> None:
    async with (
        Origin() as origin,
        in_front_of(origin, max_connections_per_client=1) as edge,
        for_both_families(edge) as port,
    ):
        first = await edge.client()
        assert (await first.get())[1] == b"ok"
        second = Client(*await asyncio.open_connection("127.0.0.1", port))
        edge.clients.append(second)
        assert b" 429 " in (await second.get())[0]
