"""One worker process: its loop, its table, its connections.

The supervisor starts it as `python -m router.worker SLOT CHANNEL LISTENER…`, where all but the
first are inherited descriptors and each slot has one listener. The table changes by one assignment;
each exchange uses the table it began with. When the supervisor is gone, the worker serves on for a
while, so that a new one can take over.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from random import random
from typing import Any, cast

import uvloop

from router.contract.settings import RouterSettings
from router.contract.snapshot import app_from
from router.forwarding.access_log import AccessLog
from router.forwarding.context import Context
from router.http.fields import believe_only_proxies
from router.ingress.http1 import ClientConnection
from router.process.listeners import BACKLOG
from router.routing.table import AppRoutes, Compiler
from router.tracing.tracer import Tracer
from router.worker.channel import Channel
from router.worker.messages import Apps, Swap, ToWorker
from router.worker.sweeper import Sweeper

log = logging.getLogger("turnout.router")

# classes that have a protocol's methods without inheriting them: see pausable.py
_Factory = Callable[[], asyncio.Protocol]

_HEARTBEAT_S = 1.0
_DRAIN_POLL_S = 0.02
_ORPHAN_IDLE_S = 5.0  # for late requests on idle connections; nothing waits for an orphan to end
_FAREWELL_S = 3.0  # for the last tunnels to be told that they have to end
# A connection allocates about ten tracked objects; the default of 700 would collect every few dozen
# requests, and the request path leaves nothing in a cycle.
GC_THRESHOLD = (20_000, 20, 50)


class Worker:
    """One worker; runs until it is told to leave."""

    def __init__(
        self, slot: int, channel: socket.socket, listeners: Sequence[socket.socket]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listeners = dict(enumerate(listeners))  # by slot
        self._accepts_on = {slot}  # its own slot, and those it stands in for
        self._channel_socket = channel
        self._channel = Channel(self._on_message, self._on_supervisor_lost)
        self._edge: Context | None = None
        self._compiler: Compiler | None = None
        self._staged: dict[str, AppRoutes] = {}
        self._domain = "localhost"
        self._servers: dict[int, asyncio.Server] = {}
        self._left = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until drained."""
        self._loop.add_signal_handler(signal.SIGTERM, self._start_draining)
        # Ctrl-C signals the whole process group; the supervisor decides what to do.
        self._loop.add_signal_handler(signal.SIGINT, lambda: None)
        await self._loop.create_connection(lambda: self._channel, sock=self._channel_socket)
        await self._left.wait()
        self._channel.close()
        await asyncio.sleep(0)

    # --- what the supervisor says

    def _on_message(self, message: ToWorker) -> None:
        if message["type"] == "settings":
            self._begin(_settings_from(message["settings"]))
        elif message["type"] == "apps":
            self._stage(message)
        elif message["type"] == "swap":
            self._swap(message)
        elif message["type"] == "stats":
            self._report(message["asked"])
        elif message["type"] == "accept":
            if self._edge is not None and not self._edge.is_draining:
                self._accept_on(set(message["slots"]))
        elif message["type"] == "drain":
            self._start_draining(message["idle_s"], message["tunnels_s"])

    def _begin(self, settings: RouterSettings) -> None:
        believe_only_proxies(settings.trusted_only_fields)
        self._edge = edge = Context(settings, self._loop)
        self._compiler = Compiler(edge.registry, edge.stats)
        if settings.access_log:
            edge.access_log = AccessLog(
                settings.access_log,
                min_status=settings.access_log_min_status,
                min_s=settings.access_log_min_s,
            )
        if settings.otlp_endpoint:
            edge.tracer = Tracer(settings.trace_sample_percent, edge.ids)
        self._spawn(self._tick(edge))
        self._spawn(self._heartbeat(edge))

    def _accept_on(self, slots: set[int]) -> None:
        """Accept on the sockets of exactly these slots."""
        self._accepts_on = slots
        for slot in self._servers.keys() - slots:
            self._servers.pop(slot).close()
        if self._edge is not None:
            for slot in slots - self._servers.keys():
                self._spawn(self._listen(self._edge, slot))

    def _let_go(self, slots: set[int]) -> None:
        """Close our copies of the sockets of these slots.

        A socket that no worker accepts on must not outlive its supervisor: the kernel would go on
        giving it connections, and reset them when the last copy is closed.
        """
        for slot in slots & self._listeners.keys():
            self._listeners.pop(slot).close()

    async def _listen(self, edge: Context, slot: int) -> None:
        while slot in self._accepts_on:  # stop waiting when the slot is given up meanwhile
            try:
                # Closing the server would close the socket, which may be needed again, so it gets a
                # copy.
                listener = self._listeners[slot].dup()
                make = cast(_Factory, partial(ClientConnection, edge))
                server = await self._loop.create_server(make, sock=listener, backlog=BACKLOG)
            except OSError as error:
                if not self._servers:
                    raise  # without its socket this worker serves nobody; another may
                log.warning("event=not_stood_in slot=%d reason=%r", slot, str(error))
                await asyncio.sleep(_HEARTBEAT_S)
                continue
            if slot in self._accepts_on and slot not in self._servers:
                self._servers[slot] = server
            else:
                server.close()
            return

    async def _tick(self, edge: Context) -> None:
        sweeper = Sweeper(edge)
        while True:
            due = time.monotonic() + edge.settings.tick_s
            await asyncio.sleep(edge.settings.tick_s)
            sweeper.tick(time.monotonic() - due)
            self._send_spans(edge)

    async def _heartbeat(self, edge: Context) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_S)
            lifetime_s = edge.settings.metric_lifetime_s
            edge.stats.second_passed(edge.clock.now, lifetime_s, edge.table.apps)
            edge.registry.forget_departed()
            self._report(None)

    def _stage(self, message: Apps) -> None:
        """Compile some apps ahead of the swap, so that no single turn of the loop is long."""
        assert self._compiler is not None
        self._domain = message["domain"]
        for wire in message["apps"]:
            routes = self._compiler.app(app_from(wire), self._domain)
            self._staged[routes.spec.name] = routes
        gc.freeze()  # compiled apps live long: a collection over 10,000 of them takes 100 ms

    def _swap(self, message: Swap) -> None:
        edge, compiler = self._edge, self._compiler
        assert edge is not None
        assert compiler is not None
        staged, self._staged = self._staged, {}
        names = (*message["dropped"], *staged)
        old = {name: edge.table.apps[name] for name in names if name in edge.table.apps}
        edge.table = compiler.table(
            edge.table,
            domain=message["domain"],
            version=message["version"],
            epoch=message["epoch"],
            changed=staged.values(),
            dropped=message["dropped"],
        )
        for name, gone in old.items():
            try:
                compiler.retire(gone, staged.get(name))
            except Exception:  # a bug that concerns one app's requests must not refuse the table
                log.exception("event=retire_failed app=%s", name)
        gc.freeze()
        # the first table has come: only now can requests be answered
        if not self._servers and not edge.is_draining:
            self._accept_on(self._accepts_on)
        self._channel.send(
            {
                "type": "applied",
                "version": edge.table.version,
                "epoch": edge.table.epoch,
                # Sent now, not with the next report: a replica without a report counts as idle and
                # is ended.
                "departed": edge.registry.departed(),
            }
        )

    def _report(self, asked: int | None) -> None:
        edge = self._edge
        if edge is None:
            return
        if edge.access_log is not None:
            edge.stats.log_dropped = edge.access_log.dropped
        self._channel.send(
            {
                "type": "stats",
                "asked": asked,
                "stats": edge.stats.report(),
                "connections": len(edge.clients) + len(edge.tunnels),
                "upstream": edge.registry.connections(),
                "departed": edge.registry.departed(),
                "queued": edge.registry.queued(),
                "stalled": edge.stats.stalled,
            }
        )

    def _send_spans(self, edge: Context) -> None:
        spans, dropped = edge.tracer.take() if edge.tracer is not None else ([], 0)
        if spans:
            self._channel.send({"type": "spans", "spans": spans, "dropped": dropped})

    # --- leaving

    def _on_supervisor_lost(self) -> None:
        self._let_go(self._listeners.keys() - self._accepts_on)
        if self._edge is None:
            self._left.set()
            return
        settings = self._edge.settings
        self._loop.call_later(settings.orphan_grace_s, self._start_draining, _ORPHAN_IDLE_S)

    def _start_draining(self, idle_s: float = 0.0, tunnels_s: float = 0.0) -> None:
        edge = self._edge
        if edge is None:
            self._left.set()
        elif not edge.is_draining:
            edge.is_draining = True
            self._spawn(self._drain(edge, idle_s, tunnels_s))

    async def _drain(self, edge: Context, idle_s: float, tunnels_s: float) -> None:
        """Finish what is in flight.

        Every answer from now on closes its connection. Idle connections may bring one more request
        for a moment: closing them at once would drop requests that are already on their way.
        """
        self._accept_on(set())
        self._let_go(set(self._listeners))
        settings = edge.settings
        began = time.monotonic()
        for tunnel in edge.tunnels:
            tunnel.leave(began + tunnels_s + random() * settings.tunnel_spread_s)
        tunnels_end = began + tunnels_s + settings.tunnel_spread_s + _FAREWELL_S
        while edge.clients and time.monotonic() < began + idle_s:
            await asyncio.sleep(_DRAIN_POLL_S)
        edge.is_leaving = True
        for client in list(edge.clients):
            if isinstance(client, ClientConnection):
                client.drain()
        clients_end = max(time.monotonic(), began) + settings.drain_timeout_s
        while (edge.clients and time.monotonic() < clients_end) or (
            edge.tunnels and time.monotonic() < tunnels_end
        ):
            await asyncio.sleep(_DRAIN_POLL_S)
        for tunnel in list(edge.tunnels):
            tunnel.close()
        if edge.access_log is not None:
            edge.access_log.close()
        self._send_spans(edge)
        self._report(None)
        self._left.set()

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # A worker without its clock or listener is broken: exit with an error, to be replaced.
            self._loop.call_exception_handler(
                {"message": "a worker's task failed", "exception": task.exception()}
            )
            self._left.set()


def _settings_from(wire: dict[str, Any]) -> RouterSettings:
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in wire.items()}
    given["state"] = Path(wire["state"])
    return RouterSettings(**given)


def main() -> None:
    slot = int(sys.argv[1])
    channel, *listeners = (socket.socket(fileno=int(fd)) for fd in sys.argv[2:])
    gc.set_threshold(*GC_THRESHOLD)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:  # a client and its replica take two descriptors; distributions allow 1024
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def serve() -> None:
        await Worker(slot, channel, listeners).run()

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve())


if __name__ == "__main__":
    main()
