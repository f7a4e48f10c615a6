"""What a worker does at each tick: end what is late, and notice when its loop is late."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from router.forwarding.context import Context
from router.forwarding.shedding import Shedding
from router.routing.replicas import Replica

log: Final = logging.getLogger("turnout.router")


class Sweeper:
    """Ends what is late: one pass over plain numbers costs less than a timer per request."""

    __slots__ = ("_context", "_shedding")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._shedding = Shedding(context.settings.overload_lag_s)

    def tick(self, late_s: float) -> None:
        """Called every `tick_s`.

        `late_s` is how much later than planned, which requests waited, too.
        """
        context = self._context
        context.clock.tick()
        is_due = self._shedding.is_due(late_s)
        made = context.stats.requests_by_app() if is_due else {}
        context.shedding = self._shedding.shares(made) if is_due else {}
        self._sweep(context.clock.now)

    def _sweep(self, now: float) -> None:
        context = self._context
        for client in context.clients.late(now):
            _guarded(client.on_deadline)
        for tunnel in context.tunnels:
            _guarded(partial(tunnel.look, now))
        oldest = now - context.settings.upstream_idle_s
        for replica in context.registry:
            while replica.idle and replica.idle[0].idle_since < oldest:
                replica.idle.pop(0).close()
            if replica.queue and _has_room(replica, now):  # the replica came back, or is new
                _guarded(replica.admit_next)
        if context.access_log is not None:
            context.access_log.flush()


def _has_room(replica: Replica, now: float) -> bool:
    is_usable = not replica.departed and replica.ejected_until <= now
    return is_usable and replica.in_flight < replica.limit


def _guarded(act: Callable[[], None]) -> None:
    """Act on one connection; a bug that concerns it must not stop the clock for all."""
    try:
        act()
    except Exception:
        log.exception("event=sweep_failed")
