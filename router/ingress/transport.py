"""A client's connection, whatever is spoken on it: writing, pausing, deadlines, its end.

Invariant: nothing is written after the connection was cut, and an answer is never lost to a
reset that our own close provoked.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from router.edge import Edge

_LINGER_NONE = struct.pack("ii", 1, 0)


class ClientTransport(asyncio.Protocol):
    """What the protocols of the ingress have in common."""

    __slots__ = (
        # per process
        "edge",
        # per connection
        "transport",
        "deadline",
        "_pauses",
        "_is_blocked",
        "_has_ended",
        "_is_closing",
        "_buffer",
    )

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.deadline = edge.now + edge.settings.head_timeout_s
        self._pauses = 0  # why the socket is not read: bits, as several reasons can hold
        self._is_blocked = False  # the client reads slower than we write
        self._has_ended = False  # the client has closed its direction
        self._is_closing = False
        self._buffer = b""  # received, and not yet acted upon

    def write(self, pieces: list[bytes]) -> None:
        """Send bytes."""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.edge.write(self.transport, data)

    def arm(self, seconds: float) -> None:
        """Something is expected within `seconds`."""
        if self._has_ended:
            seconds = min(seconds, self.edge.settings.half_close_s)
        self.deadline = self.edge.now + seconds

    def cut(self, *, is_framed: bool) -> None:
        """End so that the client sees the answer was cut short.

        A framed one just ends. One that ends with the connection must not end properly: a reset
        is the only thing that tells it from a complete one.
        """
        self._is_closing = True
        self.edge.flush()
        if is_framed:
            self.transport.close()
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        self.transport.abort()

    def _close(self) -> None:
        """Send what is owed, then close; unread bytes must not turn that into a reset."""
        if self.transport.is_closing():
            return
        self._is_closing = True
        self._buffer = b""
        self.edge.flush()
        if self._has_ended or not self.transport.can_write_eof():
            self.transport.close()
            return
        # RFC 9112 §9.6: closing at once while the client still sends makes the kernel reset the
        # connection, and the answer may be lost with it. Say "no more", read on for a moment.
        self.transport.write_eof()
        self._pauses = 0
        self.transport.resume_reading()
        self.arm(self.edge.settings.linger_s)

    def _pause(self, why: int) -> None:
        if not self._pauses and not self.transport.is_closing():
            self.transport.pause_reading()
        self._pauses |= why

    def _resume(self, why: int) -> None:
        was, self._pauses = self._pauses, self._pauses & ~why
        if was and not self._pauses and not self.transport.is_closing():
            self.transport.resume_reading()
