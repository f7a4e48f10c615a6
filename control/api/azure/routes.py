"""ARM's paths to their handlers: one table, matched without regard to case."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiohttp import web

from control.api.azure import apps, environments, groups, logs, revisions, subscriptions, workspaces
from control.api.azure.call import Call, Handler
from control.api.azure.shapes import ResourceIds
from control.api.keys import CHANGES
from control.api.wire.paging import origin_of
from control.model.errors import NotFound


async def dispatch(request: web.Request) -> web.StreamResponse:
    """Serve any request under /subscriptions.

    The groups, environments and apps in the path must exist, and an app must be in that group,
    before a handler is called.
    """
    segments = [s for s in request.path.split("/") if s]
    for route in _ROUTES:
        names = _match(route.pattern, segments)
        if names is not None and route.method == request.method:
            subscription = names.get("subscription", subscriptions.SUBSCRIPTION)
            ids = ResourceIds(subscription, origin_of(request), request.app[CHANGES].places)
            call = Call(request, ids, names)
            if "group" in names and route.makes != "group":
                call.find_group()
            if "app" in names and route.makes != "app":
                call.find_app()
            if "environment" in names and route.makes != "environment":
                call.find_environment()
            return await route.handler(call)
    raise NotFound(_nothing(request, segments))


def _nothing(request: web.Request, segments: list[str]) -> str:
    lower = [segment.lower() for segment in segments]
    if "deployments" in lower:
        return subscriptions.NO_TEMPLATES
    if "certificates" in lower or "managedcertificates" in lower:
        return "environments have no certificates here; leave the host name's binding Disabled"
    return f"there is nothing at {request.path} for {request.method}"


@dataclass(frozen=True, slots=True)
class _Route:
    method: str
    pattern: list[str]
    handler: Handler
    makes: str  # the name in the path that need not exist, before a PUT or after a DELETE


def _match(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    names: dict[str, str] = {}
    for wanted, found in zip(pattern, segments, strict=True):
        if wanted.startswith("{"):
            names[wanted[1:-1]] = found
        elif wanted != found.lower():
            return None
    return names


def _route(method: str, path: str, handler: Handler, makes: str = "") -> _Route:
    shorts = {
        "S": "/subscriptions/{subscription}",
        "RG": "/subscriptions/{subscription}/resourcegroups/{group}",
        "P": "/providers/microsoft.app",
    }
    path = re.sub(r"\b(S|RG|P)\b", lambda m: shorts[m[1]], path)
    return _Route(method, [s for s in path.split("/") if s], handler, makes)


_APP = "RG/P/containerapps/{app}"
_REVISION = _APP + "/revisions/{revision}"
_ENVIRONMENTS = "P/managedenvironments"
_ENVIRONMENT = "RG/P/managedenvironments/{environment}"
_WORKSPACES = "providers/microsoft.operationalinsights/workspaces"
_WORKSPACE = f"RG/{_WORKSPACES}/{{workspace}}"
_LOGGED = "RG/containerapps/{app}"  # without a provider: logs are not served by ARM
_ROUTES = [
    _route("GET", "/subscriptions", subscriptions.list_subscriptions),
    _route("GET", "/tenants", subscriptions.list_tenants),
    _route("GET", "S", subscriptions.subscription),
    _route("GET", "S/resources", subscriptions.list_resources),
    _route("GET", "RG/resources", subscriptions.list_resources),
    _route("GET", "S/P", subscriptions.provider),
    _route("POST", "S/P/register", subscriptions.provider),
    _route("GET", "S/providers/microsoft.operationalinsights", subscriptions.log_provider),
    _route("GET", f"S/{_WORKSPACES}", workspaces.list_workspaces),
    _route("GET", f"RG/{_WORKSPACES}", workspaces.list_workspaces),
    _route("GET", _WORKSPACE, workspaces.get_workspace),
    _route("PUT", _WORKSPACE, workspaces.put_workspace),
    _route("DELETE", _WORKSPACE, workspaces.delete_workspace),
    _route("POST", _WORKSPACE + "/sharedkeys", workspaces.get_keys),
    _route("POST", "RG/providers/microsoft.resources/deployments/{deployment}/whatif",
           subscriptions.refuse_what_if),
    _route("GET", "S/resourcegroups", groups.list_groups),
    _route("GET", "RG", groups.get_group),
    _route("HEAD", "RG", groups.has_group),
    _route("PUT", "RG", groups.put_group, makes="group"),
    _route("PATCH", "RG", groups.patch_group),
    _route("DELETE", "RG", groups.delete_group),
    _route("GET", "S/P/containerapps", apps.list_apps),
    _route("GET", "RG/P/containerapps", apps.list_apps),
    _route("GET", _APP, apps.get_app),
    _route("PUT", _APP, apps.put_app, makes="app"),
    _route("PATCH", _APP, apps.patch_app),
    _route("DELETE", _APP, apps.delete_app, makes="app"),
    _route("POST", _APP + "/start", apps.start_app),
    _route("POST", _APP + "/stop", apps.stop_app),
    _route("POST", _APP + "/listsecrets", apps.list_secrets),
    _route("POST", _APP + "/listcustomhostnameanalysis", apps.analyse_host_name),
    _route("POST", _APP + "/getauthtoken", logs.get_auth_token),
    _route("GET", _APP + "/labelhistories", apps.list_histories),
    _route("GET", _APP + "/labelhistories/{label}", apps.get_history),
    _route("DELETE", _APP + "/labelhistories/{label}", apps.delete_history),
    _route("GET", _APP + "/revisions", revisions.list_revisions),
    _route("GET", _REVISION, revisions.get_revision),
    _route("POST", _REVISION + "/activate", revisions.activate),
    _route("POST", _REVISION + "/deactivate", revisions.deactivate),
    _route("POST", _REVISION + "/restart", revisions.restart),
    _route("GET", _REVISION + "/replicas", revisions.list_replicas),
    _route("GET", _REVISION + "/replicas/{replica}", revisions.get_replica),
    _route("GET", "S/" + _ENVIRONMENTS, environments.list_environments),
    _route("GET", "RG/" + _ENVIRONMENTS, environments.list_environments),
    _route("GET", _ENVIRONMENT, environments.get_environment),
    _route("PUT", _ENVIRONMENT, environments.put_environment, makes="environment"),
    _route("PATCH", _ENVIRONMENT, environments.patch_environment),
    _route("DELETE", _ENVIRONMENT, environments.delete_environment, makes="environment"),
    *(_route("GET", f"{_ENVIRONMENT}/{kind}", environments.list_nothing)
      for kind in ("storages", "certificates", "managedcertificates", "daprcomponents")),
    _route("GET", "RG/P/jobs", environments.list_nothing),
    _route("GET", "S/P/jobs", environments.list_nothing),
    _route("GET", "S/P/locations/{location}/containerappoperationstatuses/{operation}",
           apps.operation_status),
    _route("GET", "S/P/locations/{location}/containerappoperationresults/{operation}",
           apps.operation_result),
    _route("GET", _LOGGED + "/eventstream", logs.events),
    _route("GET", _LOGGED + "/revisions/{revision}/replicas/{replica}/containers/{container}"
           "/logstream", logs.stream),
    _route("GET", _LOGGED + "/revisions/{revision}/replicas/{replica}/containers/{container}"
           "/exec", logs.refuse_exec),
]  # fmt: skip
