"""What is read from a socket, or not, while there is a reason not to.

Connections have one; none is a subclass of `asyncio.Protocol`: what is compiled runs a quarter
faster without a base that is not, and the loop asks for the methods only.
"""

from __future__ import annotations

import asyncio


class Intake:
    """Reads a transport unless there is a reason not to; each connection names its reasons."""

    __slots__ = ("pauses", "transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.pauses = 0  # why it is not read: one bit a reason, as several can hold at once

    def pause(self, why: int) -> None:
        """Stop reading, for one more reason."""
        if not self.pauses and not self.transport.is_closing():
            self.transport.pause_reading()
        self.pauses |= why

    def resume(self, why: int) -> None:
        """These reasons are gone; read on if they were the last."""
        was, self.pauses = self.pauses, self.pauses & ~why
        if was and not self.pauses and not self.transport.is_closing():
            self.transport.resume_reading()
