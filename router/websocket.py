"""Where the frames of a WebSocket end (RFC 6455 §5.2), so that one can be put between two.

Pure. It follows one direction without looking at payloads.
"""

from __future__ import annotations

GOING_AWAY = 1001
SERVICE_RESTART = 1012  # IANA's registry: "the service is restarting", so clients come back

_MASKED = 0x80
_CLOSE = 0x8
_SMALL = 126  # payload lengths from here on have bytes of their own


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

    def feed(self, data: bytes) -> None:
        """See the next bytes."""
        if not self._left and not self._head and 1 < len(data) == data[1] + 2 < _SMALL + 2:
            return  # one whole small frame: what most messages of a server are
        while data:
            if self._left:
                step = min(self._left, len(data))
                self._left -= step
                data = data[step:]
                continue
            needed = _head_size(self._head + data[:2])
            missing = needed - len(self._head)
            self._head, data = self._head + data[:missing], data[missing:]
            if len(self._head) == needed:
                self._left = _payload_size(self._head)
                self._head = b""


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
