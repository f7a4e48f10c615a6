"""One HTTP/1.1 connection to a replica.

Invariants: it is offered for reuse only after a complete, well-framed response to a completely
sent request; a byte that arrives when nothing is owed ends it; what one turn of the loop does
with the bytes of one replica is bounded.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from router.contract.settings import RouterSettings
from router.http.chunked import ChunkedDecoder, FramingError
from router.http.response_head import (
    CHUNKED,
    LENGTH,
    NO_BODY,
    UNTIL_CLOSE,
    ResponseHead,
    ResponseReading,
    read_status_line,
)
from router.http.seams import ExchangeSide, UpstreamSide
from router.loop.intake import Intake
from router.loop.outbox import Outbox
from router.routing.replicas import Replica

_LONGEST_REPEATED: Final = 2048  # bytes that an idle connection may keep
_INTERIM_PER_TURN: Final = 32  # 1xx answers passed on at once

# Why the replica's socket is not read: bits, because both reasons can hold at once.
_CLIENT: Final = 1  # the client takes no more
_TURN: Final = 2  # this turn's work is done, and more has been received


class UpstreamConnection(UpstreamSide):
    """Carries one exchange at a time."""

    __slots__ = (
        # per connection
        "replica",
        "transport",
        "_outbox",
        "_settings",
        "_intake",
        "_is_counted",
        # per exchange
        "_exchange",
        "_turn",
        "_is_head",
        "_known",
        "_known_wire",
        "_buffer",
        "_searched",
        "_head",
        "_left",
        "_decoder",
    )

    transport: asyncio.Transport  # from `connection_made` on
    _intake: Intake

    def __init__(self, replica: Replica, outbox: Outbox, settings: RouterSettings) -> None:
        super().__init__()
        self.replica = replica
        self._outbox = outbox
        self._settings = settings
        self._is_counted = False
        self._exchange: ExchangeSide | None = None
        self._turn = 0  # of the outbox, in which the request's head was written
        self._is_head = False
        self._known: ResponseHead | None = None  # the last head that was read, and its bytes
        self._known_wire = b""
        self._buffer = b""  # received, and not yet acted upon: an unfinished head, or too much
        self._searched = 0  # bytes of it that hold no end of a head
        self._head: ResponseHead | None = None
        self._left = 0
        self._decoder: ChunkedDecoder | None = None

    def __repr__(self) -> str:
        state = "idle" if self._exchange is None else "busy"
        return f"<UpstreamConnection {self.replica.id} {state} used={self.used}>"

    # --- what an exchange does with it

    def begin(self, exchange: ExchangeSide, wire: bytes, *, is_head: bool) -> None:
        """Send a request's head, with what is already there of its body."""
        self._exchange = exchange
        self.used += 1
        if is_head:
            self._known = None  # an answer to HEAD has no body, whatever its head says
        self._is_head = is_head
        self._head = None
        outbox = self._outbox
        self._turn = outbox.turn
        outbox.write(self.transport, wire)

    @property
    def has_sent(self) -> bool:
        """Whether the replica may have seen anything of the request; writes leave in turns."""
        outbox = self._outbox
        return self._turn != outbox.turn and self.transport not in outbox.unsent

    def write(self, data: bytes) -> None:
        """Send more of the request's body."""
        self._outbox.write_more(self.transport, data)

    def hold(self) -> None:
        """Stop reading the response: the client takes no more."""
        self._intake.pause(_CLIENT)

    def resume(self) -> None:
        """Read on."""
        self._intake.resume(_CLIENT)

    def release(self, now: float) -> None:
        """The exchange is over and the connection good: keep it for the next."""
        self._exchange = None
        replica = self.replica
        # One that is blocked or paused would begin the next exchange without back-pressure.
        if (
            self.is_blocked
            or self._intake.pauses
            or replica.departed
            or len(replica.idle) >= self._settings.upstream_idle_connections
        ):
            self.close()
            return
        self.idle_since = now
        replica.idle.append(self)

    def close(self) -> None:
        """Close it; the exchange hears no more of it."""
        self._exchange = None
        self.transport.abort()

    def detach(self) -> asyncio.Transport:
        """Its transport goes on without it, as one half of a tunnel."""
        self._exchange = None
        self.uncount()
        return self.transport

    # --- what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._intake = Intake(self.transport)
        self.replica.connections += 1
        self._is_counted = True

    def uncount(self) -> None:
        """The connection is no more; a cancelled connect is never told of its loss."""
        if self._is_counted:
            self._is_counted = False
            self.replica.connections -= 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.uncount()
        self._leave_pool()
        while self._intake.pauses & _TURN and self._exchange is not None and self._buffer:
            self._intake.pauses = 0  # what was received is an answer, though the connection is gone
            data, self._buffer = self._buffer, b""
            self._read(data)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            head = self._head
            if head is not None and head.framing == UNTIL_CLOSE and exc is None:
                exchange.response_ended([], is_reusable=False)
            else:
                exchange.upstream_lost()

    def eof_received(self) -> bool:
        self._leave_pool()
        return False

    def _leave_pool(self) -> None:
        if self._exchange is None and self in self.replica.idle:
            self.replica.idle.remove(self)

    def pause_writing(self) -> None:
        self.is_blocked = True
        if self._exchange is not None:
            self._exchange.hold_body()

    def resume_writing(self) -> None:
        self.is_blocked = False
        if self._exchange is not None:
            self._exchange.resume_body()

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        self._read(data)

    # --- turns

    def _go_on_later(self, rest: bytes) -> None:
        """Take the rest up in the next turn, when everybody else has had theirs."""
        self._buffer = rest
        self._intake.pause(_TURN)
        self._outbox.next_turn(self._go_on)

    def _go_on(self) -> None:
        data, self._buffer = self._buffer, b""
        if self._exchange is not None:
            self._intake.resume(_TURN)
            self._read(data)

    # --- reading a response

    def _read(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:  # a byte nobody asked for: what else would it answer wrongly?
            self._leave_pool()
            self.close()
            return
        head = self._head
        if head is None:
            self._read_head(exchange, data)
        elif head.framing == LENGTH:
            self._read_length(exchange, data)
        elif head.framing == CHUNKED:
            self._read_chunks(exchange, data)
        else:
            exchange.response_body([data])
            exchange.flush()

    def _read_head(self, exchange: ExchangeSide, data: bytes) -> None:
        known = self._known
        # A busy replica repeats itself, down to the second of its Date: what was read from the
        # same bytes need not be read again.
        if known is not None and data.startswith(self._known_wire):
            self._searched = 0
            self._respond(known, data[len(self._known_wire) :])
            return
        at, searched, self._searched = 0, self._searched, 0
        for _ in range(_INTERIM_PER_TURN):
            end = data.find(b"\r\n\r\n", max(at, searched - 3)) + 4
            if end < 4 or end - at > self._settings.max_head_bytes:
                self._await_head(data[at:], searched)
                return
            head = self._parse(data[at:end])
            if head is None:
                self._broken()
            elif head.status >= 200:
                self._remember(head, data[at:end])
                self._respond(head, data[end:])
            elif head.status == 101:
                exchange.switching(head, data[end:])
            else:
                exchange.interim(head)
                at, searched = end, 0
                if self._exchange is exchange and at < len(data):
                    continue
            return
        self._go_on_later(data[at:])

    def _await_head(self, data: bytes, searched: int) -> None:
        """Keep an unfinished head, unless it cannot become one."""
        is_head = data.startswith(b"HTTP/1.") or b"HTTP/1.".startswith(data[:7])
        is_sane = data.find(b"\n\n", max(0, searched - 1)) < 0
        if is_head and is_sane and len(data) <= self._settings.max_head_bytes:
            self._buffer = data
            self._searched = len(data)
        else:
            self._broken()

    def _remember(self, head: ResponseHead, wire: bytes) -> None:
        is_kept = not self._is_head and len(wire) <= _LONGEST_REPEATED
        self._known, self._known_wire = (head, wire) if is_kept else (None, b"")

    def _respond(self, head: ResponseHead, rest: bytes) -> None:
        exchange = self._exchange
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
        reading = ResponseReading(status_line)
        # A new parser each time: llhttp cannot be told that a HEAD was asked (it would eat the
        # next response as a body), nor that the body bypasses it. Making one costs 0.25 us.
        try:
            HttpResponseParser(reading).feed_data(data)
        except HttpParserUpgrade:
            pass  # raised behind a complete head; `switching` decides about 101
        except HttpParserError:
            return None
        return reading.read(is_head=self._is_head)

    def _read_length(self, exchange: ExchangeSide, data: bytes) -> None:
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

    def _read_chunks(self, exchange: ExchangeSide, data: bytes) -> None:
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
        at = decoder.at
        if decoder.done:
            is_reusable = head.keeps_alive and at == len(data)
            exchange.response_ended(decoder.trailers, is_reusable=is_reusable)
            return
        exchange.flush()
        if at < len(data):
            self._go_on_later(data[at:])

    def _broken(self) -> None:
        """The answer cannot be read: nothing more of this connection is believed."""
        exchange, self._exchange = self._exchange, None
        self.transport.abort()
        if exchange is not None:
            exchange.upstream_broken()
