"""Resource groups."""

from __future__ import annotations

from aiohttp import web

from control.api.azure import accepted, shapes
from control.api.azure.call import Call, listed
from control.api.wire.bodies import merge_patch
from control.api.wire.caller import answer
from control.api.wire.problems import body_of, decode, reply
from control.changes.places import Group


async def list_groups(call: Call) -> web.Response:
    """All groups, or those with a tag: `az group list --tag`."""
    wanted = call.filters("tagName", "tagValue")
    groups = [group for group in call.changes.places.groups() if _has_tag(group, wanted)]
    return listed(call, groups, lambda g: g.key, lambda g: shapes.group_resource(g, call.ids))


def _has_tag(group: Group, wanted: dict[str, str]) -> bool:
    tags = {name.lower(): value.lower() for name, value in group.tags.items()}
    name = wanted.get("tagname")
    if name is None:
        return "tagvalue" not in wanted
    return name in tags and wanted.get("tagvalue", tags[name]) == tags[name]


async def get_group(call: Call) -> web.Response:
    return _shown(call, call.find_group())


def _shown(call: Call, group: Group, status: int = 200) -> web.Response:
    return reply(shapes.group_resource(group, call.ids), status)


async def has_group(call: Call) -> web.Response:
    """HEAD: `az group exists`."""
    call.find_group()
    return web.Response(status=204)


async def put_group(call: Call) -> web.Response:
    """PUT replaces the tags; a group stays where it is."""
    body = await body_of(call.request)
    accepted.check_group(body)
    given = decode(accepted.Beside, {"location": body.get("location"), "tags": body.get("tags")})
    done = call.changes.places.put_group(
        call.caller, call.names["group"], given.location, given.tags or {}
    )
    return answer(done, lambda made: _shown(call, made[0], 201 if made[1] else 200))


async def patch_group(call: Call) -> web.Response:
    body = await body_of(call.request)
    accepted.check_group(body)
    old = call.find_group()
    given = decode(accepted.Beside, {"tags": merge_patch(old.tags, body.get("tags", {})) or {}})
    done = call.changes.places.put_group(call.caller, old.name, None, given.tags)
    return answer(done, lambda made: _shown(call, made[0]))


async def delete_group(call: Call) -> web.Response:
    """Delete the group with its apps and environments; replicas drain and end afterwards."""
    done = call.changes.delete_group(call.caller, call.names["group"])
    return answer(done, lambda _: web.Response(status=200))
