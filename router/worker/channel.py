"""Framed messages between supervisor and worker, over a socket pair.

A frame is four bytes of length, then JSON. A message too long for a frame is sent in several; all
but the last are marked as unfinished. EOF means that the other side is gone.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, cast

import orjson

from router.worker.messages import FromWorker, ToWorker

_LENGTH = struct.Struct("!I")
MAX_FRAME_BYTES = 16 << 20  # a greater length is a bug: the stream could not be understood any more
_MORE = 1 << 31  # a bit of the length: the message goes on in the next frame


class Channel(asyncio.Protocol):
    """One end of a channel; calls `on_message` for each message and `on_lost` once.

    Messages come from the same installation, so their types are trusted.
    """

    def __init__(self, on_message: Callable[[Any], None], on_lost: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._buffer = bytearray()
        self._parts: list[bytes] = []  # parts of a message whose last frame has not arrived
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, at)
            size = length & ~_MORE
            if size > MAX_FRAME_BYTES:
                self._transport.abort()
                return
            end = at + _LENGTH.size + size
            if len(buffer) < end:
                break
            self._parts.append(bytes(buffer[at + _LENGTH.size : end]))
            at = end
            if not length & _MORE:
                message = orjson.loads(b"".join(self._parts))
                self._parts.clear()
                self._on_message(message)
        del buffer[:at]

    def send(self, message: ToWorker | FromWorker) -> None:
        """Queue a message; does nothing when the other side is gone."""
        if not self._transport.is_closing():
            body = orjson.dumps(message)
            while len(body) > MAX_FRAME_BYTES:
                self._transport.write(_LENGTH.pack(MAX_FRAME_BYTES | _MORE))
                self._transport.write(body[:MAX_FRAME_BYTES])
                body = body[MAX_FRAME_BYTES:]
            self._transport.write(_LENGTH.pack(len(body)) + body)

    @property
    def is_sent(self) -> bool:
        """Whether all that was sent before this turn of the loop is in the socket, or lost."""
        return self._transport.is_closing() or not self._transport.get_write_buffer_size()

    @property
    def unread(self) -> bytes:
        """The bytes received of an incomplete message."""
        frames = (_LENGTH.pack(len(part) | _MORE) + part for part in self._parts)
        return b"".join(frames) + self._buffer

    def begin_with(self, unread: bytes) -> None:
        """Start with bytes that an earlier reader of this end had received."""
        self.data_received(unread)

    def close(self) -> None:
        """Close this end once queued messages are written."""
        self._transport.close()
