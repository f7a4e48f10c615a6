"""Traces at the edge: what a replica is told, and what is noted of a request."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from httptools import HttpRequestParser

from router.forwarding.access_log import AccessLog
from router.http.request_head import Ingress, RequestHead, RequestReading
from router.http.request_ids import RequestIds
from router.process.config import BadSettings
from router.tracing import exporter
from router.tracing.ended import Ended
from router.tracing.exporter import Span
from router.tracing.traceparent import begun, continued, parent_in, trace_of
from router.tracing.tracer import Tracer
from tests.support.edges import RunningEdge, in_front_of
from tests.support.origin import Origin

TRACE, SENDER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SENDER}-01"


@asynccontextmanager
async def traced(percent: float = 0.0) -> AsyncIterator[tuple[RunningEdge, Origin]]:
    async with Origin() as origin, in_front_of(origin) as edge:
        edge.edge.tracer = Tracer(percent, edge.edge.ids)
        yield edge, origin


def spans(edge: RunningEdge) -> list[Span]:
    assert edge.edge.tracer is not None
    return [Span(*noted) for noted in edge.edge.tracer.take()[0]]


def received(origin: Origin) -> list[str]:
    """The traceparents of the last request that a replica was sent."""
    return re.findall(r"(?im)^traceparent: *(.*)\r$", origin.heads[-1].decode())


def a_get(*fields: str) -> bytes:
    lines = ["GET /orders?id=7 HTTP/1.1", "Host: shop.localhost", *fields, "", ""]
    return "\r\n".join(lines).encode()


async def test_a_sampled_trace_is_continued_by_a_span_of_the_edge() -> None:
    async with traced() as (edge, origin):
        await edge.exchange(a_get(f"TraceParent:  {VALID} ", "tracestate: a=1", "X-After: 1"))
        (span,) = spans(edge)
        assert received(origin) == [f"00-{TRACE}-{span.span_id}-01"]
        assert b"tracestate: a=1\r\n" in origin.heads[-1]
        assert b"X-After: 1\r\n" in origin.heads[-1]
    assert (span.trace_id, span.parent_id) == (TRACE, SENDER)
    assert span.span_id != SENDER
    assert (span.method, span.host, span.target) == ("GET", "shop.localhost", "/orders?id=7")
    assert (span.app, span.revision, span.replica) == ("shop", "shop--v1", origin.address)
    assert (span.status, span.reason, span.error) == (200, "weight", "")
    assert span.seconds >= span.sent_s > 0


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [f"traceparent: 00-{TRACE}-{SENDER}-00"],  # its sender does not sample
        [f"traceparent: ff-{TRACE}-{SENDER}-01"],
        [f"traceparent: 00-{'0' * 32}-{SENDER}-01"],
        [f"traceparent: 00-{TRACE}-{'0' * 16}-01"],
        [f"traceparent: {VALID.upper()}"],
        [f"traceparent: {VALID}-more"],
        [f"traceparent: {VALID}", f"traceparent: {VALID}"],
        [f"x-traceparent: {VALID}", f"X-Say: traceparent: {VALID}"],
        ["traceparent:"],
    ],
)
async def test_what_is_not_a_sampled_trace_passes_untouched(fields: list[str]) -> None:
    async with traced() as (edge, origin):
        await edge.exchange(a_get(*fields))
        assert spans(edge) == []
        assert all(f"{field}".encode() in origin.heads[-1] for field in fields)


async def test_without_a_tracer_the_field_passes_as_it_came() -> None:
    async with Origin() as origin, in_front_of(origin) as edge:
        await edge.exchange(a_get(f"traceparent: {VALID}"))
        assert received(origin) == [VALID]


async def test_a_trace_is_begun_for_a_share_of_the_requests_that_come_without() -> None:
    async with traced(percent=25.0) as (edge, origin):
        client = await edge.client()
        told = Counter[bool]()
        for _ in range(800):
            await client.get()
            told[bool(received(origin))] += 1
        found = spans(edge)
        assert told[True] == len(found)
        assert abs(len(found) - 200) < 75  # six standard deviations
        assert len({span.trace_id for span in found}) == len(found)
        assert {span.parent_id for span in found} == {""}

        await edge.exchange(a_get(f"traceparent: 00-{TRACE}-{SENDER}-00"))
        assert spans(edge) == []  # its sender has decided


async def test_a_trace_that_begins_here_replaces_what_was_not_valid() -> None:
    async with traced(percent=100.0) as (edge, origin):
        await edge.exchange(a_get("TRACEPARENT: nonsense", "TraceState: a=1", "X-After: 1"))
        (span,) = spans(edge)
        assert received(origin) == [f"00-{span.trace_id}-{span.span_id}-01"]
        assert b"TraceState" not in origin.heads[-1]
        assert b"\r\nX-After: 1\r\n" in origin.heads[-1]


async def test_a_client_that_repeats_its_fields_gets_a_span_for_each_request() -> None:
    """Its head is known by heart by then, and may not be the one with the span of the first."""
    async with traced() as (edge, origin):
        client = await edge.client()
        told = []
        for _ in range(5):
            await client.send(a_get(f"traceparent: {VALID}"))
            await client.response()
            told += received(origin)
        found = spans(edge)
        assert told == [f"00-{TRACE}-{span.span_id}-01" for span in found]
        assert len({span.span_id for span in found}) == 5


async def test_an_answer_of_the_edge_is_traced_with_its_code() -> None:
    async with traced() as (edge, _):
        wire = a_get(f"traceparent: {VALID}").replace(b"shop.localhost", b"nobody.localhost")
        await edge.exchange(wire)
        (span,) = spans(edge)
    assert (span.status, span.error, span.replica) == (404, "HostNotFound", "")
    assert span.sent_s == 0


async def test_lines_of_the_log_have_the_trace(tmp_path: Path) -> None:
    target = tmp_path / "access.log"
    async with traced(percent=100.0) as (edge, _):
        edge.edge.access_log = AccessLog(str(target), min_status=0, min_s=0.0)
        await edge.exchange(a_get(f"traceparent: {VALID}"))
        await edge.exchange(a_get())
        begun_here = spans(edge)[1].trace_id
        edge.edge.tracer = None
        await edge.exchange(a_get(f"traceparent: 00-{TRACE}-{SENDER}-00"))
        await edge.exchange(a_get())
        edge.edge.access_log.close()
        edge.edge.access_log = None
    logged: list[dict[str, Any]] = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["trace_id"] for line in logged] == [TRACE, begun_here, TRACE, ""]


def test_spans_that_nobody_fetches_are_counted_and_not_kept() -> None:
    read = RequestReading()
    HttpRequestParser(read).feed_data(a_get())
    head = read.read(b"GET", b"1.1", Ingress(b"", b"", is_trusted=False), b"id")
    assert isinstance(head, RequestHead)
    tracer = Tracer(100.0, RequestIds())
    span = tracer.begin(head)
    assert span is not None
    ended = Ended(
        head, client="", status=200, error="", app="shop", revision="", replica="", reason="",
        seconds=0.1, upstream_s=0.0, bytes_in=0, bytes_out=0, trace_id=TRACE,
    )  # fmt: skip
    most = 2048
    for _ in range(most + 2):
        tracer.note(span, ended)
    noted, dropped = tracer.take()
    assert (len(noted), dropped) == (most, 2)
    assert tracer.take() == ([], 0)


def test_without_the_sdk_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter.check_installed()
    monkeypatch.setitem(sys.modules, exporter._SDK, None)
    with pytest.raises(BadSettings, match=r"otlp_endpoint: .*pip install 'turnout\[otel\]'"):
        exporter.check_installed()


def test_a_version_of_tomorrow_is_read_as_far_as_it_is_known() -> None:
    head = a_get(f"traceparent: cc-{TRACE}-{SENDER}-01-what-comes")
    parent = parent_in(head)
    assert parent is not None
    assert parent.is_sampled
    assert trace_of(head) == TRACE
    new = continued(head, parent, b"1" * 16)
    assert f"\r\ntraceparent: 00-{TRACE}-{'1' * 16}-01\r\n\r\n".encode() in new


def test_a_head_with_a_new_trace_is_a_head() -> None:
    ids = RequestIds()
    new = begun(b"GET / HTTP/1.1\r\nHost: a\r\ntraceparent: x\r\n\r\n", ids.new(), b"2" * 16)
    lines = new.split(b"\r\n")
    assert lines[:2] == [b"GET / HTTP/1.1", b"Host: a"]
    assert lines[2].startswith(b"traceparent: 00-")
    assert lines[3:] == [b"", b""]
