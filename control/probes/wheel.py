"""A timer wheel: callbacks in slots of a few milliseconds, with one timer for all.

A thousand probes cost a thousand list entries instead of a thousand timers and tasks.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable

log = logging.getLogger("turnout.control")

_SLOT_S = 0.05
_BUDGET = 20  # callbacks in one go; the loop serves others before the rest


class Wheel:
    """Calls back at about the requested time, never before it."""

    def __init__(self) -> None:
        self._slots: dict[int, list[Callable[[], None]]] = {}
        self._order: list[int] = []  # a heap of the occupied slots
        self._due: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._timer_slot = 0

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Call `what` at a time of the loop.

        It cannot be cancelled, so `what` checks if it is needed.
        """
        slot = int(when / _SLOT_S) + 1
        entries = self._slots.get(slot)
        if entries is not None:
            entries.append(what)
            return
        self._slots[slot] = [what]
        heapq.heappush(self._order, slot)
        if self._timer is None or slot < self._timer_slot:
            self._arm(slot)

    def close(self) -> None:
        """Drop all callbacks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._slots, self._order, self._due = {}, [], []

    def _arm(self, slot: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_slot = slot
        self._timer = asyncio.get_running_loop().call_at(slot * _SLOT_S, self._turn)

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._order and self._order[0] * _SLOT_S <= now:
            self._due += reversed(self._slots.pop(heapq.heappop(self._order)))
        # Until the end of this turn: callbacks added meanwhile must not arm a timer of their own.
        self._timer_slot = 0
        for _ in range(min(_BUDGET, len(self._due))):
            try:
                self._due.pop()()
            except Exception:
                log.exception("event=callback_failed")
        self._timer = None
        if self._due:
            self._timer = loop.call_soon(self._turn)
        elif self._order:
            self._arm(self._order[0])
