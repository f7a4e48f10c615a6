"""Framed messages between supervisor and worker, over a socket pair.

A frame is four bytes of length, then JSON. EOF means that the other side is gone.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, cast

import orjson

Message = dict[str, Any]

_LENGTH = struct.Struct("!I")
MAX_FRAME_BYTES = 16 << 20  # apps are sent a hundred at a time; more is a bug, not a message


class Channel(asyncio.Protocol):
    """One end of a channel; calls `on_message` for each message and `on_lost` once."""

    def __init__(self, on_message: Callable[[Message], None], on_lost: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._buffer = bytearray()
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
            (size,) = _LENGTH.unpack_from(buffer, at)
            if size > MAX_FRAME_BYTES:
                self._transport.abort()
                return
            end = at + _LENGTH.size + size
            if len(buffer) < end:
                break
            message = orjson.loads(bytes(buffer[at + _LENGTH.size : end]))
            at = end
            self._on_message(message)
        del buffer[:at]

    def send(self, message: Message) -> None:
        """Queue a message; nothing happens when the other side is gone."""
        if not self._transport.is_closing():
            body = orjson.dumps(message)
            self._transport.write(_LENGTH.pack(len(body)) + body)

    @property
    def unread(self) -> bytes:
        """What was received of a message that is not complete."""
        return bytes(self._buffer)

    def begin_with(self, unread: bytes) -> None:
        """Go on behind what another reader of this end has received."""
        self._buffer += unread

    def close(self) -> None:
        """Close this end after what is queued."""
        self._transport.close()
