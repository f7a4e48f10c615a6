"""What a client's connection is doing, and every change of it that is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from router.forwarding.states import ROW, allowed

IDLE: Final = 0  # no request has begun, or the one before is over
HEAD: Final = 1  # a part of a head has arrived
BUSY: Final = 2  # an exchange is on; its body may still be arriving
DISCARDING: Final = 3  # it is over, but the rest of its body is still to come
CLOSING: Final = 4  # nothing is read any more; the client has time to take what it is owed
GONE: Final = 5  # lost, or a tunnel's

NAMES: Final = ("idle", "head", "busy", "discarding", "closing", "gone")

MOVES: Final[Mapping[int, tuple[int, ...]]] = {
    IDLE: (HEAD, BUSY, CLOSING, GONE),
    HEAD: (BUSY, CLOSING, GONE),
    BUSY: (IDLE, DISCARDING, CLOSING, GONE),
    DISCARDING: (IDLE, CLOSING, GONE),
    CLOSING: (GONE,),
    GONE: (),
}
_ALLOWED: Final = allowed(MOVES)


def moved(at: int, to: int) -> int:
    """The phase after a change. Raises RuntimeError for one that is not allowed."""
    if not _ALLOWED[at * ROW + to]:
        raise RuntimeError(f"a connection that is {NAMES[at]} cannot become {NAMES[to]}")
    return to
