"""One request and its response: framing towards the client, endings, accounting.

Exactly one answer or one abort leaves an exchange. It imports no I/O: both sides are called
through narrow methods, and tests drive it with recorded sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from router.contract import outcomes
from router.contract.outcomes import CLIENT_CLOSED, Outcome
from router.forwarding import states
from router.forwarding.agreement import Agreement
from router.forwarding.attempts import Asker, Attempts
from router.forwarding.choice import Choice
from router.forwarding.context import Context
from router.forwarding.states import moved
from router.http.chunked import chunk, last_chunk
from router.http.request_head import RequestHead
from router.http.response_head import CHUNKED, ResponseHead, compose
from router.http.seams import ClientSide, UpstreamSide
from router.routing.replicas import Replica
from router.routing.stats import UNKNOWN_APP
from router.tracing.ended import Ended
from router.tracing.traceparent import trace_of


class Exchange(Asker):
    """One request and its response. Its states, and when which may follow, are in `states.py`."""

    __slots__ = (
        "answer",
        "_context",
        "_client",
        "_head",
        "_choice",
        "_attempts",
        "_body",
        # the response
        "_response",
        "_out",
        "_rechunks",
        "_keeps_alive",
        # accounting
        "_error",
        "_span",
        "_started",
        "_bytes_in",
        "_bytes_out",
    )

    def __init__(self, context: Context, client: ClientSide, head: RequestHead) -> None:
        self.answer = states.AWAITED
        self._context = context
        self._client = client
        self._head = head
        self._choice = Choice(context, client, head)
        self._attempts = Attempts(context, client, head, self._choice)
        if not head.has_body:
            self._body = states.COMPLETE
        else:
            self._body = states.WITHHELD if head.expects_continue else states.ARRIVING
        self._response: ResponseHead | None = None  # from states.ANSWERING on
        self._out: list[bytes] = []  # of the answer, until `flush`
        self._rechunks = False
        self._keeps_alive = head.keeps_alive
        self._error = ""  # the code of an answer made here, or of what cut one short
        self._span = context.tracer.begin(head) if context.tracer is not None else None
        self._started = perf_counter()
        self._bytes_in = 0
        self._bytes_out = 0

    def __repr__(self) -> str:
        way = self._attempts
        states = " ".join(states.NAMES[state] for state in (self._body, way.state, self.answer))
        return f"<Exchange {self._head} {states} replica={way.replica}>"

    @property
    def is_over(self) -> bool:
        """Whether nothing more may be done with it."""
        return self.answer >= states.ANSWERED

    # --- the way to a replica

    def start(self) -> None:
        """Begin; the answer may be given at once."""
        self._go_on(self._attempts.start(self))

    def delayed(self) -> None:
        if self._attempts.state == states.DELAYED:
            self._go_on(self._attempts.delayed(self))

    def admitted(self, replica: Replica) -> None:
        self._go_on(self._attempts.admitted(self, replica))

    def connected(self, connection: UpstreamSide) -> None:
        if self._attempts.state != states.CONNECTING:  # it ended as the connection came
            connection.release(self._context.clock.now)
            return
        self._attempts.connected(self, connection)
        self._go_on(None)

    def connect_failed(self, outcome: Outcome) -> None:
        if self._attempts.state == states.CONNECTING:
            self._go_on(self._attempts.connect_failed(self, outcome))

    def replica_left(self) -> None:
        if self._attempts.state == states.CONNECTING:
            self._go_on(self._attempts.replica_left(self))

    def upstream_lost(self) -> None:
        if self.answer == states.AWAITED:
            self._go_on(self._attempts.lost(self))
        else:
            self._attempts.upstream = None
            self._cut(outcomes.UPSTREAM_RESET)

    def upstream_broken(self) -> None:
        self._fail(outcomes.UPSTREAM_PROTOCOL)

    def _go_on(self, refusal: Outcome | None) -> None:
        """After each step of the attempts: wait for what comes of it, or refuse."""
        if refusal is not None:
            self._refuse(refusal)
            return
        self._arm()
        upstream = self._attempts.upstream
        # It may be blocked already by what was held of the body, if that was much.
        if upstream is not None and self._body != states.COMPLETE and not upstream.is_blocked:
            self._client.resume_body()

    def _arm(self) -> None:
        """Allow what is awaited now the time that it may take."""
        settings = self._context.settings
        if self._attempts.state != states.SENT:
            seconds = self._attempts.patience_s()
        elif self.answer == states.ANSWERING:
            seconds = settings.response_idle_s
        elif self._body == states.COMPLETE:
            seconds = settings.response_timeout_s
        else:
            seconds = settings.body_idle_timeout_s
        self._client.arm(seconds)

    # --- the request's body

    def request_body(self, pieces: list[bytes]) -> None:
        """Bytes of the request's body, decoded."""
        self._bytes_in += sum(map(len, pieces))
        settings = self._context.settings
        if 0 < settings.max_body_bytes < self._bytes_in:  # chunked: not known before
            self.body_refused(outcomes.CONTENT_TOO_LARGE)
            return
        data = chunk(pieces) if self._head.is_chunked else b"".join(pieces)
        if data:
            self._attempts.send_body(data)
        if self._attempts.state == states.SENT:  # else what it waits for has its own limit
            self._client.arm(settings.body_idle_timeout_s)

    def request_finished(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """The request is complete."""
        self._body = moved(self._body, states.COMPLETE)
        if self._head.is_chunked:
            self._attempts.send_body(last_chunk(trailers))
        if self._attempts.state == states.SENT:
            self._client.arm(self._context.settings.response_timeout_s)

    def body_refused(self, outcome: Outcome) -> None:
        """The request's body cannot be read; the replica must not take it for complete."""
        self._keeps_alive = False
        self._fail(outcome)

    def hold_body(self) -> None:
        self._client.hold_body()

    def resume_body(self) -> None:
        self._client.resume_body()

    # --- the response

    def interim(self, head: ResponseHead) -> None:
        """A 1xx answer: passed on, except to HTTP/1.0, which knows none (RFC 9110 §15.2)."""
        if head.status == 100 and self._body == states.WITHHELD:
            self._body = moved(self._body, states.ARRIVING)
        if self._head.is_http11:
            self._client.write([head.start, b"\r\n"])

    def response_head(self, head: ResponseHead) -> None:
        """The final response begins; its head leaves with the first bytes of its body."""
        self.answer = moved(self.answer, states.ANSWERING)
        way, context, request = self._attempts, self._context, self._head
        way.answered(head.status)
        self._response = head
        self._rechunks = request.is_http11 and head.framing >= CHUNKED
        if self._must_close(head):
            self._keeps_alive = False
        revision, replica = self._choice.revision, way.replica
        assert revision is not None
        assert replica is not None
        exposes = context.settings.expose_revision
        self._out = compose(
            head,
            is_http11=request.is_http11,
            keeps_alive=self._keeps_alive,
            request_id=request.request_id,
            date=context.clock.date_line,
            extra=revision.exposed(replica, self._choice.reason) if exposes else b"",
        )

    def _must_close(self, response: ResponseHead) -> bool:
        """Whether the client's connection ends with this response."""
        if not self._head.is_http11 and response.framing >= CHUNKED:
            return True  # the end of the connection is the end of the body
        # Whether a withheld body still comes is the client's choice: nothing behind it is read.
        return self._context.is_draining or self._body == states.WITHHELD

    def response_body(self, pieces: list[bytes]) -> None:
        """Bytes of the response's body, decoded; they leave with `flush`."""
        size = 0
        for piece in pieces:
            size += len(piece)
        self._bytes_out += size
        if self._rechunks:
            if size:
                self._out += (b"%x\r\n" % size, *pieces, b"\r\n")
        else:
            self._out.extend(pieces)

    def flush(self) -> None:
        """Send what has been gathered."""
        if self._out:
            out, self._out = self._out, []
            self._client.write(out)
        self._client.arm(self._context.settings.response_idle_s)

    def hold_response(self) -> None:
        """The client takes no more: the replica must not send more."""
        upstream = self._attempts.upstream
        if upstream is not None:
            upstream.hold()

    def resume_response(self) -> None:
        """The client reads again."""
        upstream = self._attempts.upstream
        if upstream is not None:
            upstream.resume()
        self._arm()

    def response_ended(self, trailers: Sequence[tuple[bytes, bytes]], *, is_reusable: bool) -> None:
        """The response is complete, and whether its connection may carry another."""
        if self._rechunks:
            self._out.append(last_chunk(trailers))
        if self._out:
            self._client.write(self._out)
        # After an early answer the rest of the request would be taken for the next one.
        self._attempts.done(is_reusable=is_reusable and self._body == states.COMPLETE)
        assert self._response is not None
        self._end(states.ANSWERED, self._response.status)
        self._client.finished(keeps_alive=self._keeps_alive)

    # --- a tunnel

    def switching(self, head: ResponseHead, rest: bytes) -> None:
        """101: from here on both connections carry opaque bytes, if that was asked for."""
        replica, revision = self._attempts.replica, self._choice.revision
        upstream = self._attempts.upstream
        assert replica is not None
        assert revision is not None
        assert upstream is not None
        if not self._head.upgrade or not head.upgrade:
            self._fail(outcomes.UPSTREAM_PROTOCOL)
            return
        if replica.tunnels >= self._context.tunnel_limit:  # others were agreed upon meanwhile
            self._fail(outcomes.REPLICA_OVERLOADED)
            return
        self.answer = moved(self.answer, states.TUNNELLING)
        agreement = Agreement(head.upgrade, replica, revision, self.tunnel_ended)
        connection = b"Connection: Upgrade\r\nUpgrade: %b\r\n\r\n" % head.upgrade
        wire = head.start + connection
        self._client.tunnel(agreement, upstream, wire, rest)

    def tunnel_ended(self, is_stalled: bool) -> None:
        """The tunnel is over; `is_stalled` when a side took nothing for too long."""
        if is_stalled:
            self._context.stats.errors[self._app(), "TunnelStalled"] += 1
        self._end(states.ANSWERED, 101)

    # --- endings

    def client_lost(self) -> None:
        """The client is gone: the replica need not go on."""
        self._attempts.drop()
        self._end(states.ABANDONED, self._status())

    def client_stalled(self) -> None:
        """The client took nothing of its answer for too long, and is given up."""
        self._note("ClientStalled")
        self.client_lost()

    def timed_out(self) -> None:
        """The armed timeout expired: answer 503, 408 or 504, depending on what we waited for."""
        way = self._attempts
        upstream = way.upstream
        if way.state == states.QUEUED:
            self._fail(outcomes.REPLICA_OVERLOADED)
        elif upstream is not None and self._body != states.COMPLETE and not upstream.is_blocked:
            self._fail(outcomes.REQUEST_TIMEOUT)
        else:
            if self.answer == states.AWAITED:
                way.silent()
            self._fail(outcomes.UPSTREAM_TIMEOUT)

    def _fail(self, outcome: Outcome) -> None:
        """Say what went wrong, or cut the answer short if it has begun."""
        self._attempts.drop()
        if self.answer == states.AWAITED:
            self._refuse(outcome)
        else:
            self._cut(outcome)

    def _cut(self, outcome: Outcome) -> None:
        response = self._response
        assert response is not None
        self._note(outcome.code)
        if self._out:
            self._client.write(self._out)
        self._end(states.CUT, response.status)
        # To HTTP/1.0 a chunked answer has no frame of its own: only the end of the connection.
        self._client.cut(is_framed=self._rechunks or response.framing < CHUNKED)

    def _refuse(self, outcome: Outcome) -> None:
        self._note(outcome.code)
        self._end(states.REFUSED, outcome.status)
        is_draining = self._context.is_draining
        keeps_alive = self._keeps_alive and self._body != states.WITHHELD and not is_draining
        self._client.answer(outcome, self._head, keeps_alive=keeps_alive)

    def _note(self, code: str) -> None:
        self._error = code
        self._context.stats.errors[self._app(), code] += 1

    def _app(self) -> str:
        route = self._choice.route
        return route.app if route is not None else UNKNOWN_APP

    def _status(self) -> int:
        return self._response.status if self._response is not None else CLIENT_CLOSED

    def _end(self, how: int, status: int) -> None:
        """It is over: count it, once."""
        self.answer = moved(self.answer, how)  # first: leaving lets others in, who may end, too
        way, stats, revision = self._attempts, self._context.stats, self._choice.revision
        way.end(self)
        now = perf_counter()
        if self._context.access_log is not None or self._span is not None:
            self._tell(status, now)
        if revision is None:
            stats.of(self._app(), "").codes[status] += 1
            return
        revision.stats.record(
            status,
            seconds=now - self._started,
            upstream_seconds=now - way.sent_at if way.sent_at else None,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
        )
        if way.sent_at:
            stats.overhead.observe(way.sent_at - self._started)

    def _tell(self, status: int, now: float) -> None:
        """Put it into the access log and into its trace, if there are such."""
        log, tracer, span = self._context.access_log, self._context.tracer, self._span
        seconds = now - self._started
        is_logged = log is not None and log.takes(status, seconds)
        if not is_logged and span is None:
            return
        choice, way = self._choice, self._attempts
        ended = Ended(
            self._head,
            client=self._client.peer,
            status=status,
            error=self._error,
            app=choice.route.app if choice.route is not None else "",
            revision=choice.revision.name if choice.revision is not None else "",
            replica=way.replica.id if way.replica is not None else "",
            reason=choice.reason,
            seconds=seconds,
            upstream_s=now - way.sent_at if way.sent_at else 0.0,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            trace_id=span.trace_id.decode() if span is not None else trace_of(self._head.block),
        )
        if log is not None and is_logged:
            log.add(ended)
        if tracer is not None and span is not None:
            tracer.note(span, ended)
