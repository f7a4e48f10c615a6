"""/metrics, /healthz, /readyz and /table on the control plane's port.

With a router on the same host (`turnout up`) its answers are joined in, so that one port shows
the whole; a router elsewhere has an admin port of its own.
"""

from __future__ import annotations

import aiohttp
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from control.api.keys import TOKENS
from control.ops.health import Health
from control.ops.metrics import ControlCollector, ControlCounters
from control.store import Store

_EOF = b"# EOF\n"  # ends an OpenMetrics exposition


class AdminPages:
    def __init__(
        self, store: Store, health: Health, counters: ControlCounters, router_admin: str
    ) -> None:
        self._health = health
        self._publisher = health.publisher
        self._counters = counters
        self._router = router_admin.removeprefix("unix:")
        counters.registry.register(ControlCollector(store, health, counters))

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics: ours and the local router's."""
        accept = request.headers.get("Accept", "")
        encode, content_type = choose_encoder(accept)
        text = encode(self._counters.registry)
        status, routers = await self._ask("/metrics", accept)
        if status == 200:
            text = text.removesuffix(_EOF) + routers
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def healthz(self, request: web.Request) -> web.Response:
        """GET /healthz: the process lives, and what is wrong, a line each."""
        wrong = [*self._health.failures(), *self._health.notes()]
        if trouble := request.app[TOKENS].trouble():
            wrong.append(trouble)
        return web.Response(text="".join(f"{line}\n" for line in wrong or ["ok"]))

    async def readyz(self, _: web.Request) -> web.Response:
        """GET /readyz: there is a table, it can be changed, and routers route by it."""
        failures, notes = self._health.failures(), self._health.notes()
        if self._router:
            status, text = await self._ask("/readyz")
            (failures if status != 200 else notes).extend(_lines(text, "ready"))
        if failures:
            return web.Response(status=503, text="".join(f"{line}\n" for line in failures))
        return web.Response(text="".join(f"{line}\n" for line in ("ready", *notes)))

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


def _lines(text: bytes, but: str) -> list[str]:
    return [line for line in text.decode(errors="replace").splitlines() if line != but]
