"""The demo app: a small page, and JSON, that name the app, the revision and the replica.

Runs as a replica of `process:demo`; what it says of itself is what turnout put in its environment.
"""

from __future__ import annotations

import os
from html import escape

from aiohttp import web

_FACTS = {
    "app": os.environ.get("CONTAINER_APP_NAME", ""),
    "revision": os.environ.get("CONTAINER_APP_REVISION", ""),
    "replica": os.environ.get("CONTAINER_APP_REPLICA_NAME", ""),
}
if "COLOR" in os.environ:
    _FACTS["color"] = os.environ["COLOR"]
_COLORS = ("#2563eb", "#c2410c", "#047857", "#7c3aed", "#b91c1c", "#0e7490")
_PAGE = """<!doctype html><meta charset="utf-8"><title>{app}</title>
<style>body{{font:18px system-ui;margin:0;display:grid;place-items:center;height:100vh;
color:#fff;background:{color}}}h1{{font-size:56px;margin:0}}</style>
<main><h1>{revision}</h1><p>{app} &middot; replica {replica}</p></main>"""


async def answer(request: web.Request) -> web.Response:
    """HTML for a browser, JSON for the rest."""
    facts = _FACTS | {"path": request.path, "requestId": request.headers.get("X-Request-Id", "")}
    if "text/html" not in request.headers.get("Accept", ""):
        return web.json_response(facts)
    color = facts.get("color") or _COLORS[sum(facts["revision"].encode()) % len(_COLORS)]
    shown = {name: escape(value) for name, value in facts.items()}
    shown["color"] = escape(color)
    return web.Response(text=_PAGE.format(**shown), content_type="text/html")


async def healthz(_: web.Request) -> web.Response:
    """Ready as soon as it listens."""
    return web.Response(text="ok\n")


def main() -> None:
    """Listen on PORT until SIGTERM."""
    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_route("*", "/{path:.*}", answer)
    # Clients' connections come from the router, which keeps them for 4 s at most.
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        access_log=None,
        print=lambda *_: None,
        shutdown_timeout=5,
        keepalive_timeout=75,
    )


if __name__ == "__main__":
    main()
