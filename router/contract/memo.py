"""What was worked out of bytes that strangers choose, kept for the next time. Bounded in bytes."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")


class Memo(Generic[V]):
    """Readings of short keys. Loops look into `known` themselves: a hit is one dict look-up.

    A longer key is read anew each time, which only its sender pays for. When there are `most`, all
    are dropped: whoever sends that many new keys has had each of them read, and what others
    use is read once more. Keeping the old ones instead would let junk that came first stay for
    ever, and slow everybody down for ever.
    """

    __slots__ = ("_longest", "_most", "known")

    def __init__(self, *, most: int, longest: int) -> None:
        self._most = most
        self._longest = longest
        self.known: dict[bytes, V] = {}

    def keep(self, key: bytes, value: V) -> V:
        """Remember a reading; returns it."""
        if len(key) <= self._longest:
            if len(self.known) >= self._most:
                self.known.clear()
            self.known[key] = value
        return value
