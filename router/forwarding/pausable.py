"""A connection that is not read while there is a reason not to."""

from __future__ import annotations

import asyncio
from typing import cast


class Pausable(asyncio.Protocol):
    """What connections of both sides have in common; each names its reasons, one bit a reason."""

    __slots__ = ("_pauses", "transport")

    def __init__(self) -> None:
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._pauses = 0  # why the socket is not read: bits, as several reasons can hold

    def _pause(self, why: int) -> None:
        if not self._pauses and not self.transport.is_closing():
            self.transport.pause_reading()
        self._pauses |= why

    def _resume(self, why: int) -> None:
        was, self._pauses = self._pauses, self._pauses & ~why
        if was and not self._pauses and not self.transport.is_closing():
            self.transport.resume_reading()
