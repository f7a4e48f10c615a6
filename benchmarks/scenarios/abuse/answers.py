"""Abuse that may cost a neighbour's answer, or show it another's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from benchmarks.scenarios.abuse.site import BAD, Bounds, Site, scenario
from tests.support.abuse import clients, replicas
from tests.support.abuse.tally import Loss
from tests.support.abuse.wire import Raw

_SECONDS = 4.0
_held = replicas.Held()


@scenario(replica=_held)
async def a_reset_in_the_turn_of_eight_answers_loses_none(site: Site) -> None:
    """The worker is stopped, so that the reset and the answers wait for it together."""
    _held.forget()
    for turn in range(4):
        abuser = await Raw.to(site.port)
        others = [await Raw.to(site.port) for _ in range(8)]
        for number, raw in enumerate((abuser, *others)):
            await raw.send(clients.get(BAD, f"/{turn}-{number}"))
        await site.proxy.until(lambda: len(_held) == 9)
        os.kill(site.worker, signal.SIGSTOP)
        try:
            abuser.reset()
            for number in range(9):  # the abuser's own answer leaves first
                await _held.release(b"%d-%d" % (turn, number))
            await asyncio.sleep(0.02)
        finally:
            os.kill(site.worker, signal.SIGCONT)
        await asyncio.gather(
            *(_expect(site, raw, f"{turn}-{n}") for n, raw in enumerate(others, 1))
        )


async def _expect(site: Site, raw: Raw, token: str) -> None:
    """An answer with that token, counted as an innocent's."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    site.tally.sent += 1
    wire = b""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(2):
            while not wire.endswith(token.encode()) and (data := await raw.receive()):
                wire += data
    raw.close()
    if not wire.endswith(b"\r\n\r\n" + token.encode()):
        why = f"no answer to {token}: {wire[-40:]!r}"
        site.tally.losses.append(Loss(began, loop.time(), 0, why))


@scenario(replica=replicas.late, traffic={"rate": 300.0, "connections": 16})
async def clients_that_give_up_near_their_answer_cost_no_neighbour(site: Site) -> None:
    await site.again(8, lambda: clients.gives_up_near_the_answer(site.port, BAD, 20))


@scenario(replica=replicas.closes_at_once, traffic={"rate": 300.0, "connections": 16})
async def a_replica_that_closes_at_once_costs_no_healthy_app(site: Site) -> None:
    await site.again(8, lambda: clients.asks(site.port, clients.get(BAD)))


@scenario(replica=replicas.garbage)
async def a_replica_that_answers_garbage_costs_its_own_app_only(site: Site) -> None:
    slowest = 0.0
    ends_at = asyncio.get_running_loop().time() + _SECONDS
    for number in range(10_000):
        began = asyncio.get_running_loop().time()
        if began > ends_at:
            break
        await clients.asks(site.port, clients.get(BAD, f"/{number}"), timeout_s=3.0)
        slowest = max(slowest, asyncio.get_running_loop().time() - began)
    site.claim(slowest < 2.0, f"each asker hears within 2 s; slowest {slowest:.1f} s")


@scenario(replica=replicas.interim)
async def interim_heads_by_the_thousand_end_with_an_answer(site: Site) -> None:
    for heads in (10, 300, 1_000, 3_000):
        answer = await clients.asks(site.port, clients.get(BAD, f"/{heads}"), timeout_s=3.0)
        # nginx of Debian 12 passes no interim heads on, and takes the first for the answer.
        if site.is_turnout:
            site.claim(answer.status in (200, 502), f"{heads} interim heads: {answer}")


@scenario(
    access_log=True,
    traffic={"rate": 300.0, "connections": 16, "fresh_every": 3},
    bounds=Bounds(grows_mib=64),
)
async def a_log_that_cannot_be_opened_again_reaches_no_client(site: Site) -> None:
    """Its directory is moved away under load, comes back without it, then with it."""
    log, moved = site.proxy.access_log, site.proxy.folder / "moved"
    log.parent.rename(moved)
    site.proxy.reopen_log()
    await asyncio.sleep(1.5)
    log.mkdir(parents=True)  # a directory in the place of the file: no open can succeed
    site.proxy.reopen_log()
    await asyncio.sleep(1.5)
    log.rmdir()
    site.proxy.reopen_log()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3):
            while not (log.exists() and log.stat().st_size):
                await asyncio.sleep(0.05)
    is_back = log.exists() and log.stat().st_size > 0
    site.claim(is_back, "the log goes on in a new file once that can be made")
