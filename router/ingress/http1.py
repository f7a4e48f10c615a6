"""One HTTP/1.1 connection from a client.

Invariants: one exchange at a time, so replies leave in request order; bytes behind the current
request are held and reading stops; nothing is written after the connection was cut.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from httptools import HttpRequestParser

from router import errors
from router.chunked import ChunkedDecoder, FramingError
from router.errors import Outcome, bad_request
from router.exchange import UNKNOWN_APP, Exchange
from router.ingress.heads import HeadReader
from router.ingress.refusals import judge_partial, without_empty_lines
from router.request_head import RequestHead, prefers_json, user_agent
from router.tunnel import Tunnel

if TYPE_CHECKING:
    from router.edge import Edge

# Why the client's socket is not read: bits, because several reasons can hold at once.
_PIPELINED = 1
_BODY = 2

_FOREVER = float("inf")


class ClientConnection(HeadReader):
    """Reads requests, hands each to an Exchange, writes its answer."""

    __slots__ = (
        # per connection
        "_is_reading_heads",
        "_requests_left",
        # per request
        "_exchange",
        "_body_left",
        "_decoder",
        "_discarded",
    )

    def __init__(self, edge: Edge) -> None:
        super().__init__(edge)
        self._is_reading_heads = False
        self._requests_left = edge.settings.max_requests_per_connection
        self._exchange: Exchange | None = None
        self._body_left = 0
        self._decoder: ChunkedDecoder | None = None
        self._discarded = 0

    def __repr__(self) -> str:
        return f"<ClientConnection {self._exchange or 'idle'} held={len(self._buffer)}>"

    # --- what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._ingress = self.edge.ingress_for(transport)
        refusal = self.edge.admit(self, self.peer)
        if refusal is not None:
            self._refuse(refusal)
            # It is in no list that the sweeper reads.
            self.edge.loop.call_later(self.edge.settings.linger_s, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closing = True
        if self in self.edge.clients:
            self.edge.clients.discard(self)
            self.edge.left(self.peer)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_lost()

    def eof_received(self) -> bool:
        """A client that closes its direction may still read, or be gone: the wire looks the same.

        So what it is owed gets a moment longer, and is given up after it (`half_close_s`).
        """
        self._has_ended = True
        self.edge.flush()  # the transport closes when this returns False
        if self._exchange is None:
            return False
        if self._is_reading_body:
            exchange, self._exchange = self._exchange, None
            self._is_closing = True
            exchange.client_lost()  # the request will never be complete
            return False
        self.arm(self.edge.settings.half_close_s)
        return True

    def data_received(self, data: bytes) -> None:
        if self._is_closing:
            return
        if self._body_left or self._decoder is not None:
            data = self._read_body(data)
            if not data:
                return
        if self._exchange is not None:
            self._hold(data)
            return
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        self._read_heads(data)

    def pause_writing(self) -> None:
        self._is_blocked = True
        if self._exchange is not None and self._exchange.upstream is not None:
            self._exchange.upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_blocked = False
        if self._exchange is not None:
            if self._exchange.upstream is not None:
                self._exchange.upstream.transport.resume_reading()
        elif self._buffer and not self._is_closing:
            self._next()

    # --- heads

    def _read_heads(self, data: bytes) -> None:
        self._is_reading_heads = True
        while data and not self._is_closing:
            if data[0] == 13:  # RFC 9112 §2.2: empty lines before a request line are skipped
                data = without_empty_lines(data)
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._await_head(data)
                break
            end += 4
            head, data = (data, b"") if end == len(data) else (data[:end], data[end:])
            self._request(head)
            if data and not self._is_closing and self._is_reading_body:
                data = self._read_body(data)
            if data and (self._exchange is not None or self._is_blocked):
                self._hold(data)
                break
        self._is_reading_heads = False

    def _await_head(self, data: bytes) -> None:
        """Keep an unfinished head, unless it can already be refused."""
        refusal = judge_partial(data, self.edge.settings)
        if refusal is not None:
            self._refuse(refusal)
            return
        if not self._buffer:
            self.arm(self.edge.settings.head_timeout_s)
        self._buffer = data

    def _request(self, wire: bytes) -> None:
        self._discarded = 0
        head = self._read(wire)
        if isinstance(head, Outcome):
            self._refuse(head)
            return
        if head.has_body or head.upgrade:
            # llhttp now waits for a body that it will not be shown (lengths bypass it, chunks
            # have their own decoder). A new parser costs 0.25 us.
            self._parser = HttpRequestParser(self)
            self._body_left = head.length
            self._decoder = ChunkedDecoder() if head.is_chunked else None
        self._requests_left -= 1
        if self._requests_left <= 0:
            head.keeps_alive = False
        exchange = self._exchange = Exchange(self.edge, self, head)
        exchange.start()

    def _hold(self, data: bytes) -> None:
        """Pipelined bytes wait their turn, and no more are read."""
        self._buffer += data
        self._pause(_PIPELINED)

    def _next(self) -> None:
        data, self._buffer = self._buffer, b""
        self._resume(_PIPELINED)
        if data:
            self._read_heads(data)
        if self._has_ended and self._exchange is None and not self._is_closing:
            self._close()

    # --- bodies

    @property
    def _is_reading_body(self) -> bool:
        return self._body_left > 0 or self._decoder is not None

    def _read_body(self, data: bytes) -> bytes:
        """Pass on what belongs to the body; returns what lies behind it."""
        exchange = self._exchange
        if self._decoder is not None:
            return self._read_chunks(self._decoder, data)
        left = self._body_left
        rest = b""
        if len(data) > left:
            data, rest = data[:left], data[left:]
        self._body_left = left - len(data)
        if exchange is None:
            self._discard(len(data))
            return rest
        exchange.request_body([data])
        if self._body_left == 0 and not exchange.is_over:
            exchange.request_finished([])
        return rest

    def _read_chunks(self, decoder: ChunkedDecoder, data: bytes) -> bytes:
        exchange = self._exchange
        try:
            pieces = decoder.feed(data)
        except FramingError as error:
            self._decoder = None
            self._is_closing = True
            if exchange is not None:
                exchange.body_refused(bad_request(f"The body is malformed: {error}."))
            else:
                self._close()
            return b""
        if decoder.done:
            self._decoder = None
        if exchange is None:
            self._discard(len(data))
            return decoder.rest
        if pieces:
            exchange.request_body(pieces)
        if decoder.done and not exchange.is_over:
            exchange.request_finished(decoder.trailers)
        return decoder.rest

    def _discard(self, size: int) -> None:
        """Read on after an early answer so that the client can read it (RFC 9112 §9.6)."""
        self._discarded += size
        if self._discarded > self.edge.settings.discard_bytes:
            self._close()
        elif not self._is_reading_body:
            self.arm(self.edge.settings.keepalive_timeout_s)

    # --- what an exchange asks

    @property
    def peer(self) -> str:
        """The client's address."""
        return self._ingress.peer.decode()

    @property
    def user_agent(self) -> str:
        """The request's User-Agent, or nothing."""
        return user_agent(self._fields)

    def answer(self, outcome: Outcome, exchange: Exchange) -> None:
        """Send an answer of the edge."""
        head = exchange.head
        keeps_alive = exchange.keeps_alive and not self._is_closing
        self._answer(outcome, head, keeps_alive=keeps_alive)
        self.finished(keeps_alive=keeps_alive)

    def finished(self, *, keeps_alive: bool) -> None:
        """The answer is complete: on to the next request, or the end."""
        self._exchange = None
        if self._pauses & _BODY:
            self._resume(_BODY)
        if not keeps_alive or (self._has_ended and not self._buffer):
            self._close()
            return
        settings = self.edge.settings
        if self._is_reading_body:  # an early answer: the rest of the body is still coming
            self.arm(settings.discard_timeout_s)
            return
        self.arm(settings.keepalive_timeout_s)
        if self._buffer and not self._is_reading_heads and not self._is_blocked:
            self._next()

    def cut(self, *, is_framed: bool) -> None:
        """The answer cannot be completed."""
        self._exchange = None
        super().cut(is_framed=is_framed)

    def hold_body(self) -> None:
        """Stop reading the request's body."""
        self._pause(_BODY)

    def resume_body(self) -> None:
        """Read on."""
        if self._pauses & _BODY:
            self._resume(_BODY)

    def tunnel(self, exchange: Exchange, head: bytes, rest: bytes) -> None:
        """From here on the connection carries opaque bytes."""
        upstream = exchange.upstream
        assert upstream is not None
        self._exchange = None
        self.edge.clients.discard(self)
        protocol = exchange.response.upgrade if exchange.response is not None else b""
        tunnel = Tunnel(self.edge, exchange, self.transport, upstream.transport, protocol)
        self.edge.write(self.transport, head + rest)
        if self._buffer:
            self.edge.write(upstream.transport, self._buffer)
        self.edge.flush()  # what tunnels carry is written directly, and must come behind
        upstream.detach()
        tunnel.begin(rest)

    # --- deadlines and ends

    def on_deadline(self) -> None:
        """Called by the sweeper when nothing came in time."""
        self.deadline = _FOREVER
        exchange = self._exchange
        if exchange is not None and self._has_ended:
            self._exchange = None
            exchange.client_lost()
            self.transport.abort()
        elif exchange is not None:
            exchange.timed_out()
        elif self._buffer and not self._is_blocked:
            self._refuse(errors.REQUEST_TIMEOUT)
        elif self._is_closing:
            self.transport.abort()  # it had its time to read the end
        else:
            self._close()

    def drain(self) -> None:
        """The worker is leaving: an idle connection closes, a busy one after its answer."""
        if self._exchange is None and not self._buffer:
            self._close()

    def _answer(self, outcome: Outcome, head: RequestHead | None, *, keeps_alive: bool) -> None:
        reply = outcome.reply(
            head.request_id if head is not None else self.edge.new_id(),
            date=self.edge.date_line,
            as_json=prefers_json(self._fields),
            is_head=head is not None and head.method == b"HEAD",
            closes=not keeps_alive,
        )
        self.write([reply])

    def _refuse(self, outcome: Outcome) -> None:
        """Refuse what is no request; where the next one begins is not known, so close."""
        stats = self.edge.stats
        stats.of(UNKNOWN_APP, "").codes[outcome.status] += 1
        stats.errors[UNKNOWN_APP, outcome.code] += 1
        if self.edge.access_log is not None:
            self.edge.access_log.add_unreadable(self.peer, outcome)
        self._answer(outcome, None, keeps_alive=False)
        self._close()
