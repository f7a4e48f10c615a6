"""The coarse time of a worker: a request neither asks the system for it nor makes a timer."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class Clock:
    """Moved on by `tick`; whatever needs no better resolution reads `now`."""

    __slots__ = ("_loop", "date_line", "now")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now = 0.0
        self.date_line = b""
        self.tick()

    def tick(self) -> None:
        """Move on."""
        self.now = time.monotonic()
        self.date_line = b"Date: %b\r\n" % formatdate(usegmt=True).encode()

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something after a while, by a timer: for what is rare."""
        self._loop.call_later(seconds, act)
