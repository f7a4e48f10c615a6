"""Log Analytics workspaces: az makes one before it makes an environment."""

from __future__ import annotations

from aiohttp import web

from control.api.azure import accepted, shapes
from control.api.azure.call import Call, listed
from control.api.wire.caller import answer
from control.api.wire.problems import body_of, decode, reply
from control.changes.places import LOCATION
from control.changes.workspaces import Workspace


async def list_workspaces(call: Call) -> web.Response:
    """The workspaces of a resource group, or all."""
    found = call.changes.places.workspaces.all(call.names.get("group", ""))
    return listed(call, found, lambda w: w.key, lambda w: shapes.workspace_resource(w, call.ids))


async def get_workspace(call: Call) -> web.Response:
    return reply(shapes.workspace_resource(_found(call), call.ids))


async def put_workspace(call: Call) -> web.Response:
    """PUT replaces the tags. Always 200: there is nothing to wait for."""
    body = await body_of(call.request)
    accepted.check_workspace(body)
    given = decode(accepted.Beside, {"location": body.get("location"), "tags": body.get("tags")})
    done = call.changes.places.workspaces.put(
        call.caller,
        call.find_group().key,
        call.names["workspace"],
        given.location or LOCATION,
        given.tags or {},
    )
    return answer(done, lambda made: reply(shapes.workspace_resource(made, call.ids)))


async def delete_workspace(call: Call) -> web.Response:
    names = call.names
    done = call.changes.places.workspaces.remove(call.caller, names["group"], names["workspace"])
    return answer(done, lambda is_gone: web.Response(status=200 if is_gone else 204))


async def get_keys(call: Call) -> web.Response:
    """A key: az wants one that is not empty and passes it to the environment. It opens nothing."""
    _found(call)
    return reply({"primarySharedKey": "none", "secondarySharedKey": "none"})


def _found(call: Call) -> Workspace:
    return call.changes.places.workspaces.get(call.names["group"], call.names["workspace"])
