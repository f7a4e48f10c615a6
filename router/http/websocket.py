"""Finds where WebSocket frames end (RFC 6455 §5.2), so that a frame can be inserted between two.

Pure. Follows one direction, without looking at payloads.
"""

from __future__ import annotations

from typing import Final

GOING_AWAY: Final = 1001
# IANA's registry: "Service Restart", after which clients connect again
SERVICE_RESTART: Final = 1012

_MASKED: Final = 0x80
_CLOSE: Final = 0x8
_SMALL: Final = 126  # from here on, payload lengths take further bytes
_LONGEST_HEAD: Final = 14  # bytes
# Frames followed in one go: at 0.4 us each about 2 ms; with more, a flood would delay everybody.
FRAMES_AT_ONCE: Final = 4096


class FrameBoundary:
    """Follows the frames of one direction of a connection."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""  # the incomplete head of a frame
        self._left = 0  # bytes of the frame's payload still to come

    @property
    def is_between_frames(self) -> bool:
        """Whether the last byte seen ended a frame."""
        return not self._left and not self._head

    def feed(self, data: bytes, at: int = 0, most: int = FRAMES_AT_ONCE) -> int:
        """Follow the bytes from offset `at`, at most `most` frames.

        Returns the offset behind them.
        """
        size = len(data)
        if self._head:
            at = self._end_head(data, at)
        at = self._skip(data, at + self._left)
        while at < size and most:
            most -= 1
            # A small payload without a mask: most messages of a server.
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
        """Complete a head that began in earlier bytes."""
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
        """Skip a payload up to offset `to`, which may lie beyond these bytes."""
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
    """Whether a frame that begins with these bytes is a Close frame."""
    return bool(data) and data[0] & 0x0F == _CLOSE


def close_frame(code: int) -> bytes:
    """A Close frame as a server sends it."""
    return b"\x88\x02" + code.to_bytes(2, "big")
