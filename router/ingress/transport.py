"""A client's connection, whatever is spoken on it: writing, pausing, deadlines, its end.

Invariant: nothing is written after the connection was cut, and an answer is never lost to an end
that we made: the client has the time it needs as long as it takes bytes at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.forwarding.context import Context
from router.http.seams import ClientSide
from router.loop.intake import Intake
from router.loop.unsent import reset, unsent_bytes

if TYPE_CHECKING:
    import asyncio


class ClientTransport(ClientSide):
    """What the protocols of the ingress have in common."""

    __slots__ = (
        # per process
        "edge",
        # per connection
        "transport",
        "_intake",
        "deadline",
        "_has_ended",
        "_is_closing",
        "_unsent",
        "_moved_at",
    )

    transport: asyncio.Transport  # from `connection_made` on
    _intake: Intake

    def __init__(self, edge: Context) -> None:
        super().__init__()
        self.edge = edge
        self.deadline = edge.clock.now + edge.settings.head_timeout_s
        self._has_ended = False  # the client has closed its direction
        self._is_closing = False
        self._unsent = 0  # bytes that the client had not taken when that was last looked at
        self._moved_at = 0.0  # when that number had changed

    def write(self, pieces: list[bytes]) -> None:
        """Send bytes."""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.edge.outbox.write(self.transport, data)

    def arm(self, seconds: float) -> None:
        """Something is expected within `seconds`; from a blocked client, that it reads."""
        if self.is_blocked:
            return
        if self._has_ended:
            seconds = min(seconds, self.edge.settings.half_close_s)
        self.deadline = self.edge.clock.now + seconds

    # --- a client that does not read

    def _block(self) -> None:
        self.is_blocked = True
        self.edge.stats.stalled += 1
        self._unsent = -1  # counted at the first look: it costs a system call
        self.deadline = self.edge.clock.now + self.edge.settings.write_timeout_s

    def _unblock(self) -> None:
        if self.is_blocked:
            self.is_blocked = False
            self.edge.stats.stalled -= 1

    def _has_moved(self) -> bool:
        """Whether the client took some of what it is owed since the last look."""
        before, self._unsent = self._unsent, unsent_bytes(self.transport)
        return before != self._unsent

    # --- the end

    def cut(self, *, is_framed: bool) -> None:
        """End so that the client sees the answer was cut short.

        A framed one just ends. One that ends with the connection must not end properly: a reset
        is the only thing that tells it from a complete one.
        """
        self._begin_end()
        if is_framed:
            self.transport.close()
        else:
            reset(self.transport)

    def _close(self) -> None:
        """Send what is owed, then close; unread bytes must not turn that into a reset."""
        if self.transport.is_closing():
            return
        self._begin_end()
        if self._has_ended or not self.transport.can_write_eof():
            self.transport.close()
            return
        # RFC 9112 §9.6: closing at once while the client still sends makes the kernel reset the
        # connection, and the answer may be lost with it. Say "no more", read on for a moment.
        self.transport.write_eof()
        self._intake.pauses = 0
        self.transport.resume_reading()

    def _begin_end(self) -> None:
        """No request is read any more; what was written is sent."""
        self._is_closing = True
        self.edge.outbox.flush()
        self._unsent = 0
        self._moved_at = self.edge.clock.now
        self.deadline = self.edge.clock.now + self.edge.settings.linger_s

    def _look_at_end(self) -> None:
        """Called every `linger_s` until the connection is gone.

        A client that has everything had its time to read it. One that takes bytes gets more time,
        one that takes none for `write_timeout_s` is given up, and sees that it was.
        """
        edge = self.edge
        if self._has_moved():
            self._moved_at = edge.clock.now
        elif not self._unsent:
            self.transport.abort()
        elif edge.clock.now - self._moved_at >= edge.settings.write_timeout_s:
            reset(self.transport)
        self.deadline = edge.clock.now + edge.settings.linger_s
