"""Ids for requests that arrive without one."""

from __future__ import annotations

import os
from typing import Final

_AT_ONCE: Final = 256  # ids made from one read of the system's random source


class RequestIds:
    """Makes ids of 128 random bits in hexadecimal."""

    __slots__ = ("_at", "_made")

    def __init__(self) -> None:
        self._made = b""
        self._at = 0

    def new(self) -> bytes:
        at = self._at
        if at >= len(self._made):
            self._made = os.urandom(16 * _AT_ONCE).hex().encode()
            at = 0
        self._at = at + 32
        return self._made[at : at + 32]
