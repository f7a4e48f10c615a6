"""What has been received on a connection, and is not acted upon yet."""

from __future__ import annotations


class Backlog:
    """Bytes whose turn has not come; `at` is the first of them."""

    __slots__ = ("at", "data")

    def __init__(self) -> None:
        self.data = b""
        self.at = 0

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.data) - self.at

    def rest(self) -> bytes:
        """Them alone."""
        return self.data[self.at :]

    def keep(self, data: bytes, at: int) -> None:
        """Keep bytes from `at` on, instead of those that were here."""
        if at > len(data) // 2:  # let go of what was read; copying less than half stays linear
            data, at = data[at:], 0
        self.data, self.at = data, at

    def clear(self) -> None:
        """Their turn has come."""
        self.data, self.at = b"", 0
