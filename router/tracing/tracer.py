"""Which requests are traced, and what was noted of them, until the supervisor gets it. Pure."""

from __future__ import annotations

from random import random
from time import time
from typing import Final

from router.http.request_head import RequestHead
from router.http.request_ids import RequestIds
from router.tracing.ended import Ended
from router.tracing.traceparent import begun, continued, parent_in

_MOST: Final = 2048  # spans between two ticks; JSON of a millisecond
_SPAN_ID: Final = 16  # characters

# What a span says, as JSON of the channel; in the order of `exporter.Span`.
Noted = tuple[
    str, str, str, float, float, float, str, str, str, int, str, str, str, str, str, str, str,
    int, int,
]  # fmt: skip


class Span:
    """The edge's part in a trace."""

    __slots__ = ("parent_id", "span_id", "trace_id")

    def __init__(self, trace_id: bytes, span_id: bytes, parent_id: bytes) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_id = parent_id  # empty when the trace begins here


class Tracer:
    """The traces of one worker."""

    __slots__ = ("_dropped", "_ids", "_noted", "_percent")

    def __init__(self, sample_percent: float, ids: RequestIds) -> None:
        self._percent = sample_percent
        self._ids = ids
        self._noted: list[Noted] = []
        self._dropped = 0

    def begin(self, head: RequestHead) -> Span | None:
        """The span of a request, which its replica is told of; None when it is not traced."""
        parent = parent_in(head.wire)
        if parent is None:
            if not self._percent or random() * 100 >= self._percent:
                return None
            span = Span(self._ids.new(), self._new_id(), b"")
            head.wire = begun(head.wire, span.trace_id, span.span_id)
            return span
        if not parent.is_sampled:
            return None
        span = Span(parent.trace_id, self._new_id(), parent.span_id)
        head.wire = continued(head.wire, parent, span.span_id)
        return span

    def _new_id(self) -> bytes:
        return self._ids.new()[:_SPAN_ID]

    def note(self, span: Span, ended: Ended) -> None:
        """Keep what became of a request; what nobody fetches in time is dropped and counted."""
        if len(self._noted) >= _MOST:
            self._dropped += 1
            return
        head = ended.head
        self._noted.append(
            (
                ended.trace_id,
                span.span_id.decode(),
                span.parent_id.decode(),
                time(),
                ended.seconds,
                ended.upstream_s,
                head.method.decode("latin-1"),
                head.host_key.decode("latin-1"),
                head.target.decode("latin-1"),
                ended.status,
                ended.error,
                ended.app,
                ended.revision,
                ended.replica,
                ended.reason,
                ended.client,
                head.request_id.decode("latin-1"),
                ended.bytes_in,
                ended.bytes_out,
            )
        )

    def take(self) -> tuple[list[Noted], int]:
        """What was noted since it was last asked, and how many more there were."""
        taken = self._noted, self._dropped
        self._noted, self._dropped = [], 0
        return taken
