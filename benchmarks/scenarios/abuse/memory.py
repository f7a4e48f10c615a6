"""Abuse that may fill the worker's memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from benchmarks.scenarios.abuse.site import BAD, Bounds, Site, scenario
from tests.support.abuse import clients, meter, replicas

_MIB = 1 << 20
_HELD_S = 3.0
_HUGE = 28_000  # bytes of a field; a head may have 32 KiB
_DISTINCT = 4_500


@scenario(replica=replicas.large)
async def a_client_that_reads_nothing_and_pipelines_is_held_back(site: Site) -> None:
    """Small answers until no more fit, then the one that may not be fetched ahead of them."""
    async with await clients.reads_nothing(site.port, seconds=0) as raw:
        for _ in range(60):
            await raw.send(clients.get(BAD, "/100000"))
            await asyncio.sleep(0.02)
        await raw.send(clients.get(BAD, f"/{500 * _MIB}"))
        await asyncio.sleep(_HELD_S)


@scenario(replica=replicas.large)
async def thirty_two_readers_that_stall_hold_little_each(site: Site) -> None:
    wire = clients.get(BAD, f"/{20 * _MIB}")
    stalled = (clients.reads_nothing(site.port, wire, seconds=_HELD_S) for _ in range(32))
    for raw in await asyncio.gather(*stalled):
        raw.reset()


@scenario()
async def huge_connection_fields_are_not_remembered(site: Site) -> None:
    def wire(n: int) -> bytes:
        options = f"o{n}-" + "x" * _HUGE if n % 2 else ",".join(f"o{n}-{i}" for i in range(2_500))
        return clients.get(BAD, "/", f"Connection: {options[:_HUGE]}\r\n")

    await _each_once(site, wire)


@scenario()
async def huge_hosts_are_not_remembered(site: Site) -> None:
    await _each_once(site, lambda n: clients.get(f"h{n}-" + "x" * _HUGE))


@scenario()
async def huge_field_names_are_not_remembered(site: Site) -> None:
    await _each_once(site, lambda n: clients.get(BAD, "/", f"N{n}-{'x' * _HUGE}: 1\r\n"))


async def _each_once(site: Site, wire: Callable[[int], bytes]) -> None:
    """Requests that differ, over eight connections."""
    rows = (map(wire, range(start, _DISTINCT, 8)) for start in range(8))
    answered = await asyncio.gather(*(clients.asks_in_a_row(site.port, row) for row in rows))
    site.claim(sum(answered) == _DISTINCT, f"{sum(answered):,} of {_DISTINCT:,} are answered")


@scenario(proxies=("turnout",), bounds=Bounds(grows_mib=64))
async def connections_that_came_and_went_leave_no_memory_behind_a_reload(site: Site) -> None:
    """nginx starts a new worker for a new table."""
    each, rounds, resident = 1_500, 4, []
    for _ in range(rounds):
        for _ in range(each // 20):
            await asyncio.gather(*(clients.comes_and_goes(site.port, BAD) for _ in range(20)))
        await site.proxy.reload()
        resident.append(meter.memory_mib(site.worker)[0])
    per_connection = (resident[-1] - resident[0]) * _MIB / (each * (rounds - 1))
    site.claim(per_connection < 1_000, f"{per_connection:,.0f} bytes stay of each connection")
