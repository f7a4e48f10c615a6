"""Revisions and replicas."""

from __future__ import annotations

from aiohttp import web

from control.api.azure import shapes
from control.api.azure.call import Call, listed
from control.api.wire.caller import answer
from control.api.wire.problems import reply
from control.api.wire.representation import age_of


async def list_revisions(call: Call) -> web.Response:
    view = call.find_app()
    newest, domain = sorted(view.revisions.values(), key=age_of), call.changes.domain
    return listed(
        call, newest, age_of, lambda r: shapes.revision_resource(view, r, domain, call.ids)
    )


async def get_revision(call: Call) -> web.Response:
    view, revision = call.changes.read.revision(call.app, call.revision)
    return reply(shapes.revision_resource(view, revision, call.changes.domain, call.ids))


async def activate(call: Call) -> web.Response:
    done = call.changes.activate(call.caller, call.app, call.revision)
    # az prints the sentence, and dies on an empty body
    return answer(done, lambda _: reply("Activate revision succeeded"))


async def deactivate(call: Call) -> web.Response:
    done = call.changes.deactivate(call.caller, call.app, call.revision)
    return answer(done, lambda _: reply("Deactivate revision succeeded"))


async def restart(call: Call) -> web.Response:
    done = call.changes.restart(call.caller, call.app, call.revision)
    return answer(done, lambda _: reply("Restart revision succeeded"))


async def list_replicas(call: Call) -> web.Response:
    """All replicas in one answer: clients do not look for a second page, and there are at most
    1000.
    """
    view, revision = call.changes.read.revision(call.app, call.revision)
    replicas = view.of(revision.name)
    return reply(
        {"value": [shapes.replica_resource(view, revision, r, call.ids) for r in replicas]}
    )


async def get_replica(call: Call) -> web.Response:
    view, revision = call.changes.read.revision(call.app, call.revision)
    replica = call.changes.read.replica(call.app, revision.name, call.replica)
    return reply(shapes.replica_resource(view, revision, replica, call.ids))
