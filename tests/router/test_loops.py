"""A request that comes back again and again ends with 508; routers in a row are no loop."""

from __future__ import annotations

import pytest

from router.contract import outcomes
from router.contract.outcomes import Outcome
from router.http.request_head import Ingress, RequestHead
from router.http.trail import HOPS_LINE, MOST_PASSES, VIA_LINE
from tests.support.builders import a_revision, an_app, take
from tests.support.edges import in_front_of, running
from tests.support.heads import read_request
from tests.support.origin import Origin

OURS = b"1.1 turnout"


def passed(*fields: tuple[bytes, bytes], via: bool = True) -> RequestHead | Outcome:
    ingress = Ingress(b"", b"", is_trusted=False, via=VIA_LINE if via else HOPS_LINE)
    given = [(b"Host", b"shop.localhost"), *fields]
    return read_request(b"GET", b"/", b"1.1", given, ingress, b"id")


def marks(head: RequestHead | Outcome) -> list[bytes]:
    assert isinstance(head, RequestHead), head
    return [line for line in head.wire.split(b"\r\n") if line[:4] in (b"Via:", b"X-Tu")]


@pytest.mark.parametrize(
    ("fields", "via", "expected"),
    [
        ([], True, [b"Via: 1.1 turnout"]),
        ([], False, [b"X-Turnout-Hops: 1"]),
        ([(b"Via", b"1.1 cdn")], True, [b"Via: 1.1 cdn, 1.1 turnout"]),
        (
            [(b"Via", b"1.1 a"), (b"via", b"1.0 b (x)")],
            True,
            [b"Via: 1.1 a, 1.0 b (x), 1.1 turnout"],
        ),
        ([(b"Via", b"1.1 cdn")], False, [b"Via: 1.1 cdn", b"X-Turnout-Hops: 1"]),
        ([(b"X-Turnout-Hops", b"2")], True, [b"Via: 1.1 turnout", b"X-Turnout-Hops: 2"]),
        ([(b"X-Turnout-Hops", b"2")], False, [b"X-Turnout-Hops: 3"]),
        ([(b"X-Turnout-Hops", b"many")], False, [b"X-Turnout-Hops: 1"]),
        ([(b"X_Turnout_Hops", b"99")], False, [b"X-Turnout-Hops: 1"]),
        ([(b"Via", b"")], True, [b"Via: 1.1 turnout"]),
        ([(b"Via", b"1.1 a"), (b"Connection", b"via")], True, [b"Via: 1.1 a, 1.1 turnout"]),
        (
            [(b"X-Turnout-Hops", b"2"), (b"Connection", b"x-turnout-hops")],
            False,
            [b"X-Turnout-Hops: 3"],
        ),
    ],
)
def test_each_pass_leaves_one_mark(
    fields: list[tuple[bytes, bytes]], via: bool, expected: list[bytes]
) -> None:
    assert marks(passed(*fields, via=via)) == expected


@pytest.mark.parametrize(
    ("fields", "passes"),
    [
        ([(b"Via", b", ".join([OURS] * MOST_PASSES))], MOST_PASSES),
        ([(b"Via", b", ".join([OURS] * (MOST_PASSES - 1)))], MOST_PASSES - 1),
        ([(b"Via", OURS)] * MOST_PASSES, MOST_PASSES),
        ([(b"Via", b"HTTP/1.1 turnout (edge),1.1\tturnout")] * (MOST_PASSES // 2), MOST_PASSES),
        ([(b"X-Turnout-Hops", b"%d" % MOST_PASSES)], MOST_PASSES),
        ([(b"X-Turnout-Hops", b"%d" % (MOST_PASSES - 1))], MOST_PASSES - 1),
        ([(b"X-Turnout-Hops", b"%d" % (MOST_PASSES - 1)), (b"Via", OURS)], MOST_PASSES),
        ([(b"Via", b"1.1 turnout-cache, 1.1 my.turnout")] * MOST_PASSES, 0),
        ([(b"Via", b"1.1 cdn")] * 50, 0),
    ],
)  # fmt: skip
def test_a_request_may_pass_a_few_routers_and_no_more(
    fields: list[tuple[bytes, bytes]], passes: int
) -> None:
    is_refused = passed(*fields) is outcomes.LOOP_DETECTED
    assert is_refused is (passes >= MOST_PASSES)


@pytest.mark.parametrize("via", [True, False])
async def test_an_edge_that_is_its_own_replica_answers_508(via: bool) -> None:
    async with running(via=via) as edge:
        take(edge.edge, an_app(a_revision("v1", 100, endpoints=[f"127.0.0.1:{edge.port}"])))
        client = await edge.client()
        for _ in range(3):
            head, body = await client.get()
            assert head.startswith(b"HTTP/1.1 508 Loop Detected\r\n")
            assert body.startswith(b"LoopDetected: ")
        codes = edge.edge.stats.of("shop", "shop--v1").codes
        assert codes == {508: 3 * MOST_PASSES}
        assert edge.edge.stats.errors["_unknown", "LoopDetected"] == 3
        assert not edge.edge.stats.of("shop", "shop--v1").ejections


async def test_the_edge_that_finds_a_loop_says_so() -> None:
    async with Origin() as origin, in_front_of(origin) as edge:
        client = await edge.client()
        via = b", ".join([OURS] * MOST_PASSES)
        await client.send(b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nVia: %b\r\n\r\n" % via)
        head, _ = await client.response()
    assert b" 508 " in head
    assert b"X-Turnout-Error: LoopDetected\r\n" in head
    assert origin.heads == []


async def test_two_edges_that_send_to_each_other_answer_508() -> None:
    async with running(via=True) as one, running(via=False) as other:
        take(one.edge, an_app(a_revision("v1", 100, endpoints=[f"127.0.0.1:{other.port}"])))
        take(other.edge, an_app(a_revision("v1", 100, endpoints=[f"127.0.0.1:{one.port}"])))
        head, _ = await (await one.client()).get()
        assert head.startswith(b"HTTP/1.1 508 ")


async def test_an_edge_behind_an_edge_is_no_loop() -> None:
    async with Origin() as origin, in_front_of(origin) as inner, running() as outer:
        take(outer.edge, an_app(a_revision("v1", 100, endpoints=[f"127.0.0.1:{inner.port}"])))
        head, body = await (await outer.client()).get()
    assert (head[9:12], body) == (b"200", b"ok")
    assert b"Via: 1.1 turnout, 1.1 turnout\r\n" in origin.heads[0]
