"""The router's admin endpoints: /metrics, /healthz, /readyz, /table."""

from __future__ import annotations

import dataclasses
import socket
from typing import TYPE_CHECKING

import orjson
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from router.process.admin.pages import Asked, Page, Pages, page_of
from router.process.admin.refusals import (
    Refusal,
    beyond_its_role,
    known_hosts,
    of_a_page,
    open_paths,
    tokens_of,
    without_token,
)
from router.process.admin_server import AdminServer
from router.process.tokens import Tokens
from router.supervisor.metrics import RouterCollector

if TYPE_CHECKING:
    from router.supervisor.supervisor import Reloads, Supervisor


class Admin:
    """The admin port of one router."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(RouterCollector(supervisor))
        self._server: AdminServer | None = None
        self._tokens: Tokens | None = None
        self._pages = {
            "/metrics": self._metrics,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/table": self._table,
        }

    @property
    def address(self) -> str:
        """The bound address, HOST:PORT or unix:PATH; only after `start`."""
        assert self._server is not None
        return self._server.address

    @property
    def listener(self) -> socket.socket:
        """The listening socket; only after `start`."""
        assert self._server is not None
        return self._server.listener

    async def start(self, listener: socket.socket | None = None) -> None:
        """Begin to serve, on `listener` if one was handed over."""
        settings = self._supervisor.settings
        # access to a unix socket is guarded by its file mode
        if not settings.admin.startswith("unix:"):
            self._tokens = tokens_of(settings)
        self._server = AdminServer(
            Pages(self._answer),
            settings.admin,
            listener=listener,
            max_connections=settings.admin_connections,
            silence_s=settings.admin_silence_s,
        )
        await self._server.start()

    async def close(self) -> None:
        if self._server is not None:
            await self._server.close()

    async def _answer(self, asked: Asked) -> Page:
        refusal = self._refusal(asked)
        if refusal is not None:
            return page_of(refusal)
        page = self._pages.get(asked.path)
        return await page(asked) if page is not None else Page(b"404: Not Found", 404)

    def _refusal(self, asked: Asked) -> Refusal | None:
        """The refusal of a request that may not see the page; None for one that may."""
        settings, tokens = self._supervisor.settings, self._tokens
        if tokens is None:
            return None
        refusal = of_a_page(
            asked.values("host"),
            asked.values("origin"),
            asked.values("sec-fetch-site"),
            known=known_hosts(settings),
            sockname=asked.sockname,
        )
        if refusal is not None or asked.path in open_paths(settings):
            return refusal
        sent = asked.values("authorization")
        token = tokens.find(sent[0] if sent else "")
        if token is None:
            return without_token(is_sent=bool(sent))
        return beyond_its_role(token, asked.method, asked.path)

    async def _metrics(self, asked: Asked) -> Page:
        await self._supervisor.refresh_stats()
        encode, content_type = choose_encoder(", ".join(asked.values("accept")))
        return Page(encode(self._registry), content_type=content_type)

    async def _healthz(self, _: Asked) -> Page:
        trouble = self._tokens.trouble() if self._tokens is not None else ""
        return Page(f"{trouble or 'ok'}\n".encode())

    async def _readyz(self, _: Asked) -> Page:
        supervisor = self._supervisor
        reloads = supervisor.reloads
        if reloads.is_refused and supervisor.settings.control:
            return Page(f"an older table is in force: {_refused(reloads)}".encode(), 503)
        if supervisor.is_ready() or supervisor.is_upgrading:
            notes = [_refused(reloads)] if reloads.is_refused else []
            notes += [f"app {n} is refused: {w}\n" for n, w in supervisor.snapshot.refused.items()]
            return Page("".join(["ready\n", *notes]).encode())
        ready, wanted = supervisor.workers_ready(), supervisor.settings.worker_count
        why = supervisor.reloads.last_failure or "no table yet"
        return Page(f"{ready} of {wanted} workers route: {why}\n".encode(), 503)

    async def _table(self, _: Asked) -> Page:
        wire = dataclasses.asdict(dataclasses.replace(self._supervisor.snapshot, delta=None))
        del wire["delta"]
        return Page(orjson.dumps(wire), content_type="application/json")


def _refused(reloads: Reloads) -> str:
    return f"the newest table was refused: {reloads.last_failure}\n"
