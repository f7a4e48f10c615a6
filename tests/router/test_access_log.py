"""The access log: what a reader of it finds, and that it never holds a request up."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from router.forwarding.access_log import AccessLog
from tests.support.builders import a_revision, an_app
from tests.support.edges import RunningEdge, eventually, in_front_of, running
from tests.support.origin import Origin

FIELDS = [
    "time", "client", "method", "host", "path", "status", "error", "app", "revision", "replica",
    "reason", "duration_ms", "upstream_ms", "request_bytes", "response_bytes", "request_id",
    "user_agent", "trace_id",
]  # fmt: skip


def logging_to(edge: RunningEdge, target: Path, min_status: int = 0, min_s: float = 0.0) -> None:
    edge.edge.access_log = AccessLog(str(target), min_status=min_status, min_s=min_s)


async def lines(edge: RunningEdge, target: Path) -> list[dict[str, Any]]:
    assert edge.edge.access_log is not None
    await asyncio.to_thread(edge.edge.access_log.close)
    edge.edge.access_log = None
    return [json.loads(line) for line in target.read_text().splitlines()]


async def test_one_line_per_request_with_fixed_names_and_no_secrets(tmp_path: Path) -> None:
    target = tmp_path / "access.log"
    async with Origin() as origin, in_front_of(origin) as edge:
        logging_to(edge, target)
        client = await edge.client()
        await client.send(
            b"POST /orders?id=7 HTTP/1.1\r\nHost: shop.localhost:80\r\nX-Request-Id: abc\r\n"
            b"User-Agent: curl/8\r\nAuthorization: Bearer secret\r\nCookie: s=secret\r\n"
            b"Content-Length: 4\r\n\r\nbody"
        )
        await client.response()
        (line,) = await lines(edge, target)
    assert list(line) == FIELDS
    expected = {
        "client": "127.0.0.1", "method": "POST", "host": "shop.localhost",
        "path": "/orders?id=7", "status": 200, "error": "", "app": "shop",
        "revision": "shop--v1", "replica": origin.address, "reason": "weight",
        "request_bytes": 4, "response_bytes": 2, "request_id": "abc", "user_agent": "curl/8",
    }  # fmt: skip
    assert {name: line[name] for name in expected} == expected
    assert line["duration_ms"] >= line["upstream_ms"] > 0
    assert "secret" not in target.read_text()


async def test_the_user_agent_is_the_requests_own(tmp_path: Path) -> None:
    """A head that is known by heart comes after another one was seen."""
    target = tmp_path / "access.log"
    first = b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nUser-Agent: one\r\n\r\n"
    other = b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nUser-Agent: two\r\n\r\n"
    async with Origin() as origin, in_front_of(origin) as edge:
        logging_to(edge, target)
        client = await edge.client()
        for wire in (first, first, other, first):
            await client.send(wire)
            await client.response()
        seen = [line["user_agent"] for line in await lines(edge, target)]
    assert seen == ["one", "one", "two", "one"]


async def test_what_the_edge_answers_itself_names_the_error(tmp_path: Path) -> None:
    target = tmp_path / "access.log"
    async with running(an_app(a_revision("v1", 100))) as edge:
        logging_to(edge, target)
        await edge.exchange(b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n")
        await edge.exchange(b"what?\r\n\r\n")
        found = await lines(edge, target)
    assert [(x["status"], x["error"]) for x in found] == [
        (404, "HostNotFound"),
        (400, "BadRequest"),
    ]


async def test_filters_keep_what_failed_or_was_slow(tmp_path: Path) -> None:
    target = tmp_path / "access.log"
    async with running(an_app(a_revision("v1", 100, endpoints=["127.0.0.1:1"]))) as edge:
        logging_to(edge, target, min_status=500)
        await edge.exchange(b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n")
        await (await edge.client()).get()
        assert [x["status"] for x in await lines(edge, target)] == [502]
    slow = tmp_path / "slow.log"
    async with Origin() as origin, in_front_of(origin) as edge:
        logging_to(edge, slow, min_s=30.0)
        await (await edge.client()).get()
        assert await lines(edge, slow) == []


async def test_a_rotated_log_goes_on_in_a_new_file(tmp_path: Path) -> None:
    target = tmp_path / "access.log"
    async with Origin() as origin, in_front_of(origin, tick_s=0.01) as edge:
        logging_to(edge, target)
        client = await edge.client()
        await client.get(path="/before")
        await eventually(lambda: target.read_text())
        target.rename(tmp_path / "access.log.1")
        await client.get(path="/after")
        assert [x["path"] for x in await lines(edge, target)] == ["/after"]
    assert "/before" in (tmp_path / "access.log.1").read_text()


async def test_a_disk_that_stalls_costs_lines_and_never_requests(tmp_path: Path) -> None:
    stalled = tmp_path / "pipe"
    os.mkfifo(stalled)
    reader = os.open(stalled, os.O_RDONLY | os.O_NONBLOCK)  # opened, and never read
    try:
        log = AccessLog(str(stalled), min_status=0, min_s=0.0)
        async with Origin() as origin, in_front_of(origin) as edge:
            edge.edge.access_log = log
            client = await edge.client()
            path = "/" + "x" * 7000
            while not log.dropped:
                for _ in range(50):
                    assert (await client.get(path=path))[1] == b"ok"
                log.flush()
            assert log.dropped > 0
    finally:
        os.close(reader)  # the writer's thread ends with an error, which is counted
