"""Turns on the event loop: a long row of small things lets everybody else in between."""

from __future__ import annotations

import asyncio
import time

_TURN_S = 0.002


class Turn:
    """Bounds how long such a row holds up the loop."""

    def __init__(self) -> None:
        self._ends_at = time.monotonic() + _TURN_S

    @property
    def is_over(self) -> bool:
        """Whether the turn has been long enough."""
        return time.monotonic() > self._ends_at

    async def over(self) -> None:
        """Let others go first once the turn has been long enough."""
        if self.is_over:
            await asyncio.sleep(0)
            self._ends_at = time.monotonic() + _TURN_S
