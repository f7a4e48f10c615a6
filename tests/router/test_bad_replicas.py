"""A replica that misbehaves costs its own requests: nothing of the others, and of no client."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from dataclasses import replace
from time import time

import pytest

from router.contract.snapshot import Fault
from router.http.websocket import FrameBoundary
from router.ingress.http1 import ClientConnection
from router.loop.outbox import Outbox
from tests.router.test_bad_clients import GET, MANY, QUICK, never_reads, quiet
from tests.router.test_tunnel import SWITCHING, UPGRADE, Replica, frame, open_socket
from tests.support.builders import a_revision, an_app, take
from tests.support.edges import RunningEdge, eventually, in_front_of, running, settled
from tests.support.origin import OK, Connection, Origin, Script

POST = b"POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 3\r\n\r\nabc"


class Broken(asyncio.Transport):
    """A transport that another part of the turn has closed under our feet."""

    def __init__(self) -> None:
        super().__init__()
        self.is_aborted = False

    def is_closing(self) -> bool:
        return False

    def write(self, data: object) -> None:
        raise RuntimeError("the handler is closed")

    def abort(self) -> None:
        self.is_aborted = True


async def test_a_write_that_fails_takes_no_other_with_it() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    outbox, broken = Outbox(loop), Broken()
    outbox.write(broken, b"lost")
    outbox.write(transport, b"kept")
    theirs.setblocking(False)
    assert await loop.sock_recv(theirs, 100) == b"kept"
    assert broken.is_aborted
    transport.abort()
    theirs.close()


async def test_what_a_turn_gathers_is_bounded() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    outbox = Outbox(loop)
    before = outbox.turn
    for _ in range(64):
        outbox.write(transport, b"x" * 65536)
    assert outbox.turn - before >= 12  # the transport was told, and could say that it is full
    transport.abort()
    theirs.close()


async def test_what_was_not_sent_is_known_until_the_transport_has_gone() -> None:
    """A second flush in the same turn must not make a request look sent: that is not retried."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    outbox = Outbox(loop)
    outbox.write(transport, b"lost")
    transport.abort()
    outbox.flush()
    outbox.flush()
    assert transport in outbox.unsent
    await settled()
    del transport
    assert not outbox.unsent
    theirs.close()


# --- connections


async def test_a_pooled_connection_that_breaks_as_it_is_taken_costs_no_request() -> None:
    async with Origin() as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await client.get()
        (ours,) = edge.edge.clients
        (replica,) = edge.edge.registry
        assert isinstance(ours, ClientConnection)
        replica.idle[0].transport.abort()
        ours.data_received(POST)  # in the same turn, and not safe to send twice
        assert (await client.response())[1] == b"ok"
        assert sum(b"POST" in head for head in origin.heads) == 1


async def test_running_out_of_descriptors_is_not_the_replicas_fault() -> None:
    async with Origin() as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await eventually(lambda: edge.edge.clients)
        probe = socket.socket()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno(), hard))
        probe.close()
        filling = []
        try:
            with contextlib.suppress(OSError):
                while True:
                    filling.append(socket.socket())
            head, _ = await client.get()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for sock in filling:
                sock.close()
        assert b"X-Turnout-Error: RouterOutOfSockets\r\n" in head
        (replica,) = edge.edge.registry
        assert replica.failures == 0
        assert (await client.get())[1] == b"ok"


# --- uploads


async def test_a_replica_that_stops_reading_is_a_504_and_a_fault() -> None:
    async def deaf(c: Connection) -> None:
        await c.head()
        await asyncio.Event().wait()

    quick = {"tick_s": 0.01, "body_idle_timeout_s": 0.2}
    async with Origin(deaf) as origin, in_front_of(origin, **quick) as edge:
        client = await edge.client()
        client.writer.write(
            b"POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: %d\r\n\r\n" % MANY
            + bytes(MANY)
        )
        head, _ = await client.response()
        assert head.startswith(b"HTTP/1.1 504 ")
        (replica,) = edge.edge.registry
        assert replica.faults == 1


async def test_a_client_that_stops_sending_is_still_a_408() -> None:
    async def wait(c: Connection) -> None:
        await c.head()
        await c.reader.read()

    quick = {"tick_s": 0.01, "body_idle_timeout_s": 0.05}
    async with Origin(wait) as origin, in_front_of(origin, **quick) as edge:
        client = await edge.client()
        await client.send(POST[:-1])
        assert (await client.response())[0].startswith(b"HTTP/1.1 408 ")


# --- answers


async def test_thousands_of_interim_answers_are_passed_on_without_recursion() -> None:
    many = 3000

    async def hints(c: Connection) -> None:
        await c.head()
        await c.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * many + OK)

    async with Origin(hints) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await client.send(GET)
        heads = [(await client.response())[0] for _ in range(many + 1)]
        assert sum(head.startswith(b"HTTP/1.1 103 ") for head in heads) == many
        assert heads[-1].startswith(b"HTTP/1.1 200 ")


async def test_an_answer_in_crumbs_is_passed_on_whole() -> None:
    crumbs = b"1\r\nx\r\n" * 50_000

    async def send(c: Connection) -> None:
        while True:
            await c.head()
            await c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await c.send(crumbs + b"0\r\n\r\n")

    async with Origin(send) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        for _ in range(2):
            _, body = await client.get()
            assert body.count(b"x") == 50_000
        assert origin.connections == 1


async def test_a_chunked_answer_that_breaks_off_is_a_reset_for_http10() -> None:
    async def break_off(c: Connection) -> None:
        await c.head()
        await c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")

    async with Origin(break_off) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await client.send(GET.replace(b"1.1", b"1.0"))
        with pytest.raises(ConnectionResetError):
            await client.rest()


async def test_an_injected_delay_may_be_longer_than_any_timeout() -> None:
    async with Origin() as origin:
        revision = a_revision("v1", 100, endpoints=[origin.address])
        fault = Fault(until=time() + 60, delay_ms=150, delay_percent=100.0)
        app = an_app(replace(revision, fault=fault))
        async with running(app, tick_s=0.01, head_timeout_s=0.05) as edge:
            client = await edge.client()
            assert (await client.get())[1] == b"ok"


# --- tunnels


async def test_websockets_leave_room_for_requests() -> None:
    async def both(c: Connection) -> None:
        if b"Upgrade" in await c.head():
            await c.send(SWITCHING)
            await c.reader.read()
        else:
            await c.send(OK)

    limits = {"max_in_flight_per_replica": 1, "max_tunnels_per_replica": 2, "workers": 1}
    async with Origin(both) as origin, in_front_of(origin, **limits) as edge:
        sockets = [await open_socket(edge) for _ in range(2)]
        assert (await (await edge.client()).get())[1] == b"ok"

        third = await edge.client()
        await third.send(UPGRADE)
        head, _ = await third.response()
        assert b"X-Turnout-Error: ReplicaOverloaded\r\n" in head

        sockets[0].close()
        await eventually(lambda: len(edge.edge.tunnels) == 1)
        await open_socket(edge)


def switches_or_waits(gate: Gate) -> Script:
    async def both(c: Connection) -> None:
        if b"Upgrade" in await c.head():
            await c.send(SWITCHING)
            await c.reader.read()
        else:
            await gate.is_open.wait()
            await c.send(OK)

    return both


async def test_a_replica_with_all_its_tunnels_sends_nobody_away_while_another_has_room() -> None:
    script = switches_or_waits(Gate())
    limits = {"max_tunnels_per_replica": 1, "workers": 1}
    async with Origin(script) as a, Origin(script) as b, in_front_of(a, b, **limits) as edge:
        await open_socket(edge)
        (other,) = [r for r in edge.edge.registry if not r.tunnels]
        other.in_flight += 5  # so that the full one is the less loaded
        await open_socket(edge)
        other.in_flight -= 5
        assert [r.tunnels for r in edge.edge.registry] == [1, 1]

        third = await edge.client()
        await third.send(UPGRADE)
        head, _ = await third.response()
        assert b"X-Turnout-Error: ReplicaOverloaded\r\n" in head


async def test_a_tunnel_that_waits_for_room_goes_to_no_replica_that_has_all_it_may_have() -> None:
    gates = Gate(), Gate()
    limits = {"max_in_flight_per_replica": 1, "max_tunnels_per_replica": 1, "workers": 1}
    async with (
        Origin(switches_or_waits(gates[0])) as one,
        Origin(switches_or_waits(gates[1])) as two,
        in_front_of(one, two, **limits) as edge,
    ):
        await open_socket(edge)
        for _ in range(2):
            await (await edge.client()).send(GET)
        await eventually(lambda: [r.in_flight for r in edge.edge.registry if r.tunnels] == [2])
        waiting = await edge.client()
        await waiting.send(UPGRADE)
        await eventually(lambda: edge.edge.registry.queued())
        (full,) = [r for r in edge.edge.registry if r.tunnels]
        first, last = gates if full.id == one.address else gates[::-1]
        first.is_open.set()
        await eventually(lambda: full.in_flight == 1)
        last.is_open.set()
        head, _ = await waiting.response()
        assert head.startswith(b"HTTP/1.1 101 ")


async def test_the_end_of_a_client_before_the_101_reaches_the_replica() -> None:
    ended = asyncio.Event()

    async def late(c: Connection) -> None:
        await c.head()
        await asyncio.sleep(0.05)
        await c.send(SWITCHING)
        assert await c.reader.read() == b""
        ended.set()

    async with Origin(late) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        await client.send(UPGRADE)
        client.writer.write_eof()
        await client.response()
        await asyncio.wait_for(ended.wait(), 5)


@pytest.mark.parametrize("protocol", [b"websocket", b"other"])
async def test_a_stalled_tunnel_is_given_up_though_its_client_goes_on_sending(
    protocol: bytes,
) -> None:
    async def flood(c: Connection) -> None:
        await c.head()
        await c.send(SWITCHING.replace(b"websocket", protocol))
        for _ in range(1000):
            await c.send(frame(b"x" * 65536))

    async with Origin(flood) as origin, in_front_of(origin, **QUICK) as edge:
        client = await never_reads(edge)
        await client.send(UPGRADE.replace(b"websocket", protocol))
        await eventually(lambda: edge.edge.stats.stalled)
        sending = asyncio.create_task(_chatter(edge))
        await eventually(lambda: not edge.edge.tunnels)
        sending.cancel()
        assert edge.edge.stats.stalled == 0
        assert edge.edge.stats.errors["shop", "TunnelStalled"] == 1
        assert all(r.in_flight == r.tunnels == 0 for r in edge.edge.registry)


async def _chatter(edge: RunningEdge) -> None:
    while True:
        edge.clients[0].writer.write(b"\x81\x81\0\0\0\0x")
        await asyncio.sleep(0.01)


async def test_a_flood_of_small_frames_does_not_make_another_client_wait() -> None:
    flood = frame(b"12345678") * 100_000
    got = 0

    async def both(c: Connection) -> None:
        if b"Upgrade" not in await c.head():
            await c.send(OK)
            return
        await c.send(SWITCHING)
        await c.reader.readexactly(1)
        await c.send(flood)

    async with Origin(both) as origin, in_front_of(origin) as edge:
        watcher, innocent = await open_socket(edge), await edge.client()
        await watcher.send(b"!")
        assert (await innocent.get())[1] == b"ok"
        while got < len(flood):
            got += len(await watcher.reader.read(1 << 20))
        assert got == len(flood)


def test_frames_are_followed_a_few_at_a_time() -> None:
    wire = frame(b"x") * 100
    boundary, at, calls = FrameBoundary(), 0, 0
    while at < len(wire):
        at = boundary.feed(wire, at, 30)
        calls += 1
        assert boundary.is_between_frames
    assert calls == 4


async def test_a_close_still_fits_between_frames_after_a_flood() -> None:
    replica = Replica(first=frame(b"ab") * 20_000)
    async with Origin(replica) as origin, in_front_of(origin, tick_s=0.01) as edge:
        client = await open_socket(edge)
        got = await client.reader.readexactly(4 * 20_000)
        assert got == frame(b"ab") * 20_000
        (tunnel,) = edge.edge.tunnels
        tunnel.leave(edge.edge.clock.now)
        assert await client.reader.readexactly(4) == b"\x88\x02\x03\xf4"
        assert await quiet(lambda: len(replica.got)) == 0


# --- waiting for room


class Gate:
    """Answers once it is opened; `kept` counts who waits."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.kept = 0

    async def __call__(self, c: Connection) -> None:
        while True:
            await c.head()
            self.kept += 1
            await self.is_open.wait()
            await c.send(OK)


async def test_a_request_that_may_not_go_back_waits_for_another_replica_and_spins_nobody() -> None:
    async def hang_up(c: Connection) -> None:
        await c.head()

    gate = Gate()
    limits = {"max_in_flight_per_replica": 1, "workers": 1, "queue_timeout_s": 0.3, "tick_s": 0.01}
    async with (
        Origin(hang_up) as broken,
        Origin(gate) as slow,
        in_front_of(broken, slow, **limits) as edge,
    ):
        asking = [asyncio.create_task((await edge.client()).get()) for _ in range(5)]
        await eventually(lambda: gate.kept and edge.edge.registry.queued())
        before = edge.edge.clock.now  # which goes on meanwhile
        await eventually(lambda: edge.edge.clock.now > before + 0.4)
        gate.is_open.set()
        heads = [head for head, _ in await asyncio.gather(*asking)]
        assert sum(head.startswith(b"HTTP/1.1 200 ") for head in heads) >= 1
        assert edge.edge.registry.queued() == {}
        assert all(r.in_flight == 0 for r in edge.edge.registry)


async def test_a_request_admitted_while_its_client_is_blocked_holds_its_replica_back() -> None:
    gate, sent, much = Gate(), 0, 24 << 20

    async def flood(c: Connection) -> None:
        nonlocal sent
        if b"/slow" in await c.head():
            await gate.is_open.wait()
            await c.send(OK)
            await c.head()
        await c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % much)
        while sent < much:
            await c.send(bytes(65536))
            sent += 65536

    limits = {"max_in_flight_per_replica": 1, "workers": 1}
    async with Origin(flood) as origin, in_front_of(origin, **limits) as edge:
        first, second = await edge.client(), await never_reads(edge)
        await first.send(GET.replace(b" / ", b" /slow "))
        await eventually(lambda: edge.edge.stats.of("shop", "shop--v1").in_flight == 1)
        await second.send(GET)
        await eventually(lambda: edge.edge.registry.queued())
        (ours,) = [c for c in edge.edge.clients if c._exchange and c._exchange._attempts._queue]  # type: ignore[attr-defined]
        assert isinstance(ours, ClientConnection)
        ours.pause_writing()  # as its transport says for the answer before
        gate.is_open.set()
        await eventually(lambda: sent)
        assert await quiet(lambda: sent) < 16 << 20
        ours.resume_writing()
        _, body = await second.response()
        assert len(body) == much


async def test_requests_that_wait_for_a_revision_that_leaves_go_to_its_successor() -> None:
    gate = Gate()
    limits = {"max_in_flight_per_replica": 1, "workers": 1}
    async with Origin(gate) as old, Origin() as new, in_front_of(old, **limits) as edge:
        asking = [asyncio.create_task((await edge.client()).get()) for _ in range(4)]
        await eventually(lambda: gate.kept and edge.edge.registry.queued() == {"shop--v1": 3})
        take(edge.edge, an_app(a_revision("v2", 100, endpoints=[new.address])))
        await eventually(lambda: sum(task.done() for task in asking) == 3)
        gate.is_open.set()
        assert [(await task)[1] for task in asking] == [b"ok"] * 4


async def test_tunnels_that_are_agreed_upon_at_once_are_limited_too() -> None:
    agreed, waiting = asyncio.Event(), 0

    async def late(c: Connection) -> None:
        nonlocal waiting
        await c.head()
        waiting += 1
        await agreed.wait()
        await c.send(SWITCHING)
        await c.reader.read()

    limits = {"max_tunnels_per_replica": 2, "workers": 1}
    async with Origin(late) as origin, in_front_of(origin, **limits) as edge:
        clients = [await edge.client() for _ in range(5)]
        for client in clients:
            await client.send(UPGRADE)
        await eventually(lambda: waiting == 5)
        agreed.set()
        heads = [(await client.response())[0] for client in clients]
        assert sum(head.startswith(b"HTTP/1.1 101 ") for head in heads) == 2
        assert sum(b"ReplicaOverloaded" in head for head in heads) == 3


async def test_a_body_that_fills_the_replicas_socket_at_once_holds_its_client_back() -> None:
    """The first bytes leave in one piece, and block the replica before the body is read on."""

    async def deaf(c: Connection) -> None:
        await c.head()
        await asyncio.Event().wait()

    async with Origin(deaf) as origin, in_front_of(origin) as edge:
        client = await edge.client()
        client.writer.write(
            b"PUT / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: %d\r\n\r\n" % MANY
            + bytes(MANY)
        )
        left = client.writer.transport.get_write_buffer_size
        assert await quiet(left) > 32 << 20


async def test_an_address_that_no_resolver_takes_is_a_refused_connection() -> None:
    revision = a_revision("v1", 100, endpoints=["a" * 70 + ".example:80"])
    async with running(an_app(revision)) as edge:
        client = await edge.client()
        head, _ = await client.get()
        assert b"X-Turnout-Error: UpstreamConnectFailed\r\n" in head
        assert edge.edge.registry.connections() == {}


async def test_a_request_that_connects_to_a_replica_that_leaves_goes_by_the_new_table() -> None:
    """A container that was killed neither accepts nor refuses: its address is nobody's."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as silent,
        contextlib.ExitStack() as full,
    ):
        for _ in range(3):  # what waits to be accepted; further connections hang
            filler = full.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        gone = a_revision("v1", 100, endpoints=["{}:{}".format(*silent.getsockname())])
        async with Origin() as origin, running(an_app(gone), connect_timeout_s=60.0) as edge:
            registry = edge.edge.registry
            one, two = await edge.client(), await edge.client()
            for client in (one, two):
                await client.send(GET)
            await eventually(lambda: registry.connections() == {"shop--v1": (0, 0, 2)})
            one.close()
            await eventually(lambda: registry.connections() == {"shop--v1": (0, 0, 1)})
            take(edge.edge, an_app(a_revision("v1", 100, endpoints=[origin.address])))
            assert (await two.response())[1] == b"ok"
            assert registry.departed() == {}
            assert len(origin.heads) == 1

            take(edge.edge, an_app(gone))
            await two.send(GET)
            await eventually(lambda: (registry.connections().get("shop--v1") or (0, 0, 0))[2] == 1)
            take(edge.edge, an_app(a_revision("v1", 100, endpoints=[])))
            head, _ = await two.response()
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 1" in head


# --- answers that are cut


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        (b"zz\r\n", "UpstreamProtocolError"),
        (b"", "UpstreamTimeout"),
        (None, "UpstreamReset"),
    ],
)
async def test_an_answer_that_is_cut_is_counted_by_its_reason(
    rest: bytes | None, code: str
) -> None:
    begun = asyncio.Event()

    async def begins(c: Connection) -> None:
        await c.head()
        await c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        await begun.wait()
        if rest is None:
            c.reset()
        else:
            await c.send(rest)
            await c.reader.read()

    quick = {"tick_s": 0.01, "response_idle_s": 0.2}
    async with Origin(begins) as origin, in_front_of(origin, **quick) as edge:
        client = await edge.client()
        await client.send(GET)
        await client.reader.readuntil(b"ok\r\n")
        begun.set()
        assert b"0\r\n\r\n" not in await client.rest()
        assert dict(edge.edge.stats.errors) == {("shop", code): 1}
