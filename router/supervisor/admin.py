"""The router's admin endpoints: /metrics, /healthz, /readyz, /table."""

from __future__ import annotations

import dataclasses
import socket
from typing import TYPE_CHECKING

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from router.process.admin_server import AdminServer
from router.process.guard import guard, tokens_of
from router.process.tokens import Tokens
from router.supervisor.metrics import RouterCollector

if TYPE_CHECKING:
    from router.supervisor.supervisor import Reloads, Supervisor


class Admin:
    """The admin server of one router."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(RouterCollector(supervisor))
        self._server: AdminServer | None = None
        self._tokens: Tokens | None = None

    @property
    def address(self) -> str:
        """HOST:PORT, or unix:PATH, as bound; once started."""
        assert self._server is not None
        return self._server.address

    @property
    def listener(self) -> socket.socket:
        """The listening socket, once started."""
        assert self._server is not None
        return self._server.listener

    async def start(self, listener: socket.socket | None = None) -> None:
        """Serve, on a socket that was handed over if there is one."""
        settings = self._supervisor.settings
        is_local = settings.admin.startswith("unix:")  # whose file mode is its guard
        middlewares = []
        if not is_local:
            self._tokens = tokens_of(settings)
            middlewares = [guard(settings, self._tokens)]
        app = web.Application(middlewares=middlewares)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/table", self._table)
        self._server = AdminServer(
            app,
            settings.admin,
            listener=listener,
            max_connections=settings.admin_connections,
            silence_s=settings.admin_silence_s,
        )
        await self._server.start()

    async def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            await self._server.close()

    async def _metrics(self, request: web.Request) -> web.Response:
        await self._supervisor.refresh_stats()
        return exposition(self._registry, request.headers.get("Accept", ""))

    async def _healthz(self, _: web.Request) -> web.Response:
        trouble = self._tokens.trouble() if self._tokens is not None else ""
        return web.Response(text=f"{trouble or 'ok'}\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        supervisor = self._supervisor
        reloads = supervisor.reloads
        if reloads.is_refused and supervisor.settings.control:
            return web.Response(status=503, text=f"an older table is in force: {_refused(reloads)}")
        if supervisor.is_ready() or supervisor.is_upgrading:
            notes = [_refused(reloads)] if reloads.is_refused else []
            notes += [f"app {n} is refused: {w}\n" for n, w in supervisor.snapshot.refused.items()]
            return web.Response(text="".join(["ready\n", *notes]))
        ready, wanted = supervisor.workers_ready(), supervisor.settings.worker_count
        why = supervisor.reloads.last_failure or "no table yet"
        return web.Response(status=503, text=f"{ready} of {wanted} workers route: {why}\n")

    async def _table(self, _: web.Request) -> web.Response:
        wire = dataclasses.asdict(dataclasses.replace(self._supervisor.snapshot, delta=None))
        del wire["delta"]
        body = orjson.dumps(wire)
        return web.Response(body=body, content_type="application/json")


def exposition(registry: CollectorRegistry, accept: str) -> web.Response:
    """The registry as text, or as OpenMetrics for who accepts it."""
    encode, content_type = choose_encoder(accept)
    return web.Response(body=encode(registry), headers={"Content-Type": content_type})


def _refused(reloads: Reloads) -> str:
    return f"the newest table was refused: {reloads.last_failure}\n"
