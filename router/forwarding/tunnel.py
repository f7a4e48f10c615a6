"""Opaque bytes both ways, after a 101: WebSocket and whatever else was agreed upon.

A half-close is carried over, bytes that came behind the heads go first, and a side that cannot
write stops the other from reading. When its revision or worker leaves, a tunnel lives on for a
while; then a WebSocket is told to come back by a Close frame between two frames of its own. A
side that takes nothing for `write_timeout_s` is given up, whatever the other side does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from random import random
from typing import Final, cast

from router.contract.settings import RouterSettings
from router.http.seams import Agreed
from router.http.websocket import GOING_AWAY, SERVICE_RESTART, FrameBoundary, close_frame, is_close
from router.loop.clock import Clock
from router.loop.outbox import Outbox
from router.loop.unsent import reset, unsent_bytes
from router.routing.stats import WorkerStats

_FAREWELL_S = 2.0  # for the frame that is being sent to end, and for the client's own Close
_NEVER: Final = float("inf")


class Tunnels:
    """All tunnels of a worker, and what they share."""

    __slots__ = ("_open", "clock", "outbox", "settings", "stats")

    def __init__(
        self, clock: Clock, outbox: Outbox, settings: RouterSettings, stats: WorkerStats
    ) -> None:
        self.clock = clock
        self.outbox = outbox
        self.settings = settings
        self.stats = stats
        self._open: set[Tunnel] = set()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Tunnel]:
        return iter(list(self._open))

    def new(
        self,
        agreed: Agreed,
        client: asyncio.Transport,
        replica: asyncio.Transport,
        gone: Callable[[], None],
    ) -> Tunnel:
        """A new one; `gone` is called once both its ends are."""
        tunnel = Tunnel(self, agreed, client, replica, gone)
        self._open.add(tunnel)
        return tunnel

    def forget(self, tunnel: Tunnel) -> None:
        """Both ends of it are gone."""
        self._open.discard(tunnel)


class Tunnel:
    """Both directions of one upgraded connection."""

    __slots__ = (
        "_agreed",
        "_all",
        "_client",
        "_close_code",
        "_frames",
        "_gone",
        "_idle_s",
        "_is_closed",
        "_leaves_at",
        "_replica",
        "deadline",
        "has_said_goodbye",
        "is_leaving",
    )

    def __init__(
        self,
        tunnels: Tunnels,
        agreed: Agreed,
        client: asyncio.Transport,
        replica: asyncio.Transport,
        gone: Callable[[], None],
    ) -> None:
        self._all = tunnels
        self._agreed = agreed
        self._gone = gone
        self._is_closed = False
        self._leaves_at = _NEVER
        self._close_code = GOING_AWAY
        self.is_leaving = False
        self.has_said_goodbye = False  # the client was sent a Close: nothing may follow it
        self._frames = FrameBoundary() if agreed.is_websocket else None
        self._idle_s = tunnels.settings.tunnel_idle_s
        self.deadline = tunnels.clock.now + self._idle_s
        self._client = _End(self, tunnels, client, None)
        self._replica = _End(self, tunnels, replica, self._frames)
        self._client.opposite, self._replica.opposite = self._replica, self._client

    def begin(
        self,
        behind_the_head: bytes,
        *,
        client_is_blocked: bool,
        client_has_ended: bool,
        replica_is_blocked: bool,
    ) -> None:
        """Take both transports over, as they are; `behind_the_head` came from the replica."""
        self._client.begin(is_blocked=client_is_blocked)
        self._replica.begin(is_blocked=replica_is_blocked)
        if behind_the_head:
            self._replica.data_received(behind_the_head)
        if client_has_ended:
            self._client.eof_received()

    def moved(self) -> None:
        """Bytes moved: the idle limit starts again."""
        if not self.is_leaving and not self._is_closed:
            self.deadline = self._all.clock.now + self._idle_s

    def half_closed(self) -> None:
        """One side has ended: the other may finish, but not keep its place by saying nothing."""
        self._idle_s = min(self._idle_s, self._all.settings.body_idle_timeout_s)
        self.moved()

    # --- leaving

    def look(self, now: float) -> None:
        """Called by the sweeper: end what is idle or stalled, and what has to leave."""
        if self._is_closed or self._client.is_blocked or self._replica.is_blocked:
            since = now - self._all.settings.write_timeout_s
            if self._client.has_stalled(now, since) or self._replica.has_stalled(now, since):
                self._give_up()
        if self._is_closed:
            pass
        elif self.deadline < now:
            self.close()
        elif self.is_leaving:
            pass
        elif self._leaves_at < now:
            self._begin_leaving(now)
        elif self._leaves_at == _NEVER and self._agreed.replica_has_left:
            settings = self._all.settings
            spread = random() * settings.tunnel_spread_s  # or all would come back at once
            self._leaves_at = now + settings.tunnel_drain_s + spread

    def leave(self, at: float) -> None:
        """The worker leaves: the tunnel has to end at that time of the worker's clock."""
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
        is_open = not self._replica.has_ended  # else the client was told that nothing follows
        if self._frames is not None and is_open and self._frames.is_between_frames:
            self.has_said_goodbye = True
            self._client.write(close_frame(self._close_code))

    # --- the end

    def close(self, *, is_stalled: bool = False) -> None:
        """End both directions, sending first what is already buffered."""
        if self._is_closed:
            return
        self._is_closed = True
        self._client.close()
        self._replica.close()
        self._agreed.end(is_stalled=is_stalled)

    def _give_up(self) -> None:
        """One side takes nothing: both ends are reset, as neither got all it was sent."""
        self.close(is_stalled=True)
        for end in (self._client, self._replica):
            if not end.is_lost:
                reset(end.transport)

    def lost(self) -> None:
        """One end is gone; the tunnel is, once both are."""
        self.close()
        if self._client.is_lost and self._replica.is_lost:
            self._all.forget(self)
            self._gone()
            self._client.opposite = self._replica.opposite = None  # no cycle for the collector


class _End:
    """One side: what it sends goes to the opposite one."""

    __slots__ = (
        "_all",
        "_frames",
        "_moved_at",
        "_tunnel",
        "_unsent",
        "has_ended",
        "is_blocked",
        "is_lost",
        "opposite",
        "rest",
        "transport",
    )

    def __init__(
        self,
        tunnel: Tunnel,
        tunnels: Tunnels,
        transport: asyncio.Transport,
        frames: FrameBoundary | None,
    ) -> None:
        self._tunnel: Tunnel | None = tunnel
        self._all = tunnels
        self.transport = transport
        self.opposite: _End | None = None
        self._frames = frames
        self.rest = b""  # received, and not yet followed
        self.has_ended = False
        self.is_blocked = False
        self._unsent = 0
        self._moved_at = tunnels.clock.now
        self.is_lost = False

    def begin(self, *, is_blocked: bool) -> None:
        """Take the transport over."""
        self.transport.set_protocol(cast(asyncio.Protocol, self))
        if is_blocked:
            self.pause_writing()
        if self.opposite is not None and not self.opposite.is_blocked:
            self.transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Send bytes to this side."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        """Send what is owed, then close."""
        self._moved_at = self._all.clock.now
        self.transport.close()

    def has_stalled(self, now: float, since: float) -> bool:
        """Whether this side is owed bytes and has taken none since then."""
        if self.is_lost or not (self.is_blocked or self.transport.is_closing()):
            return False
        unsent = unsent_bytes(self.transport)
        if unsent != self._unsent:
            self._unsent, self._moved_at = unsent, now
        return self._moved_at < since

    # --- what the loop tells

    def data_received(self, data: bytes) -> None:
        tunnel, opposite = self._tunnel, self.opposite
        if tunnel is None or opposite is None:
            return
        tunnel.moved()
        if self._frames is not None:
            self._follow(tunnel, opposite, self._frames, data)
            return
        opposite.write(data)
        if tunnel.has_said_goodbye and is_close(data):
            tunnel.close()

    def _follow(self, tunnel: Tunnel, opposite: _End, frames: FrameBoundary, data: bytes) -> None:
        """Send on, knowing where the frames end; as many as one turn of the loop should follow."""
        if tunnel.has_said_goodbye:
            return
        at = frames.feed(data)
        opposite.write(data if at == len(data) else data[:at])
        if tunnel.is_leaving:
            tunnel.say_goodbye()
        if at < len(data):
            self.rest = data[at:]
            self.transport.pause_reading()
            self._all.outbox.next_turn(self._go_on)

    def _go_on(self) -> None:
        data, self.rest = self.rest, b""
        opposite = self.opposite
        if opposite is None or self.is_lost:
            return
        if not opposite.is_blocked:
            self.transport.resume_reading()
        self.data_received(data)

    def eof_received(self) -> bool:
        tunnel, opposite = self._tunnel, self.opposite
        if tunnel is None or opposite is None:
            return False
        self.has_ended = True
        is_last = opposite.has_ended or tunnel.has_said_goodbye
        if is_last or opposite.transport.is_closing() or not opposite.transport.can_write_eof():
            tunnel.close()
            return False
        opposite.transport.write_eof()
        tunnel.half_closed()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._unblock()
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.lost()

    # This side cannot write, so the one that feeds it must wait.
    def pause_writing(self) -> None:
        if not self.is_blocked:
            self.is_blocked = True
            self._all.stats.stalled += 1
            self._unsent, self._moved_at = -1, self._all.clock.now
        if self.opposite is not None:
            self.opposite.transport.pause_reading()

    def resume_writing(self) -> None:
        self._unblock()
        opposite = self.opposite
        if opposite is not None and not opposite.rest and not opposite.transport.is_closing():
            opposite.transport.resume_reading()

    def _unblock(self) -> None:
        if self.is_blocked:
            self.is_blocked = False
            self._all.stats.stalled -= 1
