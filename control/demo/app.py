"""The demo app: a small page, and JSON, that name the app, the revision and the replica.

Runs as a replica of `process:demo`; what it says of itself is what turnout put in its environment.
A query makes it misbehave: `?delay=50ms&jitter=20ms&status=503&size=1MiB&chunked=1`; `?ws=1` is a
WebSocket that says everything twice. With FAIL_PERCENT in its environment that many of a hundred
requests fail, late: a release that should have stayed at home.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from aiohttp import web

_FACTS = {
    "app": os.environ.get("CONTAINER_APP_NAME", ""),
    "revision": os.environ.get("CONTAINER_APP_REVISION", ""),
    "replica": os.environ.get("CONTAINER_APP_REPLICA_NAME", ""),
}
if "COLOR" in os.environ:
    _FACTS["color"] = os.environ["COLOR"]
_FAIL_PERCENT = float(os.environ.get("FAIL_PERCENT", "0"))
_FAIL_S = 0.4  # until it fails
_COLORS = ("#2563eb", "#c2410c", "#047857", "#7c3aed", "#b91c1c", "#0e7490")
_PAGE = """<!doctype html><meta charset="utf-8"><title>{app}</title>
<style>body{{font:18px system-ui;margin:0;display:grid;place-items:center;height:100vh;
color:#fff;background:{color}}}h1{{font-size:56px;margin:0}}</style>
<main><h1>{revision}</h1><p>{app} &middot; replica {replica}</p></main>"""


_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "KiB": 1 << 10, "MiB": 1 << 20, "B": 1.0}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(ms|s|B|KiB|MiB|)\Z")
_MOST_S, _MOST_BYTES, _CHUNK = 60.0, 256 << 20, 64 << 10


@dataclass(frozen=True, slots=True)
class Wish:
    """What a query asks for."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    status: int = 200
    size: int = 0
    is_chunked: bool = False

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wish:
        """Raises ValueError with a sentence."""
        status = query.get("status", "200")
        if not status.isdigit() or not 200 <= int(status) <= 599:
            raise ValueError(f"status: {status!r} is not within 200 to 599")
        return cls(
            _quantity(query, "delay", _MOST_S),
            _quantity(query, "jitter", _MOST_S),
            int(status),
            int(_quantity(query, "size", _MOST_BYTES)),
            query.get("chunked", "0") not in ("0", ""),
        )


def _quantity(query: Mapping[str, str], name: str, most: float) -> float:
    match = _QUANTITY.match(query.get(name, "0"))
    value = float(match[1]) * _UNITS[match[2]] if match else -1.0
    if not 0 <= value <= most:
        raise ValueError(f"{name}: {query[name]!r} is no quantity such as 50ms or 1MiB")
    return value


async def answer(request: web.Request) -> web.StreamResponse:
    """As the query wishes; without one HTML for a browser, JSON for the rest."""
    if request.query.get("ws", "0") not in ("0", ""):
        return await _echo(request)
    try:
        wish = Wish.of(request.query)
    except ValueError as error:
        return web.Response(status=400, text=f"{error}\n")
    if wish.delay_s or wish.jitter_s:
        await asyncio.sleep(wish.delay_s + random.uniform(0, wish.jitter_s))
    if wish.size:
        return await _bulk(request, wish)
    if random.uniform(0, 100) < _FAIL_PERCENT:
        await asyncio.sleep(random.uniform(0, _FAIL_S))
        return web.Response(status=500, text="This revision fails now and then, on purpose.\n")
    response = _page(request)
    response.set_status(wish.status)
    if wish.is_chunked:
        response.enable_chunked_encoding()
    return response


async def _bulk(request: web.Request, wish: Wish) -> web.StreamResponse:
    response = web.StreamResponse(status=wish.status)
    if wish.is_chunked:
        response.enable_chunked_encoding()
    else:
        response.content_length = wish.size
    await response.prepare(request)
    piece = b"x" * _CHUNK
    for left in range(wish.size, 0, -_CHUNK):
        await response.write(piece[:left])
    await response.write_eof()
    return response


async def _echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is web.WSMsgType.TEXT:
            await socket.send_str(f"{message.data} {message.data}")
        elif message.type is web.WSMsgType.BINARY:
            await socket.send_bytes(message.data * 2)
    return socket


def _page(request: web.Request) -> web.Response:
    facts = _FACTS | {"path": request.path, "requestId": request.headers.get("X-Request-Id", "")}
    if "text/html" not in request.headers.get("Accept", ""):
        return web.json_response(text=f"{json.dumps(facts)}\n")  # read in a terminal
    color = facts.get("color") or _COLORS[sum(facts["revision"].encode()) % len(_COLORS)]
    shown = {name: escape(value) for name, value in facts.items()}
    shown["color"] = escape(color)
    return web.Response(text=_PAGE.format(**shown), content_type="text/html")


async def healthz(_: web.Request) -> web.Response:
    """Ready as soon as it listens."""
    return web.Response(text="ok\n")


def main() -> None:
    """Listen on PORT, of HOST if that is set, until SIGTERM."""
    app = web.Application(client_max_size=_MOST_BYTES)
    app.router.add_get("/healthz", healthz)
    app.router.add_route("*", "/{path:.*}", answer)
    # Clients' connections come from the router, which keeps them for 4 s at most.
    web.run_app(
        app,
        host=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ["PORT"]),
        access_log=None,
        print=lambda *_: None,
        shutdown_timeout=5,
        keepalive_timeout=75,
    )


if __name__ == "__main__":
    main()
