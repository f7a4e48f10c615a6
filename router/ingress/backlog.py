"""What has been received on a connection, and is not acted upon yet."""

from __future__ import annotations


class Backlog:
    """Bytes whose turn has not come; `at` is the first of them. Few connections ever have one."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int) -> None:
        if at > len(data) // 2:  # let go of what was read; copying less than half stays linear
            data, at = data[at:], 0
        self.data = data
        self.at = at

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.data) - self.at

    def rest(self) -> bytes:
        """Them alone."""
        return self.data[self.at :]
