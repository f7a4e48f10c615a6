"""One request and its response: routing, attempts, framing towards the client, accounting.

Exactly one reply or one abort leaves an exchange, and a request is sent again only if no byte
of a response was passed on and the request can be replayed. It imports no I/O: both sides are
called through narrow methods, and tests drive it with recorded sides.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from router import errors
from router.chunked import chunk, last_chunk
from router.errors import CLIENT_CLOSED, Outcome
from router.replicas import Replica
from router.request_head import RequestHead
from router.response_head import CHUNKED, UNTIL_CLOSE, Fields, ResponseHead, compose
from router.selection import less_loaded
from router.table import RevisionRoute, Route

if TYPE_CHECKING:
    from router.edge import Edge
    from router.ports import ClientSide
    from router.upstream.http1 import UpstreamConnection

UNKNOWN_APP = "_unknown"  # requests for hosts of no app, and requests that could not be read

# A pooled connection idle for longer than this is not used for a request that cannot be sent
# twice: the replica may be closing it this very moment, and the loss would be the client's.
_FRESH_ENOUGH_S = 1.0


class Exchange:
    """One request and its response."""

    __slots__ = (
        "edge",
        "client",
        "head",
        "route",
        "revision",
        "replica",
        "upstream",
        "reason",
        "is_over",
        # attempts
        "_tried",
        "_fresh",
        "_held",
        "_held_bytes",
        "request_ended",
        "got_continue",
        # response
        "response",
        "_out",
        "_rechunks",
        "_keeps_alive",
        # accounting
        "_started",
        "_sent_at",
        "_bytes_in",
        "_bytes_out",
    )

    def __init__(self, edge: Edge, client: ClientSide, head: RequestHead) -> None:
        self.edge = edge
        self.client = client
        self.head = head
        self.route: Route | None = None
        self.revision: RevisionRoute | None = None
        self.replica: Replica | None = None
        self.upstream: UpstreamConnection | None = None
        self.reason = ""
        self.is_over = False
        self._tried: tuple[Replica, ...] = ()
        self._fresh = False
        self._held: list[bytes] | None = []
        self._held_bytes = 0
        self.request_ended = not head.has_body
        self.got_continue = False
        self.response: ResponseHead | None = None
        self._out: list[bytes] = []
        self._rechunks = False
        self._keeps_alive = head.keeps_alive
        self._started = perf_counter()
        self._sent_at = 0.0
        self._bytes_in = 0
        self._bytes_out = 0

    def __repr__(self) -> str:
        return f"<Exchange {self.head} replica={self.replica} response={self.response}>"

    # --- choosing and trying replicas

    def start(self) -> None:
        """Route the request by the table in force now, and make the first attempt."""
        found = self.edge.table.lookup(self.head.host_key)
        if isinstance(found, Outcome):
            self._refuse(found)
            return
        self.route = found
        revision = found.revision()
        if revision is None:
            self._refuse(found.outcome or errors.NO_READY_REPLICA)
            return
        self.reason = found.reason
        self.revision = revision
        revision.stats.in_flight += 1
        self._attempt(errors.NO_READY_REPLICA)

    def _attempt(self, otherwise: Outcome, *, retry_for: str = "") -> None:
        """Try one more replica, or give the answer that the last attempt earned."""
        failed = self.revision
        replica = self._next_replica()
        if replica is None:
            self._refuse(otherwise)
            return
        if retry_for and failed is not None:
            failed.stats.retries[retry_for] += 1
            self.reason = "retry"
        self.replica = replica
        replica.in_flight += 1
        connection = None
        if not self._fresh:
            is_safe = self.head.is_idempotent
            connection = replica.take_idle(0.0 if is_safe else self.edge.now - _FRESH_ENOUGH_S)
        if connection is not None:
            self.connected(connection)
        else:
            self.client.arm(self.edge.settings.connect_timeout_s + 1.0)
            self.edge.connect(replica, self)

    def _next_replica(self) -> Replica | None:
        assert self.revision is not None
        assert self.route is not None
        now = self.edge.now
        replica = less_loaded(self.revision.replicas, now, self._tried)
        if replica is not None or not self._tried:
            return replica
        for other in self.route.others(self.revision):  # a dead revision costs no user a failure
            replica = less_loaded(other.replicas, now, self._tried)
            if replica is not None:
                self.revision.stats.in_flight -= 1
                other.stats.in_flight += 1
                self.revision = other
                return replica
        return None

    def connected(self, connection: UpstreamConnection) -> None:
        """A connection is there: send the head and what has arrived of the body."""
        if self.is_over:
            connection.release()
            return
        self.upstream = connection
        self._sent_at = perf_counter()
        held = self._held or ()
        wire = self.head.wire if not held else b"".join((self.head.wire, *held))
        connection.begin(self, wire, is_head=self.head.method == b"HEAD")
        self._forget_unreplayable()
        settings = self.edge.settings
        if self.request_ended:
            self.client.arm(settings.response_timeout_s)
        else:
            self.client.arm(settings.body_idle_timeout_s)
            self.client.resume_body()

    def _forget_unreplayable(self) -> None:
        if not self.head.is_idempotent or self._held_bytes > self.edge.settings.replay_bytes:
            self._held = None

    def connect_failed(self, outcome: Outcome) -> None:
        """No connection: nothing was sent, so any request may go to another replica."""
        if not self.is_over:
            self._lose_replica()
            self._attempt(outcome, retry_for="connect")

    def upstream_lost(self) -> None:
        """The connection broke before the response was complete."""
        connection, self.upstream = self.upstream, None
        if self.response is not None:
            self._cut()
        elif self._held is None:
            self._refuse(errors.UPSTREAM_RESET)
        elif connection is not None and connection.used > 1:
            # The replica closed an idle connection as we used it: its right (RFC 9112 §9.3.1).
            self._fresh = True
            self._leave_replica()
            self._attempt(errors.UPSTREAM_RESET, retry_for="stale")
        else:
            self._lose_replica()
            self._attempt(errors.UPSTREAM_RESET, retry_for="reset")

    def _lose_replica(self) -> None:
        replica = self._leave_replica()
        replica.failed(self.edge.now)
        if self.revision is not None:
            self.revision.stats.ejections += 1
        self._tried = (*self._tried, replica)

    def _leave_replica(self) -> Replica:
        replica, self.replica = self.replica, None
        assert replica is not None
        replica.in_flight -= 1
        return replica

    def upstream_broken(self) -> None:
        """The replica sent what is no HTTP/1.1 response."""
        self._fail(errors.UPSTREAM_PROTOCOL)

    # --- the request's body

    def request_body(self, pieces: list[bytes]) -> None:
        """Bytes of the request's body, decoded."""
        size = sum(map(len, pieces))
        self._bytes_in += size
        data = chunk(pieces) if self.head.is_chunked else b"".join(pieces)
        if data:
            self._send_body(data)
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
            self._forget_unreplayable()
        self.upstream.write(data)

    def request_finished(self, trailers: Fields) -> None:
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
        assert self.replica is not None
        assert self.revision is not None
        if self.replica.failures:
            self.replica.answered()
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
            date=self.edge.date_line,
            extra=self.revision.exposed(self.replica, self.reason) if exposes else b"",
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
        self._bytes_out += size
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

    def response_ended(self, trailers: Fields, *, is_reusable: bool) -> None:
        """The response is complete, and whether its connection may carry another."""
        if self._rechunks:
            self._out.append(last_chunk(trailers))
        if self._out:
            self.client.write(self._out)
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            if is_reusable and self.request_ended:
                upstream.release()
            else:
                upstream.close()
        assert self.response is not None
        self.account(self.response.status)
        self.client.finished(keeps_alive=self._keeps_alive)

    def switching(self, head: ResponseHead, rest: bytes) -> None:
        """101: from here on both connections carry opaque bytes, if that was asked for."""
        if not self.head.upgrade or not head.upgrade:
            self._fail(errors.UPSTREAM_PROTOCOL)
            return
        self.response = head
        connection = b"Connection: Upgrade\r\nUpgrade: %b\r\n\r\n" % head.upgrade
        wire = b"".join((head.status_line, *head.lines, connection))
        self.client.tunnel(self, wire, rest)

    # --- endings

    def client_lost(self) -> None:
        """The client is gone: the replica need not go on."""
        self._drop_upstream()
        self.account(self.response.status if self.response is not None else CLIENT_CLOSED)

    def timed_out(self) -> None:
        """Nothing moved for as long as may be."""
        is_clients = not self.request_ended
        self._fail(errors.REQUEST_TIMEOUT if is_clients else errors.UPSTREAM_TIMEOUT)

    def body_refused(self, outcome: Outcome) -> None:
        """The request's body cannot be read; the replica must not take it for complete."""
        self._keeps_alive = False
        self._fail(outcome)

    def _fail(self, outcome: Outcome) -> None:
        """Say what went wrong, or cut the answer short if it has begun."""
        self._drop_upstream()
        if self.response is not None:
            self._cut()
        else:
            self._refuse(outcome)

    def _drop_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.close()

    def _cut(self) -> None:
        response = self.response
        assert response is not None
        assert self.route is not None
        self.edge.stats.errors[self.route.app, errors.UPSTREAM_RESET.code] += 1
        if self._out:
            self.client.write(self._out)
        self.account(response.status)
        self.client.cut(is_framed=self._rechunks or response.framing != UNTIL_CLOSE)

    def _refuse(self, outcome: Outcome) -> None:
        app = self.route.app if self.route is not None else UNKNOWN_APP
        self.edge.stats.errors[app, outcome.code] += 1
        self.account(outcome.status)
        self.client.answer(outcome, self)

    @property
    def keeps_alive(self) -> bool:
        """Whether the client's connection may carry another request after an edge answer."""
        return self._keeps_alive and not self._has_unread_body and not self.edge.is_draining

    def account(self, status: int) -> None:
        """It is over: count it, once."""
        self.is_over = True
        if self.replica is not None:
            self.replica.in_flight -= 1
            self.replica = None
        revision = self.revision
        if revision is None:
            app = self.route.app if self.route is not None else UNKNOWN_APP
            self.edge.stats.of(app, "").codes[status] += 1
            return
        now = perf_counter()
        revision.stats.record(
            status,
            seconds=now - self._started,
            upstream_seconds=now - self._sent_at if self._sent_at else None,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
        )
        if self._sent_at:
            self.edge.stats.overhead.observe(self._sent_at - self._started)
