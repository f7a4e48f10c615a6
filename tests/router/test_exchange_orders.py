"""Whatever happens to an exchange, in whatever order: it ends once, and nothing stays in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from router.contract import outcomes
from router.forwarding import states
from router.forwarding.exchange import Exchange
from router.routing.replicas import Replica
from tests.support.sides import Stage

ENDS = ("client answer", "client finished", "client cut", "client reset")
REQUESTS = (
    ("GET / HTTP/1.1",),
    ("HEAD / HTTP/1.0",),
    ("POST / HTTP/1.1", "Content-Length: 6"),
    ("PUT / HTTP/1.1", "Transfer-Encoding: chunked"),
    ("PUT / HTTP/1.1", "Content-Length: 6", "Expect: 100-continue"),
)
HAPPENINGS = (
    "accepted", "refused", "leaves", "uploads", "uploaded", "malformed", "continue", "head", "body",
    "ends", "breaks", "nonsense", "blocked", "reads", "late", "gone", "stalled", "room",
)  # fmt: skip
Happenings = dict[str, Callable[[], object]]


def possible(stage: Stage, exchange: Exchange, busy: list[Replica]) -> Happenings:
    """What the sides of an exchange may tell it now."""
    way, body, answer = exchange._attempts.state, exchange._body, exchange.answer
    can: Happenings = {
        "blocked": exchange.hold_response,
        "reads": exchange.resume_response,
        "late": exchange.timed_out,
        "gone": exchange.client_lost,
        "stalled": exchange.client_stalled,
        "leaves": lambda: stage.move_replicas(),
    }
    if body != states.COMPLETE:
        can["uploads"] = lambda: exchange.request_body([b"abc"])
        can["uploaded"] = lambda: exchange.request_finished([])
        can["malformed"] = lambda: exchange.body_refused(outcomes.bad_request("no"))
    if way == states.CONNECTING:
        can["accepted"] = stage.connected
        can["refused"] = lambda: stage.failed("refused")
    if busy:
        can["room"] = lambda: busy.pop().leave()
    if way == states.SENT:
        can["breaks"] = exchange.upstream_lost
        can["nonsense"] = exchange.upstream_broken
        if answer == states.AWAITED:
            can["continue"] = lambda: stage.head("100 Continue")
            can["head"] = lambda: stage.head("200 OK", "Content-Length: 6")
        else:
            can["body"] = lambda: (exchange.response_body([b"abc"]), exchange.flush())
            can["ends"] = lambda: exchange.response_ended([], is_reusable=True)
    return can


@settings(deadline=None, max_examples=300)
@given(
    request=st.sampled_from(REQUESTS),
    is_full=st.booleans(),
    order=st.lists(st.sampled_from(HAPPENINGS), max_size=30),
)
def test_an_exchange_ends_once(request: tuple[str, ...], is_full: bool, order: list[str]) -> None:
    asyncio.run(_live(request, is_full, order))


async def _live(request: tuple[str, ...], is_full: bool, order: list[str]) -> None:
    stage = Stage(max_in_flight_per_replica=1)
    busy = stage.replicas if is_full else []  # with requests of others
    for replica in busy:
        replica.in_flight = 1
    stage.request(*request)
    exchange = stage.exchange
    assert exchange is not None
    for word in (*order, "gone"):
        happens = possible(stage, exchange, busy).get(word)
        if happens is not None and not exchange.is_over:
            happens()
    for replica in busy:
        replica.leave()
    ends = [line for line in stage.took() if line.startswith(ENDS)]
    assert len(ends) == (exchange.answer != states.ABANDONED)
    stage.counted()
