"""A trace from a client through the edge to the replica, and the edge's span at a collector."""

from __future__ import annotations

import re
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.support.turnout import Turnout, run, until

TRACE, SENDER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = {"traceparent": f"00-{TRACE}-{SENDER}-01"}


class Server(BaseHTTPRequestHandler):
    """Keeps what it is sent; `heard` and `answer` are given to each server's own class."""

    protocol_version = "HTTP/1.1"
    heard: list[Any]

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Replica(Server):
    """Says nothing, with a status that its path asks for."""

    def do_GET(self) -> None:
        self.heard.append(self.headers.get("traceparent", ""))
        self.reply(int(self.path[1:].partition("?")[0] or 200))


class Collector(Server):
    """As OTLP over HTTP has it: protobuf in, protobuf out."""

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        request = ExportTraceServiceRequest()
        request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
        self.heard.extend(request.resource_spans)
        self.reply(200, ExportTraceServiceResponse().SerializeToString())


@contextmanager
def serving(kind: type[Server]) -> Iterator[tuple[str, list[Any]]]:
    """The address of a server, and what it hears."""
    heard: list[Any] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), type("One", (kind,), {"heard": heard})) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}", heard
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def a_router(state: Path, replica: str, collector: str, **settings: object) -> Iterator[Turnout]:
    routes = state / "routes.toml"
    routes.write_text(
        '[[app]]\nname = "shop"\n[[app.revision]]\nname = "shop--v1"\nweight = 100\n'
        f'endpoints = ["{replica}"]\n'
    )
    given = {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "state": state / "s",
        "workers": 2,
        "otlp_endpoint": f"http://{collector}",
        **settings,
    }
    with Turnout("router", "--routes", str(routes), **given) as router:
        yield router


def spans(heard: list[Any]) -> list[Any]:
    return [
        span for resource in list(heard) for scope in resource.scope_spans for span in scope.spans
    ]


def told(attributes: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in attributes}


def exposed(router: Turnout, accept: str = "") -> str:
    """The metrics, as text or as who accepts that gets them."""
    request = urllib.request.Request(f"{router.server}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(response.read().decode())


def test_a_clients_trace_goes_on_through_the_edge_to_the_replica(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    with (
        serving(Replica) as (replica, asked),
        serving(Collector) as (collector, heard),
        a_router(state, replica, collector) as router,
    ):
        assert router.get("shop.localhost", "/503?a=b", **SENT)[0] == 503
        assert router.get("shop.localhost")[0] == 200  # came without, and none is begun
        (span,) = until(lambda: spans(heard))

        assert asked == [f"00-{TRACE}-{span.span_id.hex()}-01", ""]
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SENDER)
        assert (span.name, span.kind, span.status.code) == ("GET", span.SPAN_KIND_SERVER, 2)
        (event,) = span.events
        assert span.start_time_unix_nano <= event.time_unix_nano <= span.end_time_unix_nano
        found = told(span.attributes)
        expected = {
            "server.address": "shop.localhost",
            "url.path": "/503",
            "url.query": "a=b",
            "http.response.status_code": 503,
            "error.type": "503",
            "turnout.app": "shop",
            "turnout.revision": "shop--v1",
            "turnout.replica": replica,
            "turnout.reason": "weight",
        }
        assert {name: found[name] for name in expected} == expected
        resource = told(heard[0].resource.attributes)
        assert resource["service.name"] == "turnout"
        assert resource["deployment.environment.name"] == "test"

        until(lambda: 'turnout_spans_total{result="exported"} 1.0' in exposed(router))
        example = rf'_bucket{{app="shop",.*}} \S+ # {{trace_id="{TRACE}"}}'
        assert len(re.findall(example, exposed(router, "application/openmetrics-text"))) == 1
        assert TRACE not in exposed(router)


def test_what_a_worker_has_noted_reaches_the_collector_before_the_router_ends(state: Path) -> None:
    with serving(Replica) as (replica, _), serving(Collector) as (collector, heard):
        with a_router(state, replica, collector, trace_sample_percent=100, tick_s=30) as router:
            for _ in range(20):
                assert router.get("shop.localhost")[0] == 200
        assert len(spans(heard)) == 20


def test_a_collector_that_is_away_costs_spans_and_no_request(state: Path) -> None:
    with serving(Replica) as (replica, asked):
        with serving(Collector) as (collector, _):
            pass  # nobody listens there any more
        with a_router(state, replica, collector, trace_sample_percent=100) as router:
            for _ in range(20):
                assert router.get("shop.localhost")[0] == 200
            assert all(asked)
            lost = r'turnout_spans_total{result="refused"} [1-9]'
            until(lambda: re.search(lost, exposed(router)))
    assert router.process.returncode == 0
    assert router.stderr.count(b"event=spans_lost") == 1


def test_a_bad_endpoint_is_refused(state: Path) -> None:
    done = run("router", "--routes", "none.toml", otlp_endpoint="collector:4318", state=state)
    assert done.returncode == 2
    assert "otlp_endpoint: 'collector:4318' is not http://HOST:PORT" in done.stderr
