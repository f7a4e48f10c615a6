"""An aiohttp application as the site of an admin port."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from router.process.admin_server import LEAVE_S, Handling

WAITER = web.RequestKey("waiter", str)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class _Work:
    request: web.Request

    @property
    def awaits_body(self) -> bool:
        return self.request.can_read_body

    @property
    def waiter(self) -> str | None:
        return self.request.get(WAITER)


class WebSite:
    def __init__(self, app: web.Application) -> None:
        self._handling: Handling | None = None

        @web.middleware
        async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
            assert self._handling is not None
            with self._handling(request.protocol, _Work(request)):
                return await handler(request)

        app.middlewares.insert(0, note)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=LEAVE_S,
            handler_cancellation=True,
            auto_decompress=False,  # True would decompress even bodies that are refused unread
        )

    async def start(self, handling: Handling) -> None:
        self._handling = handling
        await self._runner.setup()

    def connection(self) -> asyncio.Protocol:
        assert self._runner.server is not None
        return self._runner.server()

    async def stop(self) -> None:
        await self._runner.cleanup()
