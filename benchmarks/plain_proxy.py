"""The proxy that one writes first with aiohttp: the measure of what protocols are worth."""

from __future__ import annotations

import asyncio
import itertools
import sys

import aiohttp
import uvloop
from aiohttp import web

from benchmarks.peers import ORIGIN_PORTS

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


async def _serve(port: int) -> None:
    origins = itertools.cycle(ORIGIN_PORTS)
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)

    async def forward(request: web.Request) -> web.Response:
        url = f"http://127.0.0.1:{next(origins)}{request.path_qs}"
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        body = await request.read() if request.can_read_body else None
        async with session.request(request.method, url, headers=headers, data=body) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
