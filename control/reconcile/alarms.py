"""When each app is to be looked at again though nothing changes: the earliest are found at once."""

from __future__ import annotations

import heapq


class Alarms:
    """One moment for each name that has one."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []  # a heap; entries that were replaced stay in it

    def put(self, name: str, at: float) -> None:
        """Set the moment of a name, which is infinite for none."""
        if at == float("inf"):
            self._at.pop(name, None)
        elif self._at.get(name) != at:
            self._at[name] = at
            heapq.heappush(self._order, (at, name))
            if len(self._order) > 2 * len(self._at) + 64:
                self._order = [(at, name) for name, at in self._at.items()]
                heapq.heapify(self._order)

    def due(self, now: float) -> set[str]:
        """The names whose moment has come; they have none any more."""
        found = set()
        while self.next() <= now:
            name = heapq.heappop(self._order)[1]
            del self._at[name]
            found.add(name)
        return found

    def next(self) -> float:
        """The earliest moment."""
        while self._order:
            at, name = self._order[0]
            if self._at.get(name) == at:
                return at
            heapq.heappop(self._order)
        return float("inf")
