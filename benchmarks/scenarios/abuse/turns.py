"""Abuse that may take the worker's turn from everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from benchmarks.scenarios.abuse.site import BAD, Site, scenario
from tests.support.abuse import clients, meter, replicas
from tests.support.abuse.wire import Raw

_CHUNKS = 1_700_000  # of one byte: 10 MB on the wire
_FRAME_BYTES = 8_000_000
_PATIENCE_S = 40.0  # on a machine that others use too; alone it takes some seconds
_HEAD_BYTES = 30_000
_PACKETS = 2_000  # of them, the last
_MOST_US_PER_PACKET = 100  # the innocents' share of the CPU in it

T = TypeVar("T")


@scenario(replica=replicas.counts)
async def an_upload_in_one_byte_chunks_stops_nobody(site: Site) -> None:
    upload = clients.uploads_in_one_byte_chunks(site.port, BAD, _CHUNKS, _PATIENCE_S)
    answer, took = await _timed(site, upload, _CHUNKS * 6)
    is_whole = answer.status == 200 and answer.start == b"%d" % _CHUNKS
    site.claim(is_whole, f"all of it arrives: {answer}, {took}")


@scenario(replica=replicas.dribble)
async def an_answer_in_one_byte_chunks_stops_nobody(site: Site) -> None:
    asking = clients.asks(site.port, clients.get(BAD, f"/{_CHUNKS}"), _PATIENCE_S)
    answer, took = await _timed(site, asking, _CHUNKS * 6)
    is_whole = answer.is_complete and answer.size == _CHUNKS
    site.claim(is_whole, f"all of it arrives: {answer}, {took}")


@scenario()
async def pipelined_requests_take_turns_with_everybody(site: Site) -> None:
    await site.again(2, lambda: clients.pipelines(site.port, BAD, 256 << 10))


@scenario()
async def pipelined_requests_for_unknown_hosts_take_turns_with_everybody(site: Site) -> None:
    await site.again(6, lambda: clients.pipelines(site.port, "nobody.localhost", 256 << 10))


@scenario(traffic={"rate": 160.0})
async def a_flood_at_one_app_sheds_no_other(site: Site) -> None:
    await site.again(24, lambda: clients.pipelines(site.port, BAD, 64 << 10), seconds=5.0)


@scenario(replica=replicas.switches_or_answers, max_in_flight_per_replica=32)
async def websockets_take_no_place_of_requests(site: Site) -> None:
    """More of them than a replica may have requests at once."""
    tunnels = [await Raw.to(site.port) for _ in range(40)]
    for raw in tunnels:
        await raw.send(clients.upgrade(BAD, "/"))
    opened = [await raw.receive() for raw in tunnels]
    site.claim(all(b" 101 " in head for head in opened), "40 WebSockets are opened")
    answer = await clients.asks(site.port, clients.get(BAD), 3.0)
    site.claim(answer.status == 200, f"a request beside them is answered: {answer}")
    for raw in tunnels:
        raw.close()


@scenario(replica=replicas.tunnel_sink)
async def tiny_frames_from_a_client_stop_nobody(site: Site) -> None:
    sending = clients.sends_tiny_frames(site.port, BAD, _FRAME_BYTES, _PATIENCE_S)
    arrived, took = await _timed(site, sending, _FRAME_BYTES)
    site.claim(arrived, f"all of them arrive; {took}")


@scenario(replica=replicas.tunnel_source)
async def tiny_frames_from_a_replica_stop_nobody(site: Site) -> None:
    frames = _FRAME_BYTES // 10
    reading = clients.receives_tiny_frames(site.port, BAD, frames, _PATIENCE_S)
    size, took = await _timed(site, reading, _FRAME_BYTES)
    site.claim(size == _FRAME_BYTES, f"all of them arrive: {size:,} bytes, {took}")


@scenario()
async def a_head_in_packets_of_one_byte_costs_what_it_is_long(site: Site) -> None:
    """Of many short lines, so that scanning all of it for each packet shows."""
    wire = clients.get(BAD, "/", "x: y\r\n" * (_HEAD_BYTES // 6))
    sending = (
        clients.ends_in_packets_of_one_byte(site.port, wire, _PACKETS, _PATIENCE_S)
        for _ in range(4)
    )
    before = meter.cpu_s(site.worker)
    answers = await asyncio.gather(*sending)
    us = (meter.cpu_s(site.worker) - before) / (4 * _PACKETS) * 1e6
    site.claim(all(a.status for a in answers), f"each is answered or refused: {answers[0]}")
    site.claim(us < _MOST_US_PER_PACKET, f"{us:.0f} us of CPU per packet")
    site.note(f"{us:.0f} us of CPU per packet")


async def _timed(site: Site, what: Awaitable[T], wire_bytes: int) -> tuple[T, str]:
    """A result, and what it took of time and of the worker's CPU; that is noted too."""
    began, cpu = asyncio.get_running_loop().time(), meter.cpu_s(site.worker)
    found = await what
    took = asyncio.get_running_loop().time() - began
    try:
        us = (meter.cpu_s(site.worker) - cpu) / wire_bytes * 1e6
    except OSError:  # the worker has been replaced
        us = float("inf")
    said = f"{took:.1f} s, {us:.2f} us of CPU per byte"
    site.note(said)
    return found, said
