"""Peers that never come to an end: each wait has a deadline, and the right one is blamed."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Callable
from pathlib import Path

from benchmarks.scenarios.abuse.site import BAD, GOOD, Bounds, Site, scenario
from tests.support.abuse import clients, meter, replicas
from tests.support.abuse.proxies import Router
from tests.support.abuse.wire import Raw

_LIMIT_S = 2.0
_GRACE_S = 3.0  # a deadline is noticed by a sweep, and this machine may be busy
_held = replicas.Held()


@scenario(head_timeout_s=_LIMIT_S)
async def a_head_of_one_byte_per_second_is_given_up(site: Site) -> None:
    wire = clients.get(BAD, "/" + "x" * 100)
    slow = (clients.sends_slowly(site.port, wire, 1.0, _LIMIT_S + _GRACE_S) for _ in range(20))
    _were_ended(site, await asyncio.gather(*slow))


@scenario(head_timeout_s=_LIMIT_S)
async def two_hundred_connections_that_say_nothing_are_given_up(site: Site) -> None:
    silent = (clients.sends_slowly(site.port, b"", 1.0, _LIMIT_S + _GRACE_S) for _ in range(200))
    _were_ended(site, await asyncio.gather(*silent))


def _were_ended(site: Site, found: list[tuple[float, str]]) -> None:
    slowest = max(seconds for seconds, _ in found)
    n = sum(how == "open" for _, how in found)
    site.claim(n == 0, f"all are ended within {_LIMIT_S + _GRACE_S:g} s; {n} were not")
    site.note(f"after {slowest:.1f} s")


@scenario(replica=replicas.large, write_timeout_s=_LIMIT_S)
async def readers_that_stop_are_given_up(site: Site) -> None:
    wire = clients.get(BAD, "/100000000")
    stalled = [clients.reads_nothing(site.port, wire, seconds=0) for _ in range(8)]
    await _are_given_up(site, await asyncio.gather(*stalled))


@scenario(replica=replicas.tunnel_source, tunnel_idle_s=_LIMIT_S, write_timeout_s=_LIMIT_S)
async def a_tunnel_whose_client_stops_is_given_up(site: Site) -> None:
    wire = clients.upgrade(BAD, "/5000000")
    await _are_given_up(site, [await clients.reads_nothing(site.port, wire, seconds=0)])


async def _are_given_up(site: Site, stalled: list[Raw]) -> None:
    ports = {raw.local_port for raw in stalled}
    await _comes_true(lambda: ports <= meter.client_ports(site.worker, site.port))
    began = asyncio.get_running_loop().time()
    most = _LIMIT_S + 2 * _GRACE_S  # what the kernel's buffers take comes first
    is_over = await _comes_true(
        lambda: not ports & meter.client_ports(site.worker, site.port), most
    )
    site.claim(is_over, f"the worker has closed them within {most:g} s")
    site.note(f"after {asyncio.get_running_loop().time() - began:.1f} s")
    for raw in stalled:
        raw.close()


async def _comes_true(what: Callable[[], bool], timeout_s: float = _GRACE_S) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while not what():
                await asyncio.sleep(0.05)
    return what()


@scenario(
    replica=replicas.stops_reading,
    body_idle_timeout_s=_LIMIT_S,
    response_timeout_s=_LIMIT_S,
    write_timeout_s=_LIMIT_S,
)
async def a_replica_that_stops_reading_is_blamed_for_it(site: Site) -> None:
    answer = await clients.uploads(site.port, BAD, 50_000_000, _LIMIT_S + 2 * _GRACE_S)
    site.claim(answer.status == 504, f"the client hears 504: {answer}")


@scenario(body_idle_timeout_s=_LIMIT_S)
async def a_body_that_does_not_come_is_given_up(site: Site) -> None:
    wire = f"POST / HTTP/1.1\r\nHost: {BAD}\r\nContent-Length: 100\r\n\r\n".encode()
    asking = (clients.asks(site.port, wire, _LIMIT_S + _GRACE_S) for _ in range(20))
    answers = await asyncio.gather(*asking)
    # nginx ends the connection without a word.
    is_over = all(answer.status == 408 or answer.end == "closed" for answer in answers)
    site.claim(is_over, f"all hear 408 within {_LIMIT_S + _GRACE_S:g} s: {answers[0]}")


@scenario()
async def half_closed_clients_are_not_kept(site: Site) -> None:
    wires = (clients.get(BAD), clients.get(BAD)[:-2], b"")
    ends = await asyncio.gather(
        *(clients.half_closes(site.port, wire, _GRACE_S) for wire in wires for _ in range(50))
    )
    n = ends.count("open")
    site.claim(n == 0, f"all of {len(ends)} are ended within {_GRACE_S:g} s; {n} were not")


@scenario(replica=_held)
async def a_client_that_leaves_with_a_byte_held_is_noticed(site: Site) -> None:
    """It asks, sends the first byte of its next request, and goes."""
    _held.forget()
    asked = [await Raw.to(site.port) for _ in range(20)]
    for number, raw in enumerate(asked):
        await raw.send(clients.get(BAD, f"/{number}") + b"G")
    await _comes_true(lambda: len(_held) == len(asked))
    for raw in asked:
        raw.reset()
    await _no_connection_is_left(site)


@scenario(replica=replicas.trickles)
async def a_replica_that_trickles_costs_only_who_waits_for_it(site: Site) -> None:
    wire = clients.get(BAD)
    async with asyncio.timeout(10):
        await asyncio.gather(*(clients.asks(site.port, wire, timeout_s=3.0) for _ in range(50)))
    await _no_connection_is_left(site)


async def _no_connection_is_left(site: Site) -> None:
    """The clients are gone: the replica need not go on."""
    port = int(site.bad_address.rpartition(":")[2])
    await _comes_true(lambda: not meter.established(port))
    n = meter.established(port)
    site.claim(not n, f"{n} connections to the replica outlive their clients by {_GRACE_S:g} s")


@scenario(replica=replicas.endless_head)
async def a_head_of_a_replica_that_never_ends_is_cut_off(site: Site) -> None:
    answers = await asyncio.gather(
        *(clients.asks(site.port, clients.get(BAD), 3) for _ in range(8))
    )
    statuses = {answer.status for answer in answers}
    site.claim(statuses <= {502, 503}, f"the askers hear 502 or 503 within 3 s: {statuses}")


@scenario(replica=replicas.endless_interim, response_timeout_s=_LIMIT_S)
async def interim_heads_are_no_answer(site: Site) -> None:
    """A replica that sends nothing else runs into the limit of a response."""
    answer = await clients.asks(site.port, clients.get(BAD), _LIMIT_S + _GRACE_S)
    # nginx of Debian 12 takes the first interim head for the answer.
    if site.is_turnout:
        site.claim(answer.status == 504, f"504 within {_LIMIT_S + _GRACE_S:g} s: {answer}")


@scenario(upstream_idle_s=60, traffic={"fresh_every": 0}, bounds=Bounds(wait_ms=500, grows_mib=32))
async def a_worker_without_descriptors_serves_whom_it_has(site: Site) -> None:
    """Its connections to the good replica are there before the limit falls.

    A request that needs a new one cannot be served, and says nothing about its replica. An upload
    does as soon as they are idle for a while: it could not be sent again if one is being closed.
    """
    warm = (clients.asks(site.port, clients.get(GOOD, f"/late/{n}")) for n in range(16))
    await asyncio.gather(*warm)
    known = await Raw.to(site.port)
    await known.send(clients.get(GOOD, "/small/known"))
    await known.answer(_GRACE_S)
    limit = len(list(Path(f"/proc/{site.worker}/fd").iterdir())) + 16
    resource.prlimit(site.worker, resource.RLIMIT_NOFILE, (limit, limit))
    crowd = await asyncio.gather(*(Raw.to(site.port) for _ in range(200)), return_exceptions=True)
    await asyncio.sleep(1.0)
    await known.send(clients.get(BAD))
    refused = await known.answer(_GRACE_S)
    site.note(f"{refused.status} when there was none")
    await asyncio.sleep(1.0)
    for raw in crowd:
        if isinstance(raw, Raw):
            raw.close()
    await asyncio.sleep(0.5)  # to notice that
    for host in (BAD, GOOD):
        answer = await clients.asks(site.port, clients.get(host, "/small/new"), _GRACE_S)
        site.claim(answer.status == 200, f"once they are gone, {host} is served: {answer}")
    known.close()
    if isinstance(site.proxy, Router):
        ejections = await site.proxy.metric("turnout_ejections_total")
        site.claim(ejections == 0, f"{ejections:.0f} ejections, though no replica failed")
