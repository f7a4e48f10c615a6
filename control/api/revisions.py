"""Handlers of revisions and replicas."""

from __future__ import annotations

from aiohttp import web

from control.api.keys import SERVICE
from control.api.problems import reply
from control.api.wire import replica_wire, revision_wire
from control.errors import Invalid

_MAX_TAIL = 1000


async def list_revisions(request: web.Request) -> web.Response:
    """GET /v1/apps/{app}/revisions, newest first."""
    service = request.app[SERVICE]
    view = service.app(request.match_info["app"])
    newest = sorted(view.revisions.values(), key=lambda r: r.number, reverse=True)
    return reply({"value": [revision_wire(view, r, service.domain) for r in newest]})


async def get_revision(request: web.Request) -> web.Response:
    """GET /v1/apps/{app}/revisions/{revision}."""
    service = request.app[SERVICE]
    view, revision = service.revision(request.match_info["app"], request.match_info["revision"])
    return reply(revision_wire(view, revision, service.domain))


async def activate(request: web.Request) -> web.Response:
    """POST …/activate."""
    request.app[SERVICE].activate(request.match_info["app"], request.match_info["revision"])
    return await get_revision(request)


async def deactivate(request: web.Request) -> web.Response:
    """POST …/deactivate; the revision may be purged by it when no history is kept."""
    service, match = request.app[SERVICE], request.match_info
    view = service.deactivate(match["app"], match["revision"])
    revision = view.revisions.get(match["revision"].lower())
    if revision is None:
        return reply({"name": match["revision"], "active": False})
    return reply(revision_wire(view, revision, service.domain))


async def restart(request: web.Request) -> web.Response:
    """POST …/restart."""
    request.app[SERVICE].restart(request.match_info["app"], request.match_info["revision"])
    return await get_revision(request)


async def list_replicas(request: web.Request) -> web.Response:
    """GET …/replicas."""
    match = request.match_info
    view, revision = request.app[SERVICE].revision(match["app"], match["revision"])
    return reply({"value": [replica_wire(r) for r in view.of(revision.name)]})


async def get_logs(request: web.Request) -> web.Response:
    """GET …/replicas/{replica}/logs?tail=N."""
    match = request.match_info
    replica = request.app[SERVICE].replica(match["app"], match["revision"], match["replica"])
    tail = request.query.get("tail", "20")
    if not tail.isascii() or not tail.isdigit() or int(tail) > _MAX_TAIL:
        raise Invalid(f"tail: {tail!r} is not a number up to {_MAX_TAIL}")
    return reply({"lines": request.app[SERVICE].logs(replica, int(tail))})
