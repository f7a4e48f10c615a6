"""One request and its response: framing towards the client, endings, accounting.

Exactly one reply or one abort leaves an exchange. It imports no I/O: both sides are called
through narrow methods, and tests drive it with recorded sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from router.contract import outcomes
from router.contract.outcomes import CLIENT_CLOSED, Outcome
from router.forwarding.access_log import AccessLog
from router.forwarding.attempts import Attempts
from router.forwarding.context import Edge
from router.http.chunked import chunk, last_chunk
from router.http.request_head import RequestHead
from router.http.response_head import CHUNKED, ResponseHead, compose
from router.http.seams import ClientSide
from router.routing.stats import UNKNOWN_APP


class Exchange(Attempts):
    """One request and its response."""

    __slots__ = (
        "got_continue",
        "_out",
        "_rechunks",
        "_keeps_alive",
        # accounting
        "error",
        "bytes_in",
        "bytes_out",
    )

    def __init__(self, edge: Edge, client: ClientSide, head: RequestHead) -> None:
        super().__init__(edge, client, head)
        self.got_continue = False
        self._out: list[bytes] = []
        self._rechunks = False
        self._keeps_alive = head.keeps_alive
        self.error = ""  # the code of an answer made here, or of what cut one short
        self.bytes_in = 0
        self.bytes_out = 0

    def __repr__(self) -> str:
        return f"<Exchange {self.head} replica={self.replica} response={self.response}>"

    def upstream_broken(self) -> None:
        """The replica sent what is no HTTP/1.1 response."""
        self._fail(outcomes.UPSTREAM_PROTOCOL)

    # --- the request's body

    def request_body(self, pieces: list[bytes]) -> None:
        """Bytes of the request's body, decoded."""
        self.bytes_in += sum(map(len, pieces))
        if 0 < self.edge.settings.max_body_bytes < self.bytes_in:  # chunked: not known before
            self.body_refused(outcomes.CONTENT_TOO_LARGE)
            return
        data = chunk(pieces) if self.head.is_chunked else b"".join(pieces)
        if data:
            self._send_body(data)
        if self.upstream is not None:  # else the connection or the queue has its own limit
            self.client.arm(self.edge.settings.body_idle_timeout_s)

    def _send_body(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
            self._held_bytes += len(data)
        if self.upstream is None:
            if self._held_bytes > self.edge.settings.replay_bytes:
                self.client.hold_body()
            return
        if self._held is not None:
            self._forget_unreplayable(self.upstream)
        self.upstream.write(data)

    def request_finished(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """The request is complete."""
        self.request_ended = True
        if self.head.is_chunked:
            self._send_body(last_chunk(trailers))
        if self.upstream is not None:
            self.client.arm(self.edge.settings.response_timeout_s)

    # --- the response

    def interim(self, head: ResponseHead) -> None:
        """A 1xx answer: passed on, except to HTTP/1.0, which knows none (RFC 9110 §15.2)."""
        self.got_continue = self.got_continue or head.status == 100
        if self.head.is_http11:
            self.client.write([head.status_line, *head.lines, b"\r\n"])

    def response_head(self, head: ResponseHead) -> None:
        """The final response begins; its head leaves with the first bytes of its body."""
        replica = self.replica
        assert replica is not None
        assert self.revision is not None
        if 502 <= head.status <= 504:
            self._note_fault(replica)
        elif replica.failures or replica.faults:
            replica.answered()
        self.response = head
        self._held = None
        request = self.head
        self._rechunks = request.is_http11 and head.framing >= CHUNKED
        if self._must_close(request, head):
            self._keeps_alive = False
        exposes = self.edge.settings.expose_revision
        self._out = compose(
            head,
            is_http11=request.is_http11,
            keeps_alive=self._keeps_alive,
            request_id=request.request_id,
            date=self.edge.clock.date_line,
            extra=self.revision.exposed(replica, self.reason) if exposes else b"",
        )

    def _must_close(self, request: RequestHead, response: ResponseHead) -> bool:
        """Whether the client's connection ends with this response."""
        if not request.is_http11 and response.framing >= CHUNKED:
            return True  # the end of the connection is the end of the body
        # Whether an expected body still comes is the client's choice: nothing behind it is read.
        return self.edge.is_draining or self._has_unread_body

    @property
    def _has_unread_body(self) -> bool:
        return self.head.expects_continue and not self.got_continue and not self.request_ended

    def response_body(self, pieces: list[bytes]) -> None:
        """Bytes of the response's body, decoded; they leave with `flush`."""
        size = sum(map(len, pieces))
        self.bytes_out += size
        if self._rechunks:
            if size:
                self._out += (b"%x\r\n" % size, *pieces, b"\r\n")
        else:
            self._out += pieces

    def flush(self) -> None:
        """Send what has been gathered."""
        if self._out:
            out, self._out = self._out, []
            self.client.write(out)
        self.client.arm(self.edge.settings.response_idle_s)

    def hold_body(self) -> None:
        """The replica takes no more: the client must not send more."""
        self.client.hold_body()

    def resume_body(self) -> None:
        """The replica takes more again."""
        self.client.resume_body()

    def hold_response(self) -> None:
        """The client takes no more: the replica must not send more."""
        if self.upstream is not None:
            self.upstream.hold()

    def resume_response(self) -> None:
        """The client reads again."""
        settings = self.edge.settings
        if self.upstream is not None:
            self.upstream.resume()
        if self._queue is not None:
            self.client.arm(self._waits_until - self.edge.clock.now)
        elif self.upstream is None:
            self.client.arm(settings.connect_timeout_s + 1.0)
        elif self.response is not None:
            self.client.arm(settings.response_idle_s)
        elif self.request_ended:
            self.client.arm(settings.response_timeout_s)
        else:
            self.client.arm(settings.body_idle_timeout_s)

    def response_ended(self, trailers: Sequence[tuple[bytes, bytes]], *, is_reusable: bool) -> None:
        """The response is complete, and whether its connection may carry another."""
        if self._rechunks:
            self._out.append(last_chunk(trailers))
        if self._out:
            self.client.write(self._out)
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            if is_reusable and self.request_ended:
                upstream.release(self.edge.clock.now)
            else:
                upstream.close()
        assert self.response is not None
        self.account(self.response.status)
        self.client.finished(keeps_alive=self._keeps_alive)

    def switching(self, head: ResponseHead, rest: bytes) -> None:
        """101: from here on both connections carry opaque bytes, if that was asked for."""
        upstream, replica, revision = self.upstream, self.replica, self.revision
        assert upstream is not None
        assert replica is not None
        assert revision is not None
        if not self.head.upgrade or not head.upgrade:
            self._fail(outcomes.UPSTREAM_PROTOCOL)
            return
        if replica.tunnels >= self.edge.tunnel_limit:  # others were agreed upon meanwhile
            self._fail(outcomes.REPLICA_OVERLOADED)
            return
        self.response = head
        connection = b"Connection: Upgrade\r\nUpgrade: %b\r\n\r\n" % head.upgrade
        wire = b"".join((head.status_line, *head.lines, connection))
        revision.stats.tunnels += 1
        replica.tunnel_began()
        self.client.tunnel(self, upstream, wire, rest)

    @property
    def is_websocket(self) -> bool:
        """Whether the tunnel that was agreed upon carries frames."""
        return self.response is not None and self.response.upgrade.lower() == b"websocket"

    @property
    def replica_has_left(self) -> bool:
        """Whether the replica of the tunnel left the table."""
        return self.replica is not None and self.replica.departed

    def tunnel_ended(self, *, is_stalled: bool) -> None:
        """The tunnel is over."""
        if is_stalled and self.route is not None:
            self.edge.stats.errors[self.route.app, "TunnelStalled"] += 1
        if self.revision is not None:
            self.revision.stats.tunnels -= 1
        if self.replica is not None:
            self.replica.tunnel_ended()
        self.account(101)

    # --- endings

    def client_lost(self) -> None:
        """The client is gone: the replica need not go on."""
        self._drop_upstream()
        self.account(self.response.status if self.response is not None else CLIENT_CLOSED)

    def client_stalled(self) -> None:
        """The client took nothing of its answer for too long, and is given up."""
        self.error = "ClientStalled"
        app = self.route.app if self.route is not None else UNKNOWN_APP
        self.edge.stats.errors[app, self.error] += 1
        self.client_lost()

    def timed_out(self) -> None:
        """The armed timeout expired: answer 503, 408 or 504, depending on what we waited for."""
        upstream = self.upstream
        if self._queue is not None:
            self._fail(outcomes.REPLICA_OVERLOADED)
        elif upstream is not None and not self.request_ended and not upstream.is_blocked:
            self._fail(outcomes.REQUEST_TIMEOUT)
        else:
            if self.replica is not None and self.response is None:
                self._note_fault(self.replica)
            self._fail(outcomes.UPSTREAM_TIMEOUT)

    def body_refused(self, outcome: Outcome) -> None:
        """The request's body cannot be read; the replica must not take it for complete."""
        self._keeps_alive = False
        self._fail(outcome)

    def _fail(self, outcome: Outcome) -> None:
        """Say what went wrong, or cut the answer short if it has begun."""
        self._drop_upstream()
        if self.response is not None:
            self._cut(outcome)
        else:
            self._refuse(outcome)

    def _drop_upstream(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.close()

    def _cut(self, outcome: Outcome) -> None:
        response = self.response
        assert response is not None
        assert self.route is not None
        self.error = outcome.code
        self.edge.stats.errors[self.route.app, self.error] += 1
        if self._out:
            self.client.write(self._out)
        self.account(response.status)
        # To HTTP/1.0 a chunked answer has no frame of its own: only the end of the connection.
        self.client.cut(is_framed=self._rechunks or response.framing < CHUNKED)

    def _refuse(self, outcome: Outcome) -> None:
        app = self.route.app if self.route is not None else UNKNOWN_APP
        self.error = outcome.code
        self.edge.stats.errors[app, outcome.code] += 1
        self.account(outcome.status)
        self.client.answer(outcome, self.head, keeps_alive=self.keeps_alive)

    @property
    def keeps_alive(self) -> bool:
        """Whether the client's connection may carry another request after an edge answer."""
        return self._keeps_alive and not self._has_unread_body and not self.edge.is_draining

    def account(self, status: int) -> None:
        """It is over: count it, once."""
        self.is_over = True
        replica = self.replica
        if replica is None:
            self._leave_queue()
        else:
            replica.in_flight -= 1
            if replica.queue:
                replica.admit_next()
        revision = self.revision
        now = perf_counter()
        if self.edge.access_log is not None:
            self._log(self.edge.access_log, status, now)
        if revision is None:
            app = self.route.app if self.route is not None else UNKNOWN_APP
            self.edge.stats.of(app, "").codes[status] += 1
            return
        revision.stats.record(
            status,
            seconds=now - self.started,
            upstream_seconds=now - self.sent_at if self.sent_at else None,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
        )
        if self.sent_at:
            self.edge.stats.overhead.observe(self.sent_at - self.started)

    def _log(self, log: AccessLog, status: int, now: float) -> None:
        seconds = now - self.started
        if not log.takes(status, seconds):
            return
        log.add(
            self.head,
            client=self.client.peer,
            status=status,
            error=self.error,
            app=self.route.app if self.route is not None else "",
            revision=self.revision.name if self.revision is not None else "",
            replica=self.replica.id if self.replica is not None else "",
            reason=self.reason,
            seconds=seconds,
            upstream_seconds=now - self.sent_at if self.sent_at else 0.0,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
        )
