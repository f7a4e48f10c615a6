"""What has arrived of a request's body, kept for as long as it may have to be sent, or sent again.

Pure. Bounded: the client is held back before there is a connection, and afterwards a body that
grows beyond `replay_bytes` is let go of; its request is not sent a second time.
"""

from __future__ import annotations


class HeldBody:
    """The body of one request."""

    __slots__ = ("_most", "_pieces", "_size", "is_whole")

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0
        self.is_whole = True  # all that arrived is here

    def add(self, data: bytes) -> None:
        """Keep more of it."""
        if self.is_whole:
            self._pieces.append(data)
            self._size += len(data)

    @property
    def is_full(self) -> bool:
        """Whether it is more than is kept for a second time."""
        return self._size > self._most

    def behind(self, head: bytes) -> bytes:
        """The head and what there is of the body, to be sent in one call."""
        return b"".join((head, *self._pieces)) if self._pieces else head

    def let_go(self) -> None:
        """It will not be sent again."""
        self.is_whole = False
        self._pieces = []
