"""Framed messages between supervisor and worker, over a socket pair.

A frame is four bytes of length, then JSON; a message that is longer than a frame may be is sent in
several, of which all but the last say so. EOF means that the other side is gone.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, cast

import orjson

from router.worker.messages import FromWorker, ToWorker

_LENGTH = struct.Struct("!I")
MAX_FRAME_BYTES = 16 << 20  # a greater length is a bug: nothing behind it could be understood
_MORE = 1 << 31  # in the length: the message goes on in the next frame


class Channel(asyncio.Protocol):
    """One end of a channel; calls `on_message` for each message and `on_lost` once.

    What comes in is what the other side of the same installation sends: its type is believed.
    """

    def __init__(self, on_message: Callable[[Any], None], on_lost: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._buffer = bytearray()
        self._parts: list[bytes] = []  # of a message whose last frame is still to come
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
        """Queue a message; nothing happens when the other side is gone."""
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
        """What was received of a message that is not complete."""
        frames = (_LENGTH.pack(len(part) | _MORE) + part for part in self._parts)
        return b"".join(frames) + self._buffer

    def begin_with(self, unread: bytes) -> None:
        """Go on behind what another reader of this end has received."""
        self.data_received(unread)

    def close(self) -> None:
        """Close this end after what is queued."""
        self._transport.close()
