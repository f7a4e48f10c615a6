"""Abuse of a queue that is full: what waits there is tried again, held back, and routed anew."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from benchmarks.scenarios.abuse.site import BAD, Site, scenario
from tests.support.abuse import clients, replicas
from tests.support.abuse.proxies import Router
from tests.support.abuse.wire import Answer, Raw
from tests.support.origin import OK, Connection, Origin

_ROOM, _PLACES = 4, 64
_SECONDS = 4.0
_LIMIT_S = 1.0
_HELD_S = 3.0  # beyond the time in which a client has to read
_GRACE_S = 4.0  # a deadline is noticed by a sweep, and this machine may be busy
_SWAPS = 8
_FEW = 5
_MIB = 1 << 20
_LIMITS: dict[str, Any] = {
    "max_in_flight_per_replica": _ROOM,
    "max_queue_per_revision": _PLACES,
    "queue_timeout_s": _LIMIT_S,
}
_held = replicas.Held()


async def _slow(c: Connection) -> None:
    """An answer each 10 ms."""
    while True:
        await c.head()
        await asyncio.sleep(0.01)
        await c.send(OK)


class _EveryOther:
    """Reset the first request of every other connection, and answer the other ones once.

    An answer between makes the router's next pause a short one, so requests go on failing here.
    """

    def __init__(self) -> None:
        self.resets = 0
        self._connections = 0

    async def __call__(self, c: Connection) -> None:
        self._connections += 1
        is_reset = self._connections % 2 == 0
        await c.head()
        if is_reset:
            self.resets += 1
            c.reset()
        else:
            await c.send(OK)


@scenario(replica=_slow, proxies=("turnout",), slow_start_s=0, retry_budget_percent=100, **_LIMITS)
async def a_full_queue_of_requests_that_are_sent_again_spins_nobody(site: Site) -> None:
    """They wait for the slow replica, as they have failed at the other one whose room is free."""
    broken = _EveryOther()
    async with Origin(broken) as other:
        await _router(site).route("bad", "v1", site.bad_address, other.address)
        answers = await _flood(site)
        retries = await _router(site).metric("turnout_retries_total")
        await _router(site).route("bad", "v1", site.bad_address)
    # The router pauses for a quarter of a second after each failure.
    seen = Counter(answer.status for answer, _ in answers)
    slowest = max(took for _, took in answers)
    site.claim(retries >= broken.resets > _FEW, f"{retries:.0f} of {broken.resets} are sent again")
    site.claim(seen.keys() <= {200, 502, 503}, f"each is answered or refused: {dict(seen)}")
    site.claim(slowest < _LIMIT_S + _GRACE_S, f"the slowest hears after {slowest:.1f} s")
    site.note(f"{dict(seen)}, {retries:.0f} sent again")
    await _is_served_again(site)


async def _flood(site: Site) -> list[tuple[Answer, float]]:
    """More clients than there are places, each asking again and again; the answers and waits."""
    loop = asyncio.get_running_loop()
    answers: list[tuple[Answer, float]] = []

    async def ask() -> None:
        began = loop.time()
        answer = await clients.asks(site.port, clients.get(BAD))
        answers.append((answer, loop.time() - began))

    ends_at = loop.time() + _SECONDS
    side = range(_PLACES + 4 * _ROOM)
    await asyncio.gather(*(clients.again_until(ends_at, ask, pause_s=0.05) for _ in side))
    return answers


@scenario(replica=replicas.large, proxies=("turnout",), write_timeout_s=2.0, **_LIMITS)
async def a_full_queue_of_blocked_clients_that_send_on_is_held_back(site: Site) -> None:
    """They read nothing, ask for more than fits, and go on sending requests until nothing fits."""
    blocked = [await clients.reads_nothing(site.port, seconds=0) for _ in range(_PLACES)]
    for path in ("/100000", f"/{200 * _MIB}"):
        for _ in range(20):
            await asyncio.gather(*(_send_on(raw, clients.get(BAD, path)) for raw in blocked))
    flood = clients.get(BAD) * 200_000
    flooding = [asyncio.create_task(_send_on(raw, flood)) for raw in blocked]
    asking = (clients.asks(site.port, clients.get(BAD, "/10"), _GRACE_S) for _ in range(2 * _ROOM))
    answers = await asyncio.gather(*asking)
    statuses = {answer.status for answer in answers}
    site.claim(statuses <= {200, 503}, f"others are answered or refused in time: {statuses}")
    site.note(f"others heard {statuses}")
    await asyncio.gather(*flooding)
    await asyncio.sleep(_HELD_S)
    for raw in blocked:
        raw.close()
    await _is_served_again(site, "/10")


async def _send_on(raw: Raw, wire: bytes) -> None:
    """Send for as long as it is taken, a second at most."""
    try:
        async with asyncio.timeout(1.0):
            await raw.send(wire)
    except (OSError, TimeoutError):
        pass


@scenario(replica=_held, proxies=("turnout",), **(_LIMITS | {"queue_timeout_s": 30.0}))
async def a_full_queue_whose_revision_leaves_is_answered_by_the_next(site: Site) -> None:
    """The table is swapped again and again, each time with all places taken."""
    router, held = _router(site), (_held, replicas.Held())
    async with Origin(held[1]) as other:
        addresses = (site.bad_address, other.address)
        for turn in range(_SWAPS):
            here, there = held[turn % 2], held[1 - turn % 2]
            here.forget()
            there.forget()
            await router.route("bad", f"v{turn}", addresses[turn % 2])
            asked = [await Raw.to(site.port) for _ in range(_PLACES + _ROOM)]
            for number, raw in enumerate(asked):
                await raw.send(clients.get(BAD, f"/{number}"))
            await router.until_metric("turnout_requests_queued", _PLACES)
            await router.route("bad", f"v{turn}-next", addresses[1 - turn % 2])
            answering = [asyncio.create_task(_answer_all(h)) for h in (here, there)]
            answers = await asyncio.gather(*(raw.answer(10.0) for raw in asked))
            for task in answering:
                task.cancel()
            await asyncio.gather(*answering, return_exceptions=True)
            right = sum(a.status == 200 and a.start == b"%d" % n for n, a in enumerate(answers))
            site.claim(right == len(asked), f"{right} of {len(asked)} have their answer")
            for raw in asked:
                raw.close()
        site.note(f"{_SWAPS} times {_PLACES} waited")


async def _answer_all(held: replicas.Held) -> None:
    while True:
        for token in held.tokens:
            await held.release(token)
        await asyncio.sleep(0.005)


def _router(site: Site) -> Router:
    assert isinstance(site.proxy, Router)
    return site.proxy


async def _is_served_again(site: Site, path: str = "/") -> None:
    """Nothing is left of the flood: no place is taken, and a request is answered."""
    await _router(site).until_metric("turnout_requests_queued", 0)
    answer = await clients.asks(site.port, clients.get(BAD, path), _GRACE_S)
    site.claim(answer.status == 200, f"afterwards a request is answered: {answer}")
