"""GET /v1/events: one stream of what changes, as Server-Sent Events."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from aiohttp import web

from control.api.keys import CHANGES, LIVE, PUBLISHER, STATE, TOKENS
from control.api.live import Wish, event
from control.api.wire.names import app_of, revision_of
from control.api.wire.problems import reply
from control.console.files import version
from router import __version__
from router.process.guard import TOKEN, waits

_HEARTBEAT_S = 15.0
_RETRY_MS = 1000


async def get_events(request: web.Request) -> web.StreamResponse:
    """GET /v1/events: what changes, as Server-Sent Events.

    `hello` first, then `apps` (a page of the list) or, with `app=`, that app's `app` or `gone`:
    each is the whole state, sent again when it is another one. `rates` come about every second:
    requests per second, share of errors, p50 and p99 in ms, share of the app's requests. With
    Last-Event-ID what is known already is not sent again; a comment comes when all is quiet.
    """
    wish, token = Wish.of(request.query), request.get(TOKEN)
    known = request.headers.get("Last-Event-ID", "")
    with request.app[LIVE].listening(wish, known) as listener:
        waits(request)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        await response.prepare(request)
        _, hello = event("hello", _hello(request))
        with contextlib.suppress(ConnectionError):
            await response.write(b"retry: %d\n" % _RETRY_MS + _without_id(hello))
            while token is None or request.app[TOKENS].holder(token.value) is not None:
                await response.write(await listener.next(_HEARTBEAT_S))
    return response


def _hello(request: web.Request) -> dict[str, object]:
    token = request.get(TOKEN)
    return {
        "version": __version__,
        "console": version(),
        "name": token.name if token is not None else "",
        "role": token.role if token is not None else "write",
        "domain": request.app[CHANGES].domain,
        "port": _ingress_port(request.app[STATE]),
        "routers": len(request.app[PUBLISHER].routers),
    }


def _without_id(event: bytes) -> bytes:
    return b"".join(line for line in event.splitlines(True) if not line.startswith(b"id: "))


def _ingress_port(state: Path) -> str:
    """The ingress port of this host's router, as `turnout up` notes it; empty if there is none."""
    try:
        noted = json.loads((state / "up.json").read_text())
        return str(noted["ingress"]).rpartition(":")[2]
    except (OSError, ValueError, KeyError, TypeError):
        return ""


async def get_history(request: web.Request) -> web.Response:
    """GET /v1/apps/{app}/revisions/{revision}/history: its last hour, minute by minute.

    Each is minutes ago, requests, errors, p50 and p99 in ms; what nobody asked has no minute.
    """
    view, revision = request.app[CHANGES].read.revision(app_of(request), revision_of(request))
    assert view.app is not None
    rates = request.app[PUBLISHER].rates
    return reply({"minutes": rates.history(view.app.name, revision.name)})
