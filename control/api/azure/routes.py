"""ARM's paths to the service: one table, matched without regard to case (arm-wire §1)."""

from __future__ import annotations

import re

from aiohttp import web

from control.api.azure import apps, around, logs, revisions, shapes
from control.api.azure.call import Call, Handler
from control.api.azure.shapes import Place
from control.api.keys import ENVIRONMENT
from control.api.paging import origin_of
from control.errors import NotFound


async def dispatch(request: web.Request) -> web.StreamResponse:
    """Any request under /subscriptions."""
    segments = [s for s in request.path.split("/") if s]
    for method, pattern, handler in _ROUTES:
        names = _match(pattern, segments)
        if names is not None and method == request.method:
            environment = request.app[ENVIRONMENT]
            group = names.get("group", shapes.LOCATION)
            subscription = names.get("subscription", around.SUBSCRIPTION)
            place = Place(subscription, group, environment, origin_of(request))
            return await handler(Call(request, place, names))
    raise NotFound(f"there is nothing at {request.path} for {request.method}")


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


def _route(method: str, path: str, handler: Handler) -> tuple[str, list[str], Handler]:
    shorts = {
        "S": "/subscriptions/{subscription}",
        "RG": "/subscriptions/{subscription}/resourcegroups/{group}",
        "P": "/providers/microsoft.app",
    }
    path = re.sub(r"\b(S|RG|P)\b", lambda m: shorts[m[1]], path)
    return method, [s for s in path.split("/") if s], handler


_APP = "RG/P/containerapps/{app}"
_REVISION = _APP + "/revisions/{revision}"
_ENVIRONMENTS = "P/managedenvironments"
_LOGGED = "RG/containerapps/{app}"  # without a provider: it is not ARM that serves logs
_ROUTES = [
    _route("GET", "/subscriptions", around.list_subscriptions),
    _route("GET", "/tenants", around.list_tenants),
    _route("GET", "S", around.subscription),
    _route("GET", "S/resources", apps.list_apps),
    _route("GET", "S/P", around.provider),
    _route("POST", "S/P/register", around.provider),
    _route("GET", "S/resourcegroups", around.list_groups),
    _route("GET", "RG", around.group),
    _route("HEAD", "RG", around.has_group),
    _route("PUT", "RG", around.group),
    _route("DELETE", "RG", around.delete_group),
    _route("GET", "S/P/containerapps", apps.list_apps),
    _route("GET", "RG/P/containerapps", apps.list_apps),
    _route("GET", _APP, apps.get_app),
    _route("PUT", _APP, apps.put_app),
    _route("PATCH", _APP, apps.patch_app),
    _route("DELETE", _APP, apps.delete_app),
    _route("POST", _APP + "/start", apps.start_app),
    _route("POST", _APP + "/stop", apps.stop_app),
    _route("POST", _APP + "/listsecrets", apps.list_secrets),
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
    _route("GET", "S/" + _ENVIRONMENTS, around.list_environments),
    _route("GET", "RG/" + _ENVIRONMENTS, around.list_environments),
    _route("GET", "RG/" + _ENVIRONMENTS + "/{environment}", around.environment),
    _route("PUT", "RG/" + _ENVIRONMENTS + "/{environment}", around.environment),
    _route("DELETE", "RG/" + _ENVIRONMENTS + "/{environment}", around.delete_environment),
    _route("GET", "S/P/locations/{location}/containerappoperationstatuses/{operation}",
           apps.operation_status),
    _route("GET", "S/P/locations/{location}/containerappoperationresults/{operation}",
           apps.operation_result),
    _route("GET", _LOGGED + "/eventstream", logs.events),
    _route("GET", _LOGGED + "/revisions/{revision}/replicas/{replica}/containers/{container}"
           "/logstream", logs.stream),
]  # fmt: skip
