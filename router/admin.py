"""The router's admin endpoints: /metrics, /healthz, /readyz, /table (product.md §3)."""

from __future__ import annotations

import dataclasses
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from router.config import BadSettings
from router.listeners import address_of, bind_admin
from router.metrics import RouterCollector
from router.settings import is_loopback
from router.tokens import Token, Tokens

if TYPE_CHECKING:
    from router.supervisor import Supervisor

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LEAVE_S = 2.0  # for answers being written; a long poll is cancelled when its client goes
_OPEN_PATHS = ("/healthz", "/readyz", "/metrics")


class Admin:
    """The admin server of one router."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(RouterCollector(supervisor))
        self._runner: web.AppRunner | None = None
        self._address = supervisor.settings.admin
        self._listener: socket.socket | None = None

    @property
    def address(self) -> str:
        """HOST:PORT, or unix:PATH, as bound."""
        return self._address

    @property
    def listener(self) -> socket.socket:
        """The listening socket, once started."""
        assert self._listener is not None
        return self._listener

    async def start(self, listener: socket.socket | None = None) -> None:
        """Serve, on a socket that was handed over if there is one."""
        settings = self._supervisor.settings
        app = web.Application(middlewares=[guard(settings)])
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/table", self._table)
        self._listener = listener or bind_admin(settings.admin)
        self._runner, self._address = await serve(app, settings.admin, self._listener)

    async def close(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        await self._supervisor.refresh_stats()
        return exposition(self._registry, request.headers.get("Accept", ""))

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        supervisor = self._supervisor
        if supervisor.is_ready() or supervisor.is_upgrading:
            return web.Response(text="ready\n")
        ready, wanted = supervisor.workers_ready(), supervisor.settings.worker_count
        why = supervisor.reloads.last_failure or "no table yet"
        return web.Response(status=503, text=f"{ready} of {wanted} workers route: {why}\n")

    async def _table(self, _: web.Request) -> web.Response:
        body = orjson.dumps(dataclasses.asdict(self._supervisor.snapshot))
        return web.Response(body=body, content_type="application/json")


def exposition(registry: CollectorRegistry, accept: str) -> web.Response:
    """The registry as text, or as OpenMetrics for who accepts it."""
    encode, content_type = choose_encoder(accept)
    return web.Response(body=encode(registry), headers={"Content-Type": content_type})


async def serve(
    app: web.Application,
    address: str,
    listener: socket.socket | None = None,
    tls: ssl.SSLContext | None = None,
) -> tuple[web.AppRunner, str]:
    """Serve on HOST:PORT or unix:PATH; returns the address as bound. Raises OSError."""
    if listener is None:
        listener = bind_admin(address)
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=_LEAVE_S, handler_cancellation=True
    )
    await runner.setup()
    await web.SockSite(runner, listener, ssl_context=tls).start()
    return runner, address if address.startswith("unix:") else address_of(listener)


class Guarded(Protocol):
    """The settings of an admin port."""

    @property
    def admin(self) -> str:
        """Its address."""

    @property
    def token_file(self) -> str:
        """The file of its tokens, or nothing."""

    @property
    def protect_metrics(self) -> bool:
        """Whether /metrics and /readyz ask for a token too."""


TOKEN = web.RequestKey("token", Token)


def guard(settings: Guarded, more_open: Sequence[str] = ()) -> Middleware:
    """A middleware that asks for a token; required once the port can be reached from outside."""
    tokens = Tokens(settings.token_file)
    if not tokens and not is_loopback(settings.admin):
        raise BadSettings(
            f"admin: {settings.admin} can be reached from outside; give a --token-file"
        )
    open_paths = (*(("/healthz",) if settings.protect_metrics else _OPEN_PATHS), *more_open)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not tokens or request.path in open_paths:
            return await handler(request)
        token = tokens.find(request.headers.get("Authorization", ""))
        if token is None:
            headers = {"WWW-Authenticate": "Bearer"}
            return _refusal(401, "AuthenticationFailed", "Send a bearer token.", headers)
        if token.role == "read" and not _only_reads(request):
            sentence = f"The token {token.name} may only read; this needs the role write."
            return _refusal(403, "AuthorizationFailed", sentence)
        request[TOKEN] = token
        return await handler(request)

    return check


def _only_reads(request: web.Request) -> bool:
    """GET, what a router reports, and what is only tried."""
    is_trial = request.query.get("dryRun", "").lower() == "true"
    return (
        request.method in ("GET", "HEAD")
        or (request.method, request.path) == ("POST", "/v1/sync")
        or (is_trial and request.method in ("PUT", "PATCH"))
    )


def _refusal(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    error = {"error": {"code": code, "message": message}}
    return web.json_response(error, status=status, headers=headers)
