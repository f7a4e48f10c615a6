"""A router whose control plane says nonsense serves the last good table, and says so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from tests.router.test_received import a_table, an_app
from tests.router.test_source import Control
from tests.support.origin import Origin
from tests.support.turnout import Turnout, until


async def test_a_router_that_refuses_its_newest_table_is_not_ready_and_serves_on(
    state: Path,
) -> None:
    async with Origin() as origin:
        endpoint = {"replica": "r", "address": origin.address}
        revision = {"name": "shop--v1", "weight": 100, "endpoints": [endpoint]}
        good = a_table(an_app("shop", revisions=[revision]))
        answers: list[dict[str, Any]] = [good]

        def answer(report: dict[str, Any]) -> bytes | None:
            newest = answers[-1]
            if report["known"].get("version") == newest["version"]:
                return None
            return orjson.dumps(newest)

        app = web.Application()
        app.router.add_post("/v1/sync", Control(answer).sync)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.UnixSite(runner, str(state / "sync.sock")).start()
        address = "127.0.0.1:0"
        router = Turnout("router", listen=address, admin=address, workers=1, state=state / "r",
                         control=f"unix:{state}/sync.sock")  # fmt: skip
        try:
            await asyncio.to_thread(router.wait_ready)
            assert (await asyncio.to_thread(router.call, "GET", "/readyz"))[0] == 200

            answers.append(good | {"version": 2, "hash": "0" * 32})
            await runner.cleanup()  # ends the poll under way
            runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
            await runner.setup()
            await web.UnixSite(runner, str(state / "sync.sock")).start()
            await asyncio.to_thread(until, lambda: router.call("GET", "/readyz")[0] == 503)
            _, text = await asyncio.to_thread(router.call, "GET", "/readyz")
            assert "the newest table was refused" in text
            assert (await asyncio.to_thread(router.get, "shop.localhost"))[0] == 200

            answers.append(good | {"version": 3})
            await asyncio.to_thread(until, lambda: router.call("GET", "/readyz")[0] == 200)
        finally:
            await asyncio.to_thread(router.stop)
            await runner.cleanup()
