"""Caches what was parsed from bytes that clients choose. Bounded in bytes."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")


class Memo(Generic[V]):
    """Parsed values by short keys. Hot loops look into `known` directly: a hit is one dict look-up.

    A longer key is parsed each time, which costs only its sender. When there are `most` entries,
    all are dropped: a client that sends that many new keys has paid for parsing each, and keys that
    others use are parsed once more. Keeping old entries instead would let junk that came first
    stay, and slow down everybody else, for ever.
    """

    __slots__ = ("_longest", "_most", "known")

    def __init__(self, *, most: int, longest: int) -> None:
        self._most = most
        self._longest = longest
        self.known: dict[bytes, V] = {}

    def keep(self, key: bytes, value: V) -> V:
        """Store a parsed value and return it."""
        if len(key) <= self._longest:
            if len(self.known) >= self._most:
                self.known.clear()
            self.known[key] = value
        return value
