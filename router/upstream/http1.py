"""One HTTP/1.1 connection to a replica.

Invariant: it is offered for reuse only after a complete, well-framed response to a completely
sent request; a byte that arrives when nothing is owed ends it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from router.chunked import ChunkedDecoder, FramingError
from router.response_head import (
    CHUNKED,
    LENGTH,
    NO_BODY,
    UNTIL_CLOSE,
    ResponseHead,
    read_response,
    read_status_line,
)

if TYPE_CHECKING:
    from router.edge import Edge
    from router.exchange import Exchange
    from router.replicas import Replica

_LONGEST_REPEATED = 2048  # bytes that an idle connection may keep


class UpstreamConnection(asyncio.Protocol):
    """Carries one exchange at a time."""

    __slots__ = (
        # per connection
        "edge",
        "replica",
        "transport",
        "used",
        "idle_since",
        # per exchange
        "exchange",
        "_is_head",
        "_known",
        "_known_wire",
        "_buffer",
        "_fields",
        "_head",
        "_left",
        "_decoder",
    )

    def __init__(self, edge: Edge, replica: Replica) -> None:
        self.edge = edge
        self.replica = replica
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.used = 0  # requests sent on it
        self.idle_since = 0.0
        self.exchange: Exchange | None = None
        self._is_head = False
        self._known: ResponseHead | None = None  # the last head that was read, and its bytes
        self._known_wire = b""
        self._buffer = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._head: ResponseHead | None = None
        self._left = 0
        self._decoder: ChunkedDecoder | None = None

    def __repr__(self) -> str:
        state = "idle" if self.exchange is None else "busy"
        return f"<UpstreamConnection {self.replica.id} {state} used={self.used}>"

    # --- what an exchange does with it

    def begin(self, exchange: Exchange, wire: bytes, *, is_head: bool) -> None:
        """Send a request's head, with what is already there of its body."""
        self.exchange = exchange
        self.used += 1
        if is_head:
            self._known = None  # an answer to HEAD has no body, whatever its head says
        self._is_head = is_head
        self._head = None
        self.edge.write(self.transport, wire)

    def write(self, data: bytes) -> None:
        """Send more of the request's body."""
        self.edge.write_more(self.transport, data)

    def release(self) -> None:
        """The exchange is over and the connection good: keep it for the next."""
        self.exchange = None
        replica = self.replica
        if replica.departed or len(replica.idle) >= self.edge.settings.upstream_idle_connections:
            self.close()
            return
        self.idle_since = self.edge.now
        replica.idle.append(self)

    def close(self) -> None:
        """Close it; the exchange hears no more of it."""
        self.exchange = None
        self.transport.abort()

    def detach(self) -> None:
        """Its transport goes on without it, as one half of a tunnel."""
        self.exchange = None
        self.replica.connections -= 1

    # --- what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.replica.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.replica.connections -= 1
        self._leave_pool()
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        head = self._head
        if head is not None and head.framing == UNTIL_CLOSE and exc is None:
            exchange.response_ended([], is_reusable=False)
        else:
            exchange.upstream_lost()

    def eof_received(self) -> bool:
        self._leave_pool()
        return False

    def _leave_pool(self) -> None:
        if self.exchange is None and self in self.replica.idle:
            self.replica.idle.remove(self)

    def pause_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.client.hold_body()

    def resume_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.client.resume_body()

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # a byte nobody asked for: what else would it answer wrongly?
            self._leave_pool()
            self.close()
            return
        head = self._head
        if head is None:
            self._read_head(data)
        elif head.framing == LENGTH:
            self._read_length(exchange, data)
        elif head.framing == CHUNKED:
            self._read_chunks(exchange, data)
        else:
            exchange.response_body([data])
            exchange.flush()

    # --- reading a response

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by llhttp for each field."""
        self._fields.append((name, value))

    def _read_head(self, data: bytes) -> None:
        known = self._known
        # A busy replica repeats itself, down to the second of its Date: what was read from the
        # same bytes need not be read again. An unfinished head is in `_buffer`.
        if known is not None and data.startswith(self._known_wire) and not self._buffer:
            self._respond(known, data[len(self._known_wire) :])
            return
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        end = data.find(b"\r\n\r\n")
        if end < 0 or end > self.edge.settings.max_head_bytes:
            if len(data) > self.edge.settings.max_head_bytes or not _may_be_head(data):
                self._broken()
            else:
                self._buffer = data
            return
        wire = data[: end + 4]
        head = self._parse(wire)
        exchange = self.exchange
        if head is None or exchange is None:
            self._broken()
            return
        rest = data[end + 4 :]
        if head.status < 200:
            self._interim(exchange, head, rest)
            return
        is_kept = not self._is_head and len(wire) <= _LONGEST_REPEATED
        self._known, self._known_wire = (head, wire) if is_kept else (None, b"")
        self._respond(head, rest)

    def _respond(self, head: ResponseHead, rest: bytes) -> None:
        exchange = self.exchange
        assert exchange is not None
        self._head = head
        exchange.response_head(head)
        if head.framing == NO_BODY:
            exchange.response_ended([], is_reusable=head.keeps_alive and not rest)
        elif head.framing == LENGTH:
            self._left = head.length or 0
            self._read_length(exchange, rest)
        elif head.framing == CHUNKED:
            self._decoder = ChunkedDecoder()
            self._read_chunks(exchange, rest)
        else:
            exchange.response_body([rest] if rest else [])
            exchange.flush()

    def _parse(self, data: bytes) -> ResponseHead | None:
        status_line = read_status_line(data[: data.find(b"\r\n")])
        if status_line is None:
            return None
        self._fields = []
        # A new parser each time: llhttp cannot be told that a HEAD was asked (it would eat the
        # next response as a body), nor that the body bypasses it. Making one costs 0.25 us.
        try:
            HttpResponseParser(self).feed_data(data)
        except HttpParserUpgrade:
            pass  # raised behind a complete head; `interim` decides about 101
        except HttpParserError:
            return None
        return read_response(status_line, self._fields, is_head=self._is_head)

    def _interim(self, exchange: Exchange, head: ResponseHead, rest: bytes) -> None:
        if head.status == 101:
            exchange.switching(head, rest)
            return
        exchange.interim(head)
        if rest and self.exchange is exchange:
            self._read_head(rest)

    def _read_length(self, exchange: Exchange, data: bytes) -> None:
        extra = len(data) - self._left
        if extra > 0:
            data = data[: self._left]
        self._left -= len(data)
        if self._left:
            if data:
                exchange.response_body([data])
            exchange.flush()
            return
        exchange.response_body([data])
        head = self._head
        exchange.response_ended(
            [], is_reusable=extra <= 0 and head is not None and head.keeps_alive
        )

    def _read_chunks(self, exchange: Exchange, data: bytes) -> None:
        decoder, head = self._decoder, self._head
        assert decoder is not None
        assert head is not None
        try:
            pieces = decoder.feed(data)
        except FramingError:
            self._broken()
            return
        if pieces:
            exchange.response_body(pieces)
        if decoder.done:
            exchange.response_ended(
                decoder.trailers, is_reusable=head.keeps_alive and not decoder.rest
            )
        else:
            exchange.flush()

    def _broken(self) -> None:
        """The answer cannot be read: nothing more of this connection is believed."""
        exchange, self.exchange = self.exchange, None
        self.transport.abort()
        if exchange is not None:
            exchange.upstream_broken()


def _may_be_head(data: bytes) -> bool:
    """Whether bytes without an empty line may still become a head, so that it pays to wait."""
    return (b"HTTP/1.".startswith(data[:7]) or data.startswith(b"HTTP/1.")) and b"\n\n" not in data
