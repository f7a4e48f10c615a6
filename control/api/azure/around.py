"""What stands around apps: subscription, provider, resource groups, the environment."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from control.api.azure import shapes
from control.api.azure.call import Call
from control.api.problems import reply
from control.errors import Conflict, NotFound

# Who did not ask for a certain subscription or tenant is shown these; any is accepted.
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
TENANT = "99999999-8888-7777-6666-555555555555"


def _subscription(name: str) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{name}",
        "subscriptionId": name,
        "tenantId": TENANT,
        "displayName": "turnout",
        "state": "Enabled",
    }


async def list_subscriptions(call: Call) -> web.Response:
    """One: `az login` fails on none."""
    return reply({"value": [_subscription(SUBSCRIPTION)]})


async def list_tenants(call: Call) -> web.Response:
    """One."""
    return reply({"value": [{"id": f"/tenants/{TENANT}", "tenantId": TENANT}]})


async def subscription(call: Call) -> web.Response:
    """Whatever it is called."""
    return reply(_subscription(call.place.subscription))


async def provider(call: Call) -> web.Response:
    return reply(shapes.provider_resource())


async def group(call: Call) -> web.Response:
    return reply(shapes.group_resource(call.place))


async def has_group(call: Call) -> web.Response:
    """HEAD: groups are there as soon as they are named."""
    return web.Response(status=204)


async def list_groups(call: Call) -> web.Response:
    """Those that apps were made in."""
    apps = [view.app for view in call.service.apps() if view.app is not None]
    names = sorted({app.resource_group or shapes.LOCATION for app in apps} or {shapes.LOCATION})
    places = [call.place.in_group(name) for name in names]
    return reply({"value": [shapes.group_resource(place) for place in places]})


async def delete_group(call: Call) -> web.Response:
    """Azure would delete the group's apps; here that has to be said for each."""
    group = call.place.group.lower()
    names = [v.app.name for v in call.service.apps() if v.app and v.app.resource_group == group]
    if names:
        raise Conflict(f"resource group {group} holds apps; delete them first: {', '.join(names)}")
    return reply({})


async def list_environments(call: Call) -> web.Response:
    return reply({"value": [shapes.environment_resource(call.service.domain, call.place)]})


async def delete_environment(call: Call) -> web.Response:
    """It is this control plane itself."""
    raise Conflict("the environment is this control plane; stop it instead")


async def environment(call: Call) -> web.Response:
    if call.names["environment"].lower() != call.place.environment.lower():
        raise NotFound(
            f"there is no environment {call.names['environment']}; "
            f"this control plane's one is {call.place.environment}"
        )
    return reply(shapes.environment_resource(call.service.domain, call.place))
