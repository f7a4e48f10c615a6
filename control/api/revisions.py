"""Handlers of revisions and replicas."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from aiohttp import web

from control.api.apps import app_answer
from control.api.keys import CHANGES, PUBLISHER, TOKENS
from control.api.wire import bodies
from control.api.wire.caller import answer, caller_of
from control.api.wire.names import app_of, replica_of, revision_of
from control.api.wire.paging import listed
from control.api.wire.problems import body_of, decode, reply
from control.api.wire.representation import age_of, replica_wire, revision_wire
from control.changes.changes import Outcome
from control.model.errors import Invalid
from control.model.kinds import NO_LABEL, Model, folded
from control.model.resources import AppView, Revision
from control.model.schema import Label
from control.model.template import Template
from router.process.guard import TOKEN, waits

_MAX_TAIL = 1000
_TOKEN_S = 1.0  # a stream that goes on asks so often whether its token still counts


class TargetLabel(Model):
    """Labels mode: whom a new revision is for."""

    target_label: Label = NO_LABEL


async def list_revisions(request: web.Request) -> web.Response:
    """GET /v1/apps/{app}/revisions?limit=&after=, newest first."""
    changes = request.app[CHANGES]
    view = changes.read.app(app_of(request))
    newest = sorted(view.revisions.values(), key=age_of)
    return listed(request, newest, age_of, lambda r: _shown(request, view, r))


async def get_revision(request: web.Request) -> web.Response:
    """GET /v1/apps/{app}/revisions/{revision}."""
    changes = request.app[CHANGES]
    view, revision = changes.read.revision(app_of(request), revision_of(request))
    return reply(_shown(request, view, revision))


def _shown(request: web.Request, view: AppView, revision: Revision) -> dict[str, Any]:
    """A revision, and how many of its requests failed in the last seconds."""
    wire = revision_wire(view, revision, request.app[CHANGES].domain)
    percent = request.app[PUBLISHER].failures.percent(revision.name)
    return wire if percent is None else wire | {"errorPercent": percent}


async def copy(request: web.Request) -> web.Response:
    """POST …/copy: deploy what this revision runs, with a merge patch on its template.

    In labels mode `targetLabel` stands beside the template's keys.
    """
    changes = request.app[CHANGES]
    patch = await body_of(request) if await request.read() else {}
    label = patch.pop("targetLabel", None) if isinstance(patch, dict) else None
    target = decode(TargetLabel, {"targetLabel": label})

    def changed(base: Template) -> Template:
        wire = base.wire() | {"revisionSuffix": ""}
        return decode(Template, bodies.merge_patch(wire, patch))

    done = changes.copy(
        caller_of(request), app_of(request), revision_of(request), changed, target.target_label
    )
    return app_answer(request, done)


async def activate(request: web.Request) -> web.Response:
    """POST …/activate."""
    changes = request.app[CHANGES]
    done = changes.activate(caller_of(request), app_of(request), revision_of(request))
    return _answer(request, done)


async def deactivate(request: web.Request) -> web.Response:
    """POST …/deactivate; the revision may be purged by it when no history is kept."""
    changes = request.app[CHANGES]
    done = changes.deactivate(caller_of(request), app_of(request), revision_of(request))

    def shown(view: AppView) -> web.Response:
        revision = view.revisions.get(folded(revision_of(request)))
        if revision is None:
            return reply({"name": revision_of(request), "active": False})
        return reply(revision_wire(view, revision, changes.domain))

    return answer(done, shown)


async def restart(request: web.Request) -> web.Response:
    """POST …/restart."""
    changes = request.app[CHANGES]
    done = changes.restart(caller_of(request), app_of(request), revision_of(request))
    return _answer(request, done)


def _answer(request: web.Request, done: Outcome) -> web.Response:
    name = folded(revision_of(request))
    return answer(done, lambda view: reply(_shown(request, view, view.revisions[name])))


async def list_replicas(request: web.Request) -> web.Response:
    """GET …/replicas?limit=&after=, by name."""
    view, revision = request.app[CHANGES].read.revision(app_of(request), revision_of(request))
    replicas = sorted(view.of(revision.name), key=lambda r: r.name)
    return listed(request, replicas, lambda r: r.name, lambda r: replica_wire(r, revision.template))


async def get_replica(request: web.Request) -> web.Response:
    """GET …/replicas/{replica}."""
    changes = request.app[CHANGES]
    _, revision = changes.read.revision(app_of(request), revision_of(request))
    replica = changes.read.replica(app_of(request), revision_of(request), replica_of(request))
    return reply(replica_wire(replica, revision.template))


async def get_logs(request: web.Request) -> web.StreamResponse:
    """GET …/replicas/{replica}/logs?tail=N&container=C; follow=true streams lines of text."""
    changes = request.app[CHANGES]
    replica = changes.read.replica(app_of(request), revision_of(request), replica_of(request))
    tail, container = request.query.get("tail", "20"), request.query.get("container", "")
    if not tail.isascii() or not tail.isdigit() or int(tail) > _MAX_TAIL:
        raise Invalid(f"tail: {tail!r} is not a number up to {_MAX_TAIL}")
    if request.query.get("follow", "").lower() != "true":
        return reply({"lines": await changes.read.logs(replica, int(tail), container)})
    waits(request)
    lines = changes.read.follow(replica, int(tail), container)
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    await response.prepare(request)
    token, known_at = request.get(TOKEN), time.monotonic()
    with contextlib.suppress(ConnectionError):  # the client closes when it has read enough
        async for line in lines:
            if token is not None and time.monotonic() - known_at > _TOKEN_S:
                if request.app[TOKENS].holder(token.value) is None:
                    break
                known_at = time.monotonic()
            await response.write(line.encode() + b"\n")
    return response
