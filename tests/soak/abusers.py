"""The abusers of a soak: replicas that behave badly, an app each, and clients that do."""

from __future__ import annotations

import asyncio
from itertools import count

from tests.support.abuse import clients, replicas
from tests.support.abuse.clients import Client, get, upgrade
from tests.support.abuse.wire import Raw
from tests.support.origin import Script

SCRIPTS = (
    replicas.late, replicas.closes_at_once, replicas.garbage, replicas.interim, replicas.large,
    replicas.dribble, replicas.counts, replicas.stops_reading, replicas.trickles,
    replicas.endless_head, replicas.endless_interim, replicas.breaks_off, replicas.tunnel_sink,
    replicas.tunnel_source, replicas.switches_or_answers,
)  # fmt: skip
_HUGE = "x" * 28_000
_MIB = 1 << 20


def app_of(script: Script) -> str:
    """The app whose replica follows a script."""
    return getattr(script, "__name__", "").replace("_", "-")


def abusers(port: int) -> list[tuple[str, float, Client]]:
    """Name, pause between two, and the client; small enough that a core is left for innocents."""
    n = count()

    def host(script: Script) -> str:
        return f"{app_of(script)}.localhost"

    def asks(script: Script, path: str = "/", timeout_s: float = 3.0) -> Client:
        return lambda: clients.asks(port, get(host(script), path), timeout_s)

    async def reads_nothing(*wires: bytes) -> None:
        (await clients.reads_nothing(port, *wires, seconds=8)).reset()

    async def asks_for_more_unread() -> None:
        async with await clients.reads_nothing(port, seconds=0) as raw:
            for _ in range(60):
                await raw.send(get(host(replicas.large), "/100000"))
                await asyncio.sleep(0.02)
            await raw.send(get(host(replicas.large), f"/{500 * _MIB}"))
            await asyncio.sleep(4)

    async def endures_interim_heads() -> None:
        async with await Raw.to(port) as raw:
            await raw.send(get(host(replicas.endless_interim)))
            await raw.end(8)

    plain = host(replicas.switches_or_answers)
    stalled = get(host(replicas.large), f"/{100 * _MIB}")
    tunnel = upgrade(host(replicas.tunnel_source), "/5000000")
    slow_head = get(plain, "/" + "x" * 100)
    half = get(plain)[:-2]
    return [
        ("resets near the answer", 0.05,
         lambda: clients.gives_up_near_the_answer(port, host(replicas.late), 20)),
        ("replica that closes", 0.05, asks(replicas.closes_at_once)),
        ("garbage", 0.1, lambda: clients.asks(port, get(host(replicas.garbage), f"/{next(n)}"), 3)),
        ("interim heads", 1.0, asks(replicas.interim, "/300")),
        ("endless interim heads", 1.0, endures_interim_heads),
        ("endless head", 1.0, asks(replicas.endless_head)),
        ("broken off", 0.2, asks(replicas.breaks_off)),
        ("trickle", 0.5, asks(replicas.trickles)),
        ("stalled readers", 0.5, lambda: reads_nothing(stalled)),
        ("more stalled readers", 0.5, lambda: reads_nothing(stalled)),
        ("unread and pipelined", 1.0, asks_for_more_unread),
        ("stalled tunnels", 1.0, lambda: reads_nothing(tunnel)),
        ("upload in tiny chunks", 2.0,
         lambda: clients.uploads_in_one_byte_chunks(port, host(replicas.counts), 100_000, 10)),
        ("answer in tiny chunks", 2.0, asks(replicas.dribble, "/100000", 10)),
        ("unread upload", 1.0,
         lambda: clients.uploads(port, host(replicas.stops_reading), 20 * _MIB, 10)),
        ("tiny frames out", 2.0,
         lambda: clients.sends_tiny_frames(port, host(replicas.tunnel_sink), 500_000, 10)),
        ("tiny frames in", 2.0,
         lambda: clients.receives_tiny_frames(port, host(replicas.tunnel_source), 50_000, 10)),
        ("pipelined", 1.0, lambda: clients.pipelines(port, plain, 32 << 10)),
        ("pipelined 404s", 1.0, lambda: clients.pipelines(port, "nobody.localhost", 128 << 10)),
        ("slow heads", 0.1, lambda: clients.sends_slowly(port, slow_head, 1.0, 10)),
        ("silent", 0.1, lambda: clients.sends_slowly(port, b"", 1.0, 10)),
        ("heads in tiny packets", 1.0,
         lambda: clients.ends_in_packets_of_one_byte(port, get(plain, "/", "x: y\r\n" * 5_000),
                                                     500, 10)),
        ("half-closed", 0.2, lambda: clients.half_closes(port, half, 5)),
        ("huge Connection", 0.1, lambda: clients.asks(
            port, get(plain, "/", f"Connection: o{next(n)}-{_HUGE}\r\n"))),
        ("huge Host", 0.1, lambda: clients.asks(port, get(f"h{next(n)}-{_HUGE}"))),
        ("huge names", 0.1, lambda: clients.asks(
            port, get(plain, "/", f"N{next(n)}-{_HUGE}: 1\r\n"))),
        ("come and go", 0.01, lambda: clients.comes_and_goes(port, plain)),
    ]  # fmt: skip
