"""Managed environments: names that apps are made under; the server and its domain are one."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from control.api.azure import accepted, shapes
from control.api.azure.call import Call, listed
from control.api.wire.bodies import merge_patch
from control.api.wire.caller import answer
from control.api.wire.problems import body_of, decode, reply
from control.changes.places import Environment


async def list_environments(call: Call) -> web.Response:
    """The environments of a resource group, or all."""
    found = call.changes.places.environments(call.names.get("group", ""))
    return listed(call, found, lambda e: e.key, lambda e: _resource(call, e))


async def get_environment(call: Call) -> web.Response:
    return reply(_resource(call, call.find_environment()))


async def put_environment(call: Call) -> web.Response:
    """PUT replaces the tags. Always 200, since az would look for an operation after a 201."""
    body = await body_of(call.request)
    accepted.check_environment(body)
    given = decode(accepted.Beside, {"location": body.get("location"), "tags": body.get("tags")})
    names = call.names
    done = call.changes.places.put_environment(
        call.caller, names["group"], names["environment"], given.location, given.tags or {},
        _workspace(call, body) or "",
    )  # fmt: skip
    return answer(done, lambda made: reply(_resource(call, made)))


async def patch_environment(call: Call) -> web.Response:
    body = await body_of(call.request)
    accepted.check_environment(body)
    old = call.find_environment()
    given = decode(accepted.Beside, {"tags": merge_patch(old.tags, body.get("tags", {})) or {}})
    workspace = _workspace(call, body)
    done = call.changes.places.put_environment(
        call.caller, old.group, old.name, None, given.tags, workspace
    )
    return answer(done, lambda made: reply(_resource(call, made)))


def _workspace(call: Call, body: Any) -> str | None:
    known = call.changes.places.workspaces.all()
    return accepted.workspace_of(body, [workspace.customer_id for workspace in known])


async def delete_environment(call: Call) -> web.Response:
    names = call.names
    done = call.changes.places.remove_environment(call.caller, names["group"], names["environment"])
    return answer(done, lambda is_gone: web.Response(status=200 if is_gone else 204))


async def list_nothing(call: Call) -> web.Response:
    """An empty list, for what Azure's environments and groups may hold and turnout's never do."""
    return reply({"value": []})


def _resource(call: Call, environment: Environment) -> dict[str, Any]:
    return shapes.environment_resource(environment, call.changes.domain, call.ids)
