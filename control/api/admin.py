"""/metrics, /healthz, /readyz and /table on the control plane's port.

With a router on the same host (`turnout up`) its answers are joined in, so that one port shows
the whole; a router elsewhere has an admin port of its own.
"""

from __future__ import annotations

import aiohttp
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from control.metrics import ControlCollector, ControlCounters
from control.publisher import Publisher
from control.store import Store

_EOF = b"# EOF\n"  # ends an OpenMetrics exposition


class AdminPages:
    """The pages that are not the API."""

    def __init__(
        self, store: Store, publisher: Publisher, counters: ControlCounters, router_admin: str
    ) -> None:
        self._publisher = publisher
        self._counters = counters
        self._router = router_admin.removeprefix("unix:")
        counters.registry.register(ControlCollector(store, counters))

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics: ours and the local router's."""
        accept = request.headers.get("Accept", "")
        encode, content_type = choose_encoder(accept)
        text = encode(self._counters.registry)
        status, routers = await self._ask("/metrics", accept)
        if status == 200:
            text = text.removesuffix(_EOF) + routers
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def healthz(self, _: web.Request) -> web.Response:
        """GET /healthz: the process lives."""
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        """GET /readyz: there is a table, and the local router routes by one."""
        if not self._publisher.snapshot():
            return web.Response(status=503, text="no table yet\n")
        if not self._router:
            return web.Response(text="ready\n")
        status, text = await self._ask("/readyz")
        return web.Response(status=status, body=text)

    async def table(self, _: web.Request) -> web.Response:
        """GET /table: the local router's table in force, or the one that is published."""
        status, text = await self._ask("/table") if self._router else (0, b"")
        body = text if status == 200 else self._publisher.snapshot()
        return web.Response(body=body, content_type="application/json")

    async def _ask(self, path: str, accept: str = "") -> tuple[int, bytes]:
        if not self._router:
            return 503, b""
        timeout = aiohttp.ClientTimeout(total=2)
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.UnixConnector(self._router), timeout=timeout
                ) as session,
                session.get(f"http://router{path}", headers={"Accept": accept}) as response,
            ):
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return 503, f"the router does not answer: {error}\n".encode()
