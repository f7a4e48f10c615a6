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
from router.http.request_head import RequestHead
from router.http.seams import Agreed, ClientSide, UpstreamSide
from router.http.sized import SizedDecoder
from router.ingress.answers import answer_to, count_unread, refusal_of
from router.ingress.backlog import Backlog
from router.ingress.heads import HeadReader, ingress_of
from router.ingress.phases import BUSY, CLOSING, DISCARDING, GONE, HEAD, IDLE, NAMES, moved
from router.ingress.transport import ClientTransport

# Why the client's socket is not read: bits, because several reasons can hold at once.
_PIPELINED: Final = 1
_BODY: Final = 2
_TURN: Final = 4  # this turn's work is done, and more has been received

# Requests begun in one turn: at 10 to 30 us each, others wait half a millisecond for a pipeline.
_REQUESTS_PER_TURN: Final = 16
# Bytes held behind a request without pausing: a paused socket does not tell that its client left.
_MOST_HELD: Final = 16384
_FOREVER: Final = float("inf")


class ClientConnection(ClientSide):
    """Reads requests, hands each to an Exchange, writes its answer."""

    __slots__ = (
        "context",
        # per connection
        "transport",
        "_client",
        "_heads",
        "_phase",
        "_requests_left",
        "_backlog",
        "_is_consuming",
        # per request
        "_exchange",
        "_body",
        "_discarded",
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context.clock.now + context.settings.head_timeout_s)
        self.context = context
        self._phase = IDLE
        self._requests_left = context.settings.max_requests_per_connection
        self._backlog: Backlog | None = None
        self._is_consuming = False
        self._exchange: Exchange | None = None  # while BUSY
        self._body: ChunkedDecoder | SizedDecoder | None = None  # while one is being read
        self._discarded = 0

    def __repr__(self) -> str:
        return f"<ClientConnection {NAMES[self._phase]} {self._exchange or ''}>"

    def _enter(self, phase: int) -> Exchange | None:
        """Another phase begins, and the exchange is over if there was one."""
        self._phase = moved(self._phase, phase)
        exchange, self._exchange = self._exchange, None
        return exchange

    # --- what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        context = self.context
        self.transport = cast(asyncio.Transport, transport)
        self._client = ClientTransport(context, self.transport)
        self._heads = HeadReader(ingress_of(transport, context.settings), context.settings)
        sock = transport.get_extra_info("socket")  # which nothing but a real network has
        refusal = context.clients.admit(self, self.peer, sock.fileno() if sock is not None else -1)
        if refusal is not None and context.clients.turn_away(self):
            self._refuse(refusal)
        elif refusal is not None:
            count_unread(refusal, context, self.peer)
            self._enter(CLOSING)
            self._client.reset()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unblock()
        self.context.clients.left(self, self.peer)
        self._lose_client(GONE)

    def eof_received(self) -> bool:
        """A client that closes its direction may still read, or be gone: the wire looks the same.

        So what it is owed gets a moment longer, and is given up after it (`half_close_s`).
        """
        self._client.has_ended = True
        is_idle = self._exchange is None and self._backlog is None
        if is_idle or (self._exchange is not None and self._body is not None):
            self._begin_end()
            if self._phase < CLOSING:
                self._lose_client(CLOSING)  # what has begun will never be complete
            return False  # the transport closes once it has sent what is owed
        self.arm(self.context.settings.half_close_s)
        return True

    def _lose_client(self, phase: int) -> None:
        exchange = self._enter(phase)
        if exchange is not None:
            exchange.client_lost()

    def data_received(self, data: bytes) -> None:
        if self._phase >= CLOSING:
            return
        if self._backlog is not None:
            self._hold(self._backlog.rest() + data, 0)
        else:
            self._consume(data, 0)

    def pause_writing(self) -> None:
        if self._phase >= CLOSING:
            return
        self.is_blocked = True
        self.context.stats.stalled += 1
        self._client.watch()
        self._expect(self.context.settings.write_timeout_s)
        if self._exchange is not None:
            self._exchange.hold_response()

    def resume_writing(self) -> None:
        self._unblock()
        if self._phase >= CLOSING:
            return
        if self._exchange is not None:
            self._exchange.resume_response()
            return
        self.arm(self.context.settings.keepalive_timeout_s)
        if self._backlog is not None:
            self._go_on()

    def _unblock(self) -> None:
        if self.is_blocked:
            self.is_blocked = False
            self.context.stats.stalled -= 1

    # --- bytes

    def _consume(self, data: bytes, at: int) -> None:
        """Act on received bytes from `at` on, as far as order and this turn's budget allow."""
        self._is_consuming = True
        size = len(data)
        requests_left = _REQUESTS_PER_TURN
        while at < size and self._phase < CLOSING:
            body = self._body
            if body is not None:
                at = self._read_body(body, data, at)
                if self._body is not None and at < size and self._phase < CLOSING:
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
        backlog = self._backlog = Backlog(data, at)
        if backlog.size > _MOST_HELD:
            self._client.pause(_PIPELINED)

    def _go_on_later(self) -> None:
        """Take the rest up in the next turn, when everybody else has had theirs."""
        self._client.pause(_TURN)
        self.context.outbox.next_turn(self._go_on)

    def _go_on(self) -> None:
        backlog, self._backlog = self._backlog, None
        if backlog is None or self._phase >= CLOSING:
            return
        self._client.resume(_PIPELINED | _TURN)
        self._consume(backlog.data, backlog.at)
        if self._client.has_ended and self._exchange is None and self._backlog is None:
            self._close()

    # --- heads

    def _read_head(self, data: bytes, at: int) -> int:
        """Begin the next request if its head is there; returns the offset behind it."""
        heads = self._heads
        end = heads.take(data, at)
        wire = heads.whole
        if wire:
            heads.whole = b""
            self._request(wire)
        elif heads.is_partial:
            settings = self.context.settings
            if self._phase == IDLE:
                self._enter(HEAD)
                if self._requests_left < settings.max_requests_per_connection:
                    self.arm(settings.head_timeout_s)  # the first one's began at the accept
            refusal = heads.judge()
            if refusal is not None:
                self._refuse(refusal)
        return end

    def _request(self, wire: bytes) -> None:
        self._discarded = 0
        context = self.context
        head = self._heads.read(wire, context.ids.new())
        if isinstance(head, Outcome):
            self._refuse(head, wire)
            return
        self._phase = moved(self._phase, BUSY)
        if head.has_body:
            self._body = ChunkedDecoder() if head.is_chunked else SizedDecoder(head.length)
        self._requests_left -= 1
        if self._requests_left <= 0:
            head.keeps_alive = False
        exchange = self._exchange = Exchange(context, self, head)
        exchange.start()

    # --- bodies

    def _read_body(self, body: ChunkedDecoder | SizedDecoder, data: bytes, at: int) -> int:
        """Pass on what belongs to the body; returns the offset behind what was read."""
        exchange = self._exchange
        try:
            pieces = body.feed(data, at)
        except FramingError as error:
            self._body = None
            if exchange is None:
                self._close()
            else:
                exchange.body_refused(bad_request(f"The body is malformed: {error}."))
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
        if self._discarded > self.context.settings.discard_bytes:
            self._close()
        elif self._body is None:
            self._enter(IDLE)
            self.arm(self.context.settings.keepalive_timeout_s)

    # --- what an exchange asks

    @property
    def peer(self) -> str:
        return self._heads.ingress.peer.decode()

    def write(self, pieces: list[bytes]) -> None:
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.context.outbox.write(self.transport, data)

    def answer(self, outcome: Outcome, head: RequestHead, *, keeps_alive: bool) -> None:
        self.write([answer_to(head, outcome, self.context, keeps_alive=keeps_alive)])
        self.finished(keeps_alive=keeps_alive)

    def finished(self, *, keeps_alive: bool) -> None:
        """The answer is complete: on to the next request, or the end."""
        self._exchange = None
        if self._client.pauses & _BODY:
            self._client.resume(_BODY)
        is_last = self._client.has_ended or self.context.is_leaving
        if not keeps_alive or (is_last and self._backlog is None):
            self._close()
        elif self._body is not None:  # an early answer: the rest of the body is still coming
            self._phase = moved(self._phase, DISCARDING)
            self.arm(self.context.settings.discard_timeout_s)
        else:
            self._phase = moved(self._phase, IDLE)
            self.arm(self.context.settings.keepalive_timeout_s)
            if self._backlog is not None and not self._is_consuming and not self.is_blocked:
                self._go_on()

    def cut(self, *, is_framed: bool) -> None:
        self._enter(CLOSING)
        self._begin_end()
        self._client.cut(is_framed=is_framed)

    def arm(self, seconds: float) -> None:
        if self.is_blocked:  # it is the client that is waited for, and that is armed already
            return
        if self._client.has_ended:
            seconds = min(seconds, self.context.settings.half_close_s)
        self.deadline = self.context.clock.now + seconds

    def _expect(self, seconds: float) -> None:
        self.deadline = self.context.clock.now + seconds

    def hold_body(self) -> None:
        self._client.pause(_BODY)

    def resume_body(self) -> None:
        self._client.resume(_BODY)

    def tunnel(self, agreed: Agreed, upstream: UpstreamSide, wire: bytes, rest: bytes) -> None:
        """From here on the connection carries opaque bytes."""
        self._enter(GONE)
        context = self.context
        context.clients.became_tunnel(self)
        self.write([wire])
        if self._backlog is not None:
            upstream.write(self._backlog.rest())
        context.outbox.flush()  # what tunnels carry is written directly, and must come behind
        client_is_blocked, replica_is_blocked = self.is_blocked, upstream.is_blocked
        self._unblock()
        tunnel = context.tunnels.new(
            agreed, self.transport, upstream.detach(), partial(context.clients.forget, self.peer)
        )
        if context.is_draining:  # agreed upon while the worker leaves
            tunnel.leave(context.clock.now)
        tunnel.begin(
            rest,
            client_is_blocked=client_is_blocked,
            client_has_ended=self._client.has_ended,
            replica_is_blocked=replica_is_blocked,
        )

    # --- deadlines and ends

    def on_deadline(self) -> None:
        """Called by the sweeper when nothing came in time."""
        self.deadline = _FOREVER
        if self._phase == CLOSING:
            self._client.look_at_end()
            self._expect(self.context.settings.linger_s)
        elif self.is_blocked:
            self._look_at_stall()
        elif self._exchange is not None and self._client.has_ended:
            self._lose_client(CLOSING)
            self.transport.abort()
        elif self._exchange is not None:
            self._exchange.timed_out()
        elif self._phase == HEAD:
            self._refuse(outcomes.REQUEST_TIMEOUT)
        else:
            self._close()

    def _look_at_stall(self) -> None:
        if self._client.has_moved():  # it is slow, but it reads
            self._expect(self.context.settings.write_timeout_s)
            return
        exchange = self._enter(CLOSING)
        if exchange is not None:
            exchange.client_stalled()
        self._client.reset()

    def drain(self) -> None:
        """The worker is leaving: an idle connection closes, a busy one after its answer."""
        if self._phase == HEAD:
            lingers_until = self.context.clock.now + self.context.settings.linger_s
            self.deadline = min(self.deadline, lingers_until)
        elif self._phase in (IDLE, DISCARDING) and self._backlog is None:
            self._close()

    def _close(self) -> None:
        if self._phase < CLOSING:
            self._enter(CLOSING)
        if not self.transport.is_closing():
            self._begin_end()
            self._client.close()

    def _begin_end(self) -> None:
        self._client.begin_end()
        self._expect(self.context.settings.linger_s)

    def _refuse(self, outcome: Outcome, wire: bytes = b"") -> None:
        """Refuse what is no request; where the next one begins is not known, so close."""
        count_unread(outcome, self.context, self.peer)
        self.write([refusal_of(wire, outcome, self.context)])
        self._close()
