"""Sends spans to a collector, by OTLP over HTTP with OpenTelemetry's SDK: in the supervisor.

A thread of its own encodes and sends, so that neither a worker nor the supervisor's loop waits
for a collector; what piles up before one that does not answer is dropped and counted.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from router import __version__
from router.process.config import BadSettings
from router.tracing.tracer import Noted

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

log = logging.getLogger("turnout.router")

_SDK = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_PATH = "/v1/traces"  # below the endpoint, as the specification of OTLP has it
_MOST_WAITING = 20_000  # spans; some 10 MB
_PER_REQUEST = 512  # spans, as OpenTelemetry's own batches
_TIMEOUT_S = 10.0
_LEAVE_S = 2.0  # for the last spans, when the router ends
_MOST_EXEMPLARS = 1_000  # revisions

Key = tuple[str, str]  # app, revision


@dataclass(frozen=True, slots=True)
class Span:
    """What a worker noted of a request (`tracer.Noted`)."""

    trace_id: str
    span_id: str
    parent_id: str
    ended_at: float  # Unix time
    seconds: float
    sent_s: float  # seconds before its end that it was sent to the replica; 0 if it never was
    method: str
    host: str
    target: str
    status: int
    error: str
    app: str
    revision: str
    replica: str
    reason: str
    client: str
    request_id: str
    bytes_in: int
    bytes_out: int


def check_installed() -> None:
    """Raises BadSettings when there is no SDK."""
    try:
        import_module(_SDK)
    except ImportError as error:
        install = "pip install 'turnout[otel]'"
        raise BadSettings(
            f"otlp_endpoint: traces need OpenTelemetry's SDK ({error}): {install}"
        ) from None


class Exporter:
    """Takes spans on the loop; a thread sends them."""

    def __init__(self, endpoint: str) -> None:
        self.exported = 0
        self.refused = 0  # by the collector, or it did not answer
        self.overflown = 0  # here or in a worker; counted on the loop, the other two by the thread
        self.exemplars: dict[Key, Span] = {}  # the last one of each revision
        self._endpoint = endpoint.rstrip("/") + _PATH
        self._queue: queue.SimpleQueue[list[Span] | None] = queue.SimpleQueue()
        self._offered = 0
        self._is_well = True
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def take(self, spans: Sequence[Noted], dropped: int) -> None:
        """Spans of a worker, and how many it had no room for."""
        self.overflown += dropped
        waiting = self._offered - self.exported - self.refused
        if waiting + len(spans) > _MOST_WAITING:
            self.overflown += len(spans)
            return
        taken = [Span(*noted) for noted in spans]
        for span in taken:
            self.exemplars.pop((span.app, span.revision), None)  # the newest stand last
            self.exemplars[span.app, span.revision] = span
        while len(self.exemplars) > _MOST_EXEMPLARS:
            del self.exemplars[next(iter(self.exemplars))]
        self._offered += len(taken)
        for at in range(0, len(taken), _PER_REQUEST):
            self._queue.put(taken[at : at + _PER_REQUEST])

    def close(self) -> None:
        """End after what was taken, but wait no longer than a moment."""
        self._queue.put(None)
        self._thread.join(_LEAVE_S)

    def _run(self) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # we say it, once
        exporter: SpanExporter = import_module(_SDK).OTLPSpanExporter(
            endpoint=self._endpoint, timeout=_TIMEOUT_S
        )
        resource = _resource()
        while (spans := self._queue.get()) is not None:
            try:
                is_taken = self._export(exporter, [_readable(span, resource) for span in spans])
            except Exception as error:  # of the SDK, or of one batch
                log.error("event=spans_not_sent reason=%r", error)
                is_taken = False
            if is_taken:
                self.exported += len(spans)
            else:
                self.refused += len(spans)
        exporter.shutdown()

    def _export(self, exporter: SpanExporter, spans: list[ReadableSpan]) -> bool:
        is_taken = exporter.export(spans).name == "SUCCESS"
        if is_taken is not self._is_well:
            say = log.info if is_taken else log.warning
            say("event=spans_%s endpoint=%s", "sent_again" if is_taken else "lost", self._endpoint)
        self._is_well = is_taken
        return is_taken


def _resource() -> Resource:
    """Who we are; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say otherwise."""
    from opentelemetry.sdk.resources import Resource

    ours = Resource({"service.name": "turnout", "service.version": __version__})
    given = Resource.create()
    if str(given.attributes["service.name"]).startswith("unknown_service"):
        return given.merge(ours)
    return ours.merge(given)


def _readable(span: Span, resource: Resource) -> ReadableSpan:
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    trace_id, sampled = int(span.trace_id, 16), TraceFlags(TraceFlags.SAMPLED)
    parent = None
    if span.parent_id:
        parent = SpanContext(trace_id, int(span.parent_id, 16), True, sampled)
    is_bad = span.status >= 500 or bool(span.error)
    events = (Event("sent to the replica", timestamp=_ns(span.ended_at - span.sent_s)),)
    return ReadableSpan(
        name=span.method,
        context=SpanContext(trace_id, int(span.span_id, 16), False, sampled),
        parent=parent,
        resource=resource,
        attributes=_attributes(span),
        events=events if span.sent_s else (),
        kind=SpanKind.SERVER,
        status=Status(StatusCode.ERROR, span.error or None) if is_bad else Status(),
        start_time=_ns(span.ended_at - span.seconds),
        end_time=_ns(span.ended_at),
        instrumentation_scope=InstrumentationScope("turnout", __version__),
    )


def _ns(at: float) -> int:
    return round(at * 1e9)


def _attributes(span: Span) -> dict[str, str | int]:
    """By OpenTelemetry's conventions for HTTP, and ours; empty ones are left out."""
    path, _, query = span.target.partition("?")
    named: dict[str, str | int] = {
        "http.request.method": span.method,
        "url.scheme": "http",
        "server.address": span.host,
        "url.path": path,
        "url.query": query,
        "http.response.status_code": span.status,
        "error.type": span.error or (str(span.status) if span.status >= 500 else ""),
        "client.address": span.client,
        "http.request.body.size": span.bytes_in,
        "http.response.body.size": span.bytes_out,
        "turnout.app": span.app,
        "turnout.revision": span.revision,
        "turnout.replica": span.replica,
        "turnout.reason": span.reason,
        "turnout.request_id": span.request_id,
    }
    return {name: value for name, value in named.items() if value != ""}
