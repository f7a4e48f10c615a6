"""Ends: whoever reads slowly gets all of an answer, and what was cut short never looks whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from benchmarks.scenarios.abuse.site import BAD, Site, scenario
from tests.support.abuse import clients, replicas
from tests.support.abuse.wire import Answer, Raw

# What the kernel's buffers hold is not known, so answers of many sizes are tried.
_STEP = 300_000
_MOST = 7_500_000
_PAUSE_S = 3.5  # longer than the two seconds for which turnout reads on after an end
_LIMIT_S = 2.0
_GONE_S = 6.0


@scenario(replica=replicas.large)
async def slow_readers_get_all_of_their_last_answer(site: Site) -> None:
    await _read_slowly(site, lambda n: clients.get(BAD, f"/{n}", "Connection: close\r\n"))


@scenario(replica=replicas.large_until_close)
async def slow_readers_get_all_of_what_only_the_close_delimits(site: Site) -> None:
    await _read_slowly(site, lambda n: clients.get(BAD, f"/{n}").replace(b"HTTP/1.1", b"HTTP/1.0"))


async def _read_slowly(site: Site, wire: Callable[[int], bytes]) -> None:
    """Read nothing while the answer comes and ends, then all of it."""

    async def read(size: int) -> tuple[int, Answer]:
        async with await clients.reads_nothing(site.port, wire(size), seconds=_PAUSE_S) as raw:
            return size, await raw.answer(10.0)

    found = await asyncio.gather(*map(read, range(_STEP, _MOST, _STEP)))
    cut = [(n, a) for n, a in found if a.size < n or not a.looks_complete]
    such_as = f", such as {cut[0][1]} of {cut[0][0]:,}" if cut else ""
    site.claim(not cut, f"{len(cut)} of {len(found)} answers are cut{such_as}")


@scenario(replica=replicas.large_until_close, write_timeout_s=_LIMIT_S)
async def what_is_cut_from_a_reader_that_stopped_does_not_look_whole(site: Site) -> None:
    wire = clients.get(BAD, "/30000000").replace(b"HTTP/1.1", b"HTTP/1.0")
    raw = await clients.reads_nothing(site.port, wire, seconds=_LIMIT_S + 3)
    async with raw:
        answer = await raw.answer(10.0)
    is_told = answer.size == 30_000_000 or not answer.looks_complete
    site.claim(is_told, f"all of it, or a reset: {answer}")


@scenario(replica=replicas.breaks_off)
async def an_answer_that_breaks_off_does_not_look_whole(site: Site) -> None:
    new = clients.get(BAD)
    for wire in (new, new.replace(b"HTTP/1.1", b"HTTP/1.0")):
        answer = await clients.asks(site.port, wire)
        site.claim(not answer.looks_complete, f"the client can tell that it is cut: {answer}")


@scenario(replica=replicas.halves)
async def a_proxy_that_leaves_finishes_answers_and_waits_for_nobody(site: Site) -> None:
    """Answers that had begun with keep-alive; their clients would stay."""
    loop = asyncio.get_running_loop()
    asked = [await Raw.to(site.port) for _ in range(8)]
    for raw in asked:
        await raw.send(clients.get(BAD, "/1500"))
    reading = [asyncio.create_task(raw.answer(10.0)) for raw in asked]
    await asyncio.sleep(0.5)
    await site.quiet()
    began = loop.time()
    site.proxy.leave()
    answers = await asyncio.gather(*reading)
    is_gone = await site.proxy.gone(_GONE_S)
    whole = sum(answer.is_complete for answer in answers)
    site.claim(whole == 8, f"{whole} of 8 answers are whole: {answers[0]}")
    site.claim(is_gone, f"the proxy is gone within {_GONE_S:g} s of the last answer")
    site.note(f"gone after {loop.time() - began:.1f} s")
    for raw in asked:
        raw.close()
