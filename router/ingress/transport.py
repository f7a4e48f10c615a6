"""A client's transport: writing, deadlines, whether the client takes what it is sent, the end.

Invariant: an answer is never lost to an end that we made: the client has the time it needs as
long as it takes bytes at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from router.forwarding.context import Context
from router.loop.intake import Intake
from router.loop.unsent import reset, unsent_bytes

if TYPE_CHECKING:
    import asyncio

_FOREVER: Final = float("inf")


class ClientTransport(Intake):
    """What a connection of a client writes to, and waits for."""

    __slots__ = (
        "deadline",
        "has_ended",
        "is_blocked",
        "_context",
        "_moved_at",
        "_unsent",
    )

    def __init__(self, context: Context, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.deadline = context.clock.now + context.settings.head_timeout_s
        self.has_ended = False  # the client has closed its direction
        self.is_blocked = False  # the client reads slower than we write
        self._context = context
        self._moved_at = 0.0  # when the number below had changed
        self._unsent = 0  # bytes that the client had not taken when that was last looked at

    def write(self, pieces: list[bytes]) -> None:
        """Send bytes."""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._context.outbox.write(self.transport, data)

    def arm(self, seconds: float) -> None:
        """Something is expected within `seconds`; from a blocked client, that it reads."""
        if self.is_blocked:
            return
        if self.has_ended:
            seconds = min(seconds, self._context.settings.half_close_s)
        self.deadline = self._context.clock.now + seconds

    def hurry(self, seconds: float) -> None:
        """What is expected has no longer than that."""
        self.deadline = min(self.deadline, self._context.clock.now + seconds)

    def disarm(self) -> None:
        """Nothing is expected for now."""
        self.deadline = _FOREVER

    # --- a client that does not read

    def block(self) -> None:
        """The client takes no more."""
        self.is_blocked = True
        self._context.stats.stalled += 1
        self._unsent = -1  # counted at the first look: it costs a system call
        self.deadline = self._context.clock.now + self._context.settings.write_timeout_s

    def unblock(self) -> None:
        """It takes more again, or is gone."""
        if self.is_blocked:
            self.is_blocked = False
            self._context.stats.stalled -= 1

    def has_stalled(self) -> bool:
        """Whether it took nothing for `write_timeout_s`; asked when that is over."""
        if not self._has_moved():
            return True
        self.deadline = self._context.clock.now + self._context.settings.write_timeout_s
        return False

    def _has_moved(self) -> bool:
        """Whether the client took some of what it is owed since the last look."""
        before, self._unsent = self._unsent, unsent_bytes(self.transport)
        return before != self._unsent

    # --- the end

    def begin_end(self) -> None:
        """No request is read any more; what was written is sent."""
        self._context.outbox.flush()
        self._unsent = 0
        self._moved_at = self._context.clock.now
        self.deadline = self._context.clock.now + self._context.settings.linger_s

    def close(self) -> None:
        """Send what is owed, then close; unread bytes must not turn that into a reset."""
        self.begin_end()
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
        self.begin_end()
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
        now, settings = self._context.clock.now, self._context.settings
        if self._has_moved():
            self._moved_at = now
        elif not self._unsent:
            self.transport.abort()
        elif now - self._moved_at >= settings.write_timeout_s:
            self.reset()
        self.deadline = now + settings.linger_s
