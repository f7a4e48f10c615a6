"""What surrounds groups and apps: subscriptions, tenants, the provider."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from control.api.azure import shapes
from control.api.azure.call import Call, listed, resource
from control.api.wire.paging import shown
from control.api.wire.problems import reply

# Shown to clients that name no subscription or tenant; any id is accepted.
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
TENANT = "99999999-8888-7777-6666-555555555555"
NO_TEMPLATES = (
    "templates are not evaluated here; deploy with az containerapp create --yaml FILE, "
    "or with turnout apply -f FILE"
)


def _subscription(name: str) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{name}",
        "subscriptionId": name,
        "tenantId": TENANT,
        "displayName": "turnout",
        "state": "Enabled",
    }


async def list_subscriptions(call: Call) -> web.Response:
    """`az login` needs at least one subscription."""
    return reply({"value": [_subscription(SUBSCRIPTION)]})


async def list_tenants(call: Call) -> web.Response:
    """az needs at least one tenant."""
    return reply({"value": [{"id": f"/tenants/{TENANT}", "tenantId": TENANT}]})


async def subscription(call: Call) -> web.Response:
    """Any subscription id is accepted and echoed."""
    return reply(_subscription(call.ids.subscription))


async def provider(call: Call) -> web.Response:
    return reply(shapes.provider_resource("Microsoft.App", "containerApps", "managedEnvironments"))


async def log_provider(call: Call) -> web.Response:
    """The provider of the workspaces that az makes before environments."""
    return reply(shapes.provider_resource("Microsoft.OperationalInsights", "workspaces"))


async def refuse_what_if(_: Call) -> web.Response:
    """A result that says failed: az ends in a traceback when the request itself is refused."""
    error = {"code": "TemplatesNotOffered", "message": NO_TEMPLATES}
    return reply({"status": "Failed", "error": error})


async def list_resources(call: Call) -> web.Response:
    """Apps, environments and workspaces that match the `$filter`."""
    wanted = call.filters("resourceGroup", "resourceType", "name", "location")
    if "group" in call.names:
        wanted["resourcegroup"] = call.find_group().name.lower()
    views = shown(call.changes.read.apps(), lambda view: resource(call, view))
    places, domain = call.changes.places, call.changes.domain
    found = views + [
        shapes.environment_resource(environment, domain, call.ids)
        for environment in places.environments()
    ]
    found += [shapes.workspace_resource(w, call.ids) for w in places.workspaces.all()]
    kept = ("id", "name", "type", "location", "tags")
    fitting = sorted((r for r in found if _fits(r, wanted)), key=_id_of)
    return listed(call, fitting, _id_of, lambda r: {k: r[k] for k in kept})


def _id_of(found: dict[str, Any]) -> str:
    return str(found["id"]).lower()


def _fits(found: dict[str, Any], wanted: dict[str, str]) -> bool:
    own = {
        "resourcegroup": found["id"].split("/")[4],
        "resourcetype": found["type"],
        "name": found["name"],
        "location": found["location"],
    }
    return all(own[key].lower() == value for key, value in wanted.items())
