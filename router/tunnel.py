"""Opaque bytes both ways, after a 101: WebSocket and whatever else was agreed upon.

A half-close is carried over, bytes that came behind the heads go first, and a side that cannot
write stops the other from reading. When its revision or worker leaves, a tunnel lives on for a
while; then a WebSocket is told to come back by a Close frame between two frames of its own.
"""

from __future__ import annotations

import asyncio
from random import random
from typing import TYPE_CHECKING, cast

from router.websocket import GOING_AWAY, SERVICE_RESTART, FrameBoundary, close_frame, is_close

if TYPE_CHECKING:
    from router.edge import Edge
    from router.exchange import Exchange

_FAREWELL_S = 2.0  # for the frame that is being sent to end, and for the client's own Close
_NEVER = float("inf")


class Tunnel:
    """Both directions of one upgraded connection."""

    __slots__ = (
        "_close_code",
        "_edge",
        "_ends",
        "_exchange",
        "_frames",
        "_is_closed",
        "_leaves_at",
        "_peer",
        "deadline",
        "has_said_goodbye",
        "is_leaving",
    )

    def __init__(
        self,
        edge: Edge,
        exchange: Exchange,
        client: asyncio.Transport,
        upstream: asyncio.Transport,
        protocol: bytes,
    ) -> None:
        self._edge = edge
        self._exchange = exchange
        self._peer = exchange.client.peer
        self._is_closed = False
        self._leaves_at = _NEVER
        self._close_code = GOING_AWAY
        self.is_leaving = False
        self.has_said_goodbye = False  # the client was sent a Close: nothing may follow it
        self._frames = FrameBoundary() if protocol.lower() == b"websocket" else None
        self.deadline = edge.now + edge.settings.tunnel_idle_s
        self._ends = (
            _End(self, client, upstream, None),
            _End(self, upstream, client, self._frames),
        )
        edge.tunnels.add(self)
        if exchange.revision is not None:
            exchange.revision.stats.tunnels += 1

    def begin(self, behind_the_head: bytes) -> None:
        """Take both transports over; the replica's first bytes have been sent already."""
        if self._frames is not None:
            self._frames.feed(behind_the_head)
        for end in self._ends:
            end.source.set_protocol(end)
            end.source.resume_reading()

    def moved(self) -> None:
        """Bytes moved: the idle limit starts again."""
        if not self.is_leaving:
            self.deadline = self._edge.now + self._edge.settings.tunnel_idle_s

    # --- leaving

    def look(self, now: float) -> None:
        """Called by the sweeper: end what is idle, and what has to leave."""
        if self.deadline < now:
            self.close()
        elif self.is_leaving:
            pass
        elif self._leaves_at < now:
            self._begin_leaving(now)
        elif self._leaves_at == _NEVER:
            replica = self._exchange.replica
            if replica is not None and replica.departed:
                settings = self._edge.settings
                spread = random() * settings.tunnel_spread_s
                self._leaves_at = now + settings.tunnel_drain_s + spread

    def leave(self, at: float) -> None:
        """The worker leaves: the tunnel has to end at that time of the edge's clock."""
        self._leaves_at = min(self._leaves_at, at)
        self._close_code = SERVICE_RESTART

    def _begin_leaving(self, now: float) -> None:
        self.is_leaving = True
        if self._frames is None:
            self.close()
        else:
            self.deadline = now + _FAREWELL_S
            self.say_goodbye()

    def say_goodbye(self) -> None:
        """Put a Close frame between two frames; the connection ends when the client answers."""
        if self._frames is not None and self._frames.is_between_frames:
            self.has_said_goodbye = True
            self._ends[0].source.write(close_frame(self._close_code))

    def close(self) -> None:
        """End both directions, sending first what is already buffered."""
        if self._is_closed:
            return
        self._is_closed = True
        for end in self._ends:
            end.source.close()
        self._edge.tunnels.discard(self)
        self._edge.left(self._peer)
        if self._exchange.revision is not None:
            self._exchange.revision.stats.tunnels -= 1
        self._exchange.account(101)


class _End(asyncio.Protocol):
    """Reads from `source`, writes to `sink`."""

    __slots__ = ("_frames", "_has_ended", "sink", "source", "tunnel")

    def __init__(
        self,
        tunnel: Tunnel,
        source: asyncio.Transport,
        sink: asyncio.Transport,
        frames: FrameBoundary | None,
    ) -> None:
        self.tunnel = tunnel
        self.source = source
        self.sink = sink
        self._frames = frames
        self._has_ended = False

    def data_received(self, data: bytes) -> None:
        tunnel, frames = self.tunnel, self._frames
        if frames is None:
            tunnel.moved()
            self.sink.write(data)
            if tunnel.has_said_goodbye and is_close(data):
                tunnel.close()
        elif not tunnel.has_said_goodbye:
            tunnel.moved()
            self.sink.write(data)
            frames.feed(data)
            if tunnel.is_leaving:
                tunnel.say_goodbye()

    def eof_received(self) -> bool:
        self._has_ended = True
        opposite = cast(_End, self.sink.get_protocol())
        is_last = opposite._has_ended or self.tunnel.has_said_goodbye  # noqa: SLF001 - other end
        if is_last or not self.sink.can_write_eof():
            self.tunnel.close()
            return False
        self.sink.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.tunnel.close()

    # The source's transport reports that *it* cannot write, so what feeds it must wait.
    def pause_writing(self) -> None:
        self.sink.pause_reading()

    def resume_writing(self) -> None:
        if not self.sink.is_closing():
            self.sink.resume_reading()
