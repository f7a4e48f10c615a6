"""A client's transport: reading, whether the client takes what it is sent, and the end.

Invariant: an answer is never lost to an end that we made: the client has the time it needs as
long as it takes bytes at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.forwarding.context import Context
from router.loop.intake import Intake
from router.loop.unsent import reset, unsent_bytes

if TYPE_CHECKING:
    import asyncio


class ClientTransport(Intake):
    """What a connection of a client reads from, and ends."""

    __slots__ = ("has_ended", "_context", "_moved_at", "_unsent")

    def __init__(self, context: Context, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.has_ended = False  # the client has closed its direction
        self._context = context
        self._moved_at = 0.0  # when the number below had changed
        self._unsent = 0  # bytes that the client had not taken when that was last looked at

    def watch(self) -> None:
        """The client reads slower than we write: count from the first look what it takes."""
        self._unsent = -1  # counted then: it costs a system call

    def has_moved(self) -> bool:
        """Whether the client took some of what it is owed since the last look."""
        before, self._unsent = self._unsent, unsent_bytes(self.transport)
        return before != self._unsent

    # --- the end

    def begin_end(self) -> None:
        """No request is read any more; what was written is sent."""
        self._context.outbox.flush()
        self._unsent = 0
        self._moved_at = self._context.clock.now

    def close(self) -> None:
        """Send what is owed, then close; unread bytes must not turn that into a reset."""
        if self.has_ended or not self.transport.can_write_eof():
            self.transport.close()
            return
        # RFC 9112 §9.6: closing at once while the client still sends makes the kernel reset the
        # connection, and the answer may be lost with it. Say "no more", read on for a moment.
        self.transport.write_eof()
        self.pauses = 0
        self.transport.resume_reading()

    def cut(self, *, is_framed: bool) -> None:
        """End so that the client sees the answer was cut short.

        A framed one just ends. One that ends with the connection must not end properly: a reset
        is the only thing that tells it from a complete one.
        """
        if is_framed:
            self.transport.close()
        else:
            self.reset()

    def reset(self) -> None:
        """End so that the client sees that it did not get everything."""
        reset(self.transport)

    def look_at_end(self) -> None:
        """Called every `linger_s` until the connection is gone.

        A client that has everything had its time to read it. One that takes bytes gets more time,
        one that takes none for `write_timeout_s` is given up, and sees that it was.
        """
        now = self._context.clock.now
        if self.has_moved():
            self._moved_at = now
        elif not self._unsent:
            self.transport.abort()
        elif now - self._moved_at >= self._context.settings.write_timeout_s:
            self.reset()
