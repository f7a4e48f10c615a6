"""A connection that is not read while there is a reason not to.

Not a subclass of `asyncio.Protocol`: what is compiled runs a quarter faster without a base that is
not, and the loop asks for the methods only.
"""

from __future__ import annotations

import asyncio


class Pausable:
    """What connections of both sides have in common; each names its reasons, one bit a reason."""

    __slots__ = ("_pauses", "transport")

    transport: asyncio.Transport  # from `connection_made` on

    def __init__(self) -> None:
        self._pauses = 0  # why the socket is not read: bits, as several reasons can hold

    def _pause(self, why: int) -> None:
        if not self._pauses and not self.transport.is_closing():
            self.transport.pause_reading()
        self._pauses |= why

    def _resume(self, why: int) -> None:
        was, self._pauses = self._pauses, self._pauses & ~why
        if was and not self._pauses and not self.transport.is_closing():
            self.transport.resume_reading()
