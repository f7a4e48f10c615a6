"""The states of a request on its way, and every move between them that is allowed.

An exchange has three at once, as h11 has one for each side: how far its body has come, how far
it is on its way to a replica, how far its answer is. What may happen depends on them and on
nothing else. A move that is not in its table is a mistake of ours, and raises.

Plain numbers and not an Enum: a move costs half as much interpreted, and next to nothing compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# --- the request's body
WITHHELD: Final = 0  # the client waits for "100 Continue", and may never send it
ARRIVING: Final = 1
COMPLETE: Final = 2  # or there is none

# --- the way to a replica
ROUTING: Final = 3  # by the table in force
DELAYED: Final = 4  # by an injected fault
QUEUED: Final = 5  # every replica has as many requests as it may have
CONNECTING: Final = 6
SENT: Final = 7  # a replica has it, or what there is of it
ENDED: Final = 8

# --- the answer
AWAITED: Final = 9
ANSWERING: Final = 10  # its head has been received; no other answer can be given any more
TUNNELLING: Final = 11
# From here on the exchange is over:
ANSWERED: Final = 12  # by the replica, to the end
REFUSED: Final = 13  # by the edge, in the replica's place
CUT: Final = 14  # begun, and not to be completed
ABANDONED: Final = 15  # the client has left

NAMES: Final = (
    "withheld", "arriving", "complete",
    "routing", "delayed", "queued", "connecting", "sent", "ended",
    "awaited", "answering", "tunnelling", "answered", "refused", "cut", "abandoned",
)  # fmt: skip

ROW: Final = 16  # more than there are states
MOVES: Final[Mapping[int, tuple[int, ...]]] = {
    WITHHELD: (ARRIVING, COMPLETE),
    ARRIVING: (COMPLETE,),
    COMPLETE: (),
    #
    ROUTING: (DELAYED, QUEUED, CONNECTING, SENT, ENDED),
    DELAYED: (ROUTING, ENDED),
    # Back to ROUTING when the replica that was waited for left the table: nothing was sent.
    QUEUED: (ROUTING, ENDED),
    CONNECTING: (ROUTING, SENT, ENDED),
    SENT: (ROUTING, ENDED),  # back when the connection broke and the request may be sent again
    ENDED: (),
    #
    AWAITED: (ANSWERING, TUNNELLING, REFUSED, ABANDONED),
    ANSWERING: (ANSWERED, CUT, ABANDONED),
    TUNNELLING: (ANSWERED,),
    ANSWERED: (),
    REFUSED: (),
    CUT: (),
    ABANDONED: (),
}


def allowed(moves: Mapping[int, tuple[int, ...]]) -> bytes:
    """A table of moves as a square of bytes: compiled, a look-up costs next to nothing."""
    return bytes(to in moves.get(at, ()) for at in range(ROW) for to in range(ROW))


_ALLOWED: Final = allowed(MOVES)


def moved(at: int, to: int) -> int:
    """The state after a move. Raises RuntimeError for one that is not allowed."""
    if not _ALLOWED[at * ROW + to]:
        raise RuntimeError(f"what is {NAMES[at]} cannot become {NAMES[to]}")
    return to
