"""The writes of one turn of a worker's loop, sent together at its end.

Sending wakes the receiver, and waking a sleeping core is what a send costs most. Sent one after
the other, the writes of a turn find it awake; see benchmarks/README.md. Each write is its own
transport's affair: one that is closed or raises takes no other with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final
from weakref import WeakSet

log: Final = logging.getLogger("turnout.router")

# A loop reads one socket up to 32 times a turn, 256 KiB each. Gathered until the turn ends, that
# would be 8 MiB before the transport could say that its peer takes no more.
_MOST_GATHERED: Final = 256 << 10


class Outbox:
    """Gathers writes; `turn` counts how often they were sent."""

    __slots__ = ("_data", "_flush", "_gathered", "_loop", "_transports", "turn", "unsent")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._flush = self.flush  # bound once, not in every turn
        self._transports: list[asyncio.Transport] = []
        self._data: list[bytes] = []  # for each of them
        self._gathered = 0  # bytes
        self.turn = 0
        # Closing transports to which something was not written any more. Their protocols ask when
        # they hear of the loss, which may be some flushes later; so they are kept as they live.
        self.unsent: WeakSet[asyncio.Transport] = WeakSet()

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send bytes at the end of this turn, in order with all others."""
        if not self._data:
            self._loop.call_soon(self._flush)
        self._transports.append(transport)
        self._data.append(data)
        self._gathered += len(data)
        if self._gathered > _MOST_GATHERED:
            self.flush()

    def write_more(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send bytes that follow others: with them in one call if those have not left yet.

        A request's head and its body come in one read; apart they cost a second system call.
        """
        if self._data and self._transports[-1] is transport:
            self._data[-1] += data
            self._gathered += len(data)
            if self._gathered > _MOST_GATHERED:
                self.flush()
        else:
            self.write(transport, data)

    def next_turn(self, act: Callable[[], None]) -> None:
        """Do something in the next turn of the loop, when everybody else has had theirs."""
        self._loop.call_soon(act)

    def flush(self) -> None:
        """Send what was written in this turn."""
        transports, self._transports = self._transports, []
        written, self._data = self._data, []
        self._gathered = 0
        self.turn += 1
        for transport, data in zip(transports, written, strict=True):
            if transport.is_closing():
                self.unsent.add(transport)
                continue
            try:
                transport.write(data)
            except Exception as error:
                log.error("event=write_failed reason=%r", error)
                transport.abort()
