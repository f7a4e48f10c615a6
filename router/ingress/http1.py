"""One HTTP/1.1 connection from a client.

Invariants: one exchange at a time, so replies leave in request order; no exchange begins while
the client is blocked; bytes behind the current request are held, few of them; what one turn of
the loop does for a connection is bounded; nothing is written after the connection was cut.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final, cast

from router.contract import outcomes
from router.contract.outcomes import Outcome, bad_request
from router.forwarding.context import Context
from router.forwarding.exchange import Exchange
from router.http.chunked import ChunkedDecoder, FramingError
from router.http.request_head import RequestHead, prefers_json
from router.http.seams import Agreed, UpstreamSide
from router.http.sized import SizedDecoder
from router.ingress.heads import HeadReader, ingress_of
from router.ingress.partial import PartialHead, behind_empty_lines
from router.ingress.transport import ClientTransport
from router.loop.intake import Intake
from router.loop.unsent import reset
from router.routing.stats import UNKNOWN_APP

# Why the client's socket is not read: bits, because several reasons can hold at once.
_PIPELINED: Final = 1
_BODY: Final = 2
_TURN: Final = 4  # this turn's work is done, and more has been received

_FOREVER: Final = float("inf")
_CR: Final = 13
# Requests begun in one turn: at 10 to 30 us each, others wait half a millisecond for a pipeline.
_REQUESTS_PER_TURN: Final = 16
# Bytes held behind a request without pausing: a paused socket does not tell that its client left.
_MOST_HELD: Final = 16384


class ClientConnection(ClientTransport):
    """Reads requests, hands each to an Exchange, writes its answer."""

    __slots__ = (
        # per connection
        "_heads",
        "_requests_left",
        # received, and not yet acted upon
        "_buffer",
        "_at",
        "_partial",
        "_is_consuming",
        # per request
        "_exchange",
        "_body",
        "_discarded",
    )

    _heads: HeadReader  # from `connection_made` on

    def __init__(self, edge: Context) -> None:
        super().__init__(edge)
        self._requests_left = edge.settings.max_requests_per_connection
        self._buffer = b""  # held bytes; `_at` is the first that counts
        self._at = 0
        self._partial: PartialHead | None = None
        self._is_consuming = False
        self._exchange: Exchange | None = None
        self._body: ChunkedDecoder | SizedDecoder | None = None  # while one is being read
        self._discarded = 0

    def __repr__(self) -> str:
        held = len(self._buffer) - self._at
        return f"<ClientConnection {self._exchange or 'idle'} held={held}>"

    # --- what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._intake = Intake(self.transport)
        edge = self.edge
        self._heads = HeadReader(ingress_of(transport, edge.settings), edge.settings)
        sock = transport.get_extra_info("socket")  # which nothing but a real network has
        refusal = edge.clients.admit(self, self.peer, sock.fileno() if sock is not None else -1)
        if refusal is not None and edge.clients.turn_away(self):
            self._refuse(refusal)
        elif refusal is not None:
            self._count(refusal)
            self._is_closing = True
            reset(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closing = True
        self._unblock()
        self.edge.clients.left(self, self.peer)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_lost()

    def eof_received(self) -> bool:
        """A client that closes its direction may still read, or be gone: the wire looks the same.

        So what it is owed gets a moment longer, and is given up after it (`half_close_s`).
        """
        self._has_ended = True
        exchange = self._exchange
        if exchange is not None and self._body is not None:
            self._exchange = None
            self._begin_end()
            exchange.client_lost()  # the request will never be complete
            return False
        if exchange is None and not self._buffer:
            self._begin_end()
            return False  # the transport closes once it has sent what is owed
        self.arm(self.edge.settings.half_close_s)
        return True

    def data_received(self, data: bytes) -> None:
        if self._is_closing:
            return
        if self._buffer:
            self._hold(self._buffer[self._at :] + data, 0)
        else:
            self._consume(data, 0)

    def pause_writing(self) -> None:
        if self._is_closing:
            return
        self._block()
        if self._exchange is not None:
            self._exchange.hold_response()

    def resume_writing(self) -> None:
        self._unblock()
        if self._is_closing:
            return
        if self._exchange is not None:
            self._exchange.resume_response()
            return
        self.arm(self.edge.settings.keepalive_timeout_s)
        if self._buffer:
            self._go_on()

    # --- bytes

    def _consume(self, data: bytes, at: int) -> None:
        """Act on received bytes from `at` on, as far as order and this turn's budget allow."""
        self._is_consuming = True
        size = len(data)
        requests_left = _REQUESTS_PER_TURN
        while at < size and not self._is_closing:
            body = self._body
            if body is not None:
                at = self._read_body(body, data, at)
                if self._body is not None and at < size and not self._is_closing:
                    self._hold(data, at)  # the decoder has done enough for now
                    self._go_on_later()
                    break
            elif self._exchange is not None or self.is_blocked:
                self._hold(data, at)
                break
            elif not requests_left:
                self._hold(data, at)
                self._go_on_later()
                break
            else:
                requests_left -= 1
                at = self._read_head(data, at)
        self._is_consuming = False

    def _hold(self, data: bytes, at: int) -> None:
        """Keep bytes whose turn has not come."""
        if at > len(data) // 2:  # let go of what was read; copying less than half stays linear
            data, at = data[at:], 0
        self._buffer, self._at = data, at
        if len(data) - at > _MOST_HELD:
            self._intake.pause(_PIPELINED)

    def _go_on_later(self) -> None:
        """Take the rest up in the next turn, when everybody else has had theirs."""
        self._intake.pause(_TURN)
        self.edge.outbox.next_turn(self._go_on)

    def _go_on(self) -> None:
        if self._is_closing:
            return
        data, at = self._buffer, self._at
        self._buffer, self._at = b"", 0
        self._intake.resume(_PIPELINED | _TURN)
        self._consume(data, at)
        if self._has_ended and self._exchange is None and not self._buffer:
            self._close()

    # --- heads

    def _read_head(self, data: bytes, at: int) -> int:
        """Begin the next request if its head is there; returns the offset behind it."""
        partial = self._partial
        if partial is None:
            if data[at] == _CR:
                at = behind_empty_lines(data, at)
            end = data.find(b"\r\n\r\n", at) + 4
            if end >= 4:
                whole = data if not at and end == len(data) else data[at:end]
                self._request(whole)
                return end
            if at == len(data):
                return at
            partial = self._partial = PartialHead()
            if self._requests_left < self.edge.settings.max_requests_per_connection:
                self.arm(self.edge.settings.head_timeout_s)  # the first one's began at the accept
        end = partial.take(data, at)
        if partial.whole:
            self._partial = None
            self._request(partial.whole)
        else:
            refusal = partial.judge(self.edge.settings)
            if refusal is not None:
                self._refuse(refusal)
        return end

    def _request(self, wire: bytes) -> None:
        self._discarded = 0
        edge = self.edge
        head = self._heads.read(wire, edge.ids.new())
        if isinstance(head, Outcome):
            self._refuse(head, wire)
            return
        if head.has_body:
            self._body = ChunkedDecoder() if head.is_chunked else SizedDecoder(head.length)
        self._requests_left -= 1
        if self._requests_left <= 0:
            head.keeps_alive = False
        exchange = self._exchange = Exchange(edge, self, head)
        exchange.start()

    # --- bodies

    def _read_body(self, body: ChunkedDecoder | SizedDecoder, data: bytes, at: int) -> int:
        """Pass on what belongs to the body; returns the offset behind what was read."""
        exchange = self._exchange
        try:
            pieces = body.feed(data, at)
        except FramingError as error:
            self._body = None
            self._is_closing = True
            if exchange is not None:
                exchange.body_refused(bad_request(f"The body is malformed: {error}."))
            else:
                self._close()
            return len(data)
        if body.done:
            self._body = None
        if exchange is None:
            self._discard(body.at - at)
            return body.at
        if pieces:
            exchange.request_body(pieces)
        if body.done and not exchange.is_over:
            exchange.request_finished(body.trailers)
        return body.at

    def _discard(self, size: int) -> None:
        """Read on after an early answer so that the client can read it (RFC 9112 §9.6)."""
        self._discarded += size
        if self._discarded > self.edge.settings.discard_bytes:
            self._close()
        elif self._body is None:
            self.arm(self.edge.settings.keepalive_timeout_s)

    # --- what an exchange asks

    @property
    def peer(self) -> str:
        """The client's address."""
        return self._heads.ingress.peer.decode()

    def answer(self, outcome: Outcome, head: RequestHead, *, keeps_alive: bool) -> None:
        """Send an answer of the edge."""
        keeps_alive = keeps_alive and not self._is_closing
        self._answer(outcome, head, head.block, keeps_alive=keeps_alive)
        self.finished(keeps_alive=keeps_alive)

    def finished(self, *, keeps_alive: bool) -> None:
        """The answer is complete: on to the next request, or the end."""
        self._exchange = None
        if self._intake.pauses & _BODY:
            self._intake.resume(_BODY)
        is_last = self._has_ended or self.edge.is_leaving
        if not keeps_alive or (is_last and not self._buffer):
            self._close()
            return
        settings = self.edge.settings
        if self._body is not None:  # an early answer: the rest of the body is still coming
            self.arm(settings.discard_timeout_s)
            return
        self.arm(settings.keepalive_timeout_s)
        if self._buffer and not self._is_consuming and not self.is_blocked:
            self._go_on()

    def cut(self, *, is_framed: bool) -> None:
        """The answer cannot be completed."""
        self._exchange = None
        super().cut(is_framed=is_framed)

    def hold_body(self) -> None:
        """Stop reading the request's body."""
        self._intake.pause(_BODY)

    def resume_body(self) -> None:
        """Read on."""
        if self._intake.pauses & _BODY:
            self._intake.resume(_BODY)

    def tunnel(self, agreed: Agreed, upstream: UpstreamSide, wire: bytes, rest: bytes) -> None:
        """From here on the connection carries opaque bytes."""
        self._exchange = None
        edge = self.edge
        edge.clients.became_tunnel(self)
        edge.outbox.write(self.transport, wire)
        if self._buffer:
            upstream.write(self._buffer[self._at :])
        edge.outbox.flush()  # what tunnels carry is written directly, and must come behind
        client_is_blocked, replica_is_blocked = self.is_blocked, upstream.is_blocked
        self._unblock()
        gone = partial(edge.clients.forget, self.peer)
        tunnel = edge.tunnels.new(agreed, self.transport, upstream.detach(), gone)
        if edge.is_draining:  # agreed upon while the worker leaves
            tunnel.leave(edge.clock.now)
        tunnel.begin(
            rest,
            client_is_blocked=client_is_blocked,
            client_has_ended=self._has_ended,
            replica_is_blocked=replica_is_blocked,
        )

    # --- deadlines and ends

    def on_deadline(self) -> None:
        """Called by the sweeper when nothing came in time."""
        self.deadline = _FOREVER
        exchange = self._exchange
        if self._is_closing:
            self._look_at_end()
        elif self.is_blocked:
            self._look_at_stall()
        elif exchange is not None and self._has_ended:
            self._exchange = None
            exchange.client_lost()
            self.transport.abort()
        elif exchange is not None:
            exchange.timed_out()
        elif self._partial is not None:
            self._refuse(outcomes.REQUEST_TIMEOUT)
        else:
            self._close()

    def _look_at_stall(self) -> None:
        """The client is owed bytes and has been blocked for `write_timeout_s`: is it reading?"""
        if self._has_moved():
            self.deadline = self.edge.clock.now + self.edge.settings.write_timeout_s
            return
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_stalled()
        self._is_closing = True
        reset(self.transport)

    def drain(self) -> None:
        """The worker is leaving: an idle connection closes, a busy one after its answer."""
        if self._partial is not None:
            self.deadline = min(self.deadline, self.edge.clock.now + self.edge.settings.linger_s)
        elif self._exchange is None and not self._buffer and not self._is_closing:
            self._close()

    def _answer(
        self, outcome: Outcome, head: RequestHead | None, block: bytes, *, keeps_alive: bool
    ) -> None:
        reply = outcome.reply(
            head.request_id if head is not None else self.edge.ids.new(),
            date=self.edge.clock.date_line,
            as_json=prefers_json(block),
            is_head=head is not None and head.method == b"HEAD",
            closes=not keeps_alive,
        )
        self.write([reply])

    def _refuse(self, outcome: Outcome, wire: bytes = b"") -> None:
        """Refuse what is no request; where the next one begins is not known, so close."""
        self._count(outcome)
        self._answer(outcome, None, wire, keeps_alive=False)
        self._close()

    def _count(self, outcome: Outcome) -> None:
        stats = self.edge.stats
        stats.of(UNKNOWN_APP, "").codes[outcome.status] += 1
        stats.errors[UNKNOWN_APP, outcome.code] += 1
        if self.edge.access_log is not None:
            self.edge.access_log.add_unreadable(self.peer, outcome)
