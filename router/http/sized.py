"""Reads a body of known length through the same calls as a chunked body. Pure."""

from __future__ import annotations


class SizedDecoder:
    """Passes on a body of `length` bytes; `at` is where it stopped in the last bytes fed."""

    __slots__ = ("_left", "at")

    trailers: tuple[()] = ()

    def __init__(self, length: int) -> None:
        self._left = length
        self.at = 0

    @property
    def done(self) -> bool:
        return not self._left

    def feed(self, data: bytes, at: int = 0) -> list[bytes]:
        """The bytes in `data` from offset `at` that belong to the body."""
        end = min(at + self._left, len(data))
        self._left -= end - at
        self.at = end
        return [data if not at and end == len(data) else data[at:end]]
