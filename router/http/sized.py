"""A body of known length, read with the same calls as a chunked one. Pure."""

from __future__ import annotations


class SizedDecoder:
    """Passes on one body of `length` bytes; `at` is where it stopped in the last ones fed."""

    __slots__ = ("_left", "at")

    trailers: tuple[()] = ()

    def __init__(self, length: int) -> None:
        self._left = length
        self.at = 0

    @property
    def done(self) -> bool:
        """Whether the body is complete."""
        return not self._left

    def feed(self, data: bytes, at: int = 0) -> list[bytes]:
        """The body's bytes in `data` from `at` on."""
        end = min(at + self._left, len(data))
        self._left -= end - at
        self.at = end
        return [data if not at and end == len(data) else data[at:end]]
