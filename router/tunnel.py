"""Opaque bytes both ways, after a 101: WebSocket and whatever else was agreed upon.

A half-close is carried over, bytes that came behind the heads go first, and a side that cannot
write stops the other from reading.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from router.edge import Edge
    from router.exchange import Exchange


class Tunnel:
    """Both directions of one upgraded connection."""

    __slots__ = ("_edge", "_ends", "_exchange", "_is_closed", "deadline")

    def __init__(
        self,
        edge: Edge,
        exchange: Exchange,
        client: asyncio.Transport,
        upstream: asyncio.Transport,
    ) -> None:
        self._edge = edge
        self._exchange = exchange
        self._is_closed = False
        self.deadline = edge.now + edge.settings.tunnel_idle_s
        self._ends = (_End(self, client, upstream), _End(self, upstream, client))
        edge.tunnels.add(self)
        if exchange.revision is not None:
            exchange.revision.stats.tunnels += 1

    def begin(self) -> None:
        """Take both transports over."""
        for end in self._ends:
            end.source.set_protocol(end)
            end.source.resume_reading()

    def moved(self) -> None:
        """Bytes moved: the idle limit starts again."""
        self.deadline = self._edge.now + self._edge.settings.tunnel_idle_s

    def close(self) -> None:
        """End both directions, sending first what is already buffered."""
        if self._is_closed:
            return
        self._is_closed = True
        for end in self._ends:
            end.source.close()
        self._edge.tunnels.discard(self)
        if self._exchange.revision is not None:
            self._exchange.revision.stats.tunnels -= 1
        self._exchange.account(101)


class _End(asyncio.Protocol):
    """Reads from `source`, writes to `sink`."""

    __slots__ = ("_has_ended", "sink", "source", "tunnel")

    def __init__(self, tunnel: Tunnel, source: asyncio.Transport, sink: asyncio.Transport) -> None:
        self.tunnel = tunnel
        self.source = source
        self.sink = sink
        self._has_ended = False

    def data_received(self, data: bytes) -> None:
        self.tunnel.moved()
        self.sink.write(data)

    def eof_received(self) -> bool:
        self._has_ended = True
        opposite = cast(_End, self.sink.get_protocol())
        if opposite._has_ended or not self.sink.can_write_eof():  # noqa: SLF001 - the other end
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
