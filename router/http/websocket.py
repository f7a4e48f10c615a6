"""Where the frames of a WebSocket end (RFC 6455 §5.2), so that one can be put between two.

Pure. It follows one direction without looking at payloads.
"""

from __future__ import annotations

from typing import Final

GOING_AWAY: Final = 1001
SERVICE_RESTART: Final = 1012  # IANA's registry: "the service is restarting", so clients come back

_MASKED: Final = 0x80
_CLOSE: Final = 0x8
_SMALL: Final = 126  # payload lengths from here on have bytes of their own
_LONGEST_HEAD: Final = 14  # bytes
# Frames followed at once: at 0.4 us each about 2 ms, or everybody else would wait for a flood.
FRAMES_AT_ONCE: Final = 4096


class FrameBoundary:
    """Follows a stream of frames."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""  # of a frame whose head is not complete
        self._left = 0  # bytes of the frame's payload that are still to come

    @property
    def is_between_frames(self) -> bool:
        """Whether the last byte seen was the last one of a frame."""
        return not self._left and not self._head

    def feed(self, data: bytes, at: int = 0, most: int = FRAMES_AT_ONCE) -> int:
        """See the bytes from `at` on, of at most `most` frames; returns the offset behind them."""
        size = len(data)
        if self._head:
            at = self._end_head(data, at)
        at = self._skip(data, at + self._left)
        while at < size and most:
            most -= 1
            # A small payload without a mask, which is what most messages of a server are.
            step = 2 + data[at + 1] if at + 1 < size else 0
            if not 0 < step < 2 + _SMALL:
                head = data[at : at + _LONGEST_HEAD]
                needed = _head_size(head)
                if len(head) < needed:
                    self._head = head
                    return size
                step = needed + _payload_size(head)
            at = self._skip(data, at + step)
        return at

    def _end_head(self, data: bytes, at: int) -> int:
        """Complete a head that began in bytes before these."""
        head = self._head + data[at : at + _LONGEST_HEAD]
        needed = _head_size(head)
        if len(head) < needed:
            self._head = head
            return len(data)
        at += needed - len(self._head)
        self._head = b""
        self._left = _payload_size(head)
        return at

    def _skip(self, data: bytes, to: int) -> int:
        """Pass over a payload that ends at `to`, which may lie behind these bytes."""
        self._left = max(0, to - len(data))
        return min(to, len(data))


def _head_size(start: bytes) -> int:
    if len(start) < 2:
        return 2
    length = start[1] & 0x7F
    extended = 0 if length < _SMALL else 2 if length == _SMALL else 8
    return 2 + extended + (4 if start[1] & _MASKED else 0)


def _payload_size(head: bytes) -> int:
    length = head[1] & 0x7F
    if length < _SMALL:
        return length
    return int.from_bytes(head[2:4] if length == _SMALL else head[2:10], "big")


def is_close(data: bytes) -> bool:
    """Whether bytes that begin a frame begin a Close."""
    return bool(data) and data[0] & 0x0F == _CLOSE


def close_frame(code: int) -> bytes:
    """A server's Close frame."""
    return b"\x88\x02" + code.to_bytes(2, "big")
