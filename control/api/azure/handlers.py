"""ARM's paths to the service: one table, matched without regard to case (arm-wire §1)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from control.api.azure import operations, shapes
from control.api.azure.operations import Operation
from control.api.azure.shapes import Place
from control.api.bodies import merge_patch
from control.api.keys import ENVIRONMENT, SERVICE
from control.api.problems import body_of, decode, reply
from control.api.wire import app_wire
from control.errors import ControlError, NotFound
from control.resources import AppView
from control.schema import AppBody
from control.service import Service


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read: the service, where it points, and the names in its path."""

    request: web.Request
    place: Place
    names: dict[str, str]

    @property
    def service(self) -> Service:
        """What does the work."""
        return self.request.app[SERVICE]

    @property
    def app(self) -> str:
        """The app's name."""
        return self.names["app"].lower()

    @property
    def origin(self) -> str:
        """Scheme and host as the client wrote them: it has to reach the URLs we make."""
        scheme = self.request.headers.get("X-Forwarded-Proto", self.request.scheme)
        return f"{scheme}://{self.request.host}"


Handler = Callable[[Call], Awaitable[web.Response]]


async def dispatch(request: web.Request) -> web.Response:
    """Any request under /subscriptions."""
    segments = [s for s in request.path.split("/") if s]
    for method, pattern, handler in _ROUTES:
        names = _match(pattern, segments)
        if names is not None and method == request.method:
            environment = request.app[ENVIRONMENT]
            group = names.get("group", shapes.LOCATION)
            place = Place(names["subscription"], group, environment)
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


# --- apps


def _resource(call: Call, view: AppView) -> dict[str, Any]:
    return shapes.app_resource(view, call.service.domain, call.place)


async def _list_apps(call: Call) -> web.Response:
    return reply({"value": [_resource(call, view) for view in call.service.apps()]})


async def _get_app(call: Call) -> web.Response:
    return reply(_resource(call, call.service.app(call.app)))


async def _put_app(call: Call) -> web.Response:
    properties = shapes.properties_of(await body_of(call.request))
    view, is_new = call.service.put(call.app, decode(AppBody, shapes.writable(properties)))
    return _accepted(call, view, 201 if is_new else 200)


async def _patch_app(call: Call) -> web.Response:
    patch = shapes.properties_of(await body_of(call.request))

    def patched(view: AppView) -> AppBody:
        shown = app_wire(view, call.service.domain)
        current = {"configuration": shown["configuration"], "template": shown["template"]}
        if isinstance(patch.get("template"), dict):
            # A suffix names the revision that is made; the one that GET shows is taken already.
            current["template"]["revisionSuffix"] = ""
        return decode(AppBody, shapes.writable(merge_patch(current, patch)))

    return _accepted(call, call.service.patch(call.app, patched), 202)


def _accepted(call: Call, view: AppView, status: int) -> web.Response:
    """The resource; while its newest revision is being provisioned, with an operation."""
    assert view.app is not None
    operation = Operation("deploy", view.app.name, view.app.latest)
    state, _ = operations.status(operation, view)
    if state == "InProgress":
        # To a PUT, 202 is an error for the SDK; to both, 200 would be the end (arm-wire §4).
        headers = _operation_headers(call, operation, with_result=status == 202)
        return reply(_resource(call, view), 202 if status == 202 else 201, headers)
    return reply(_resource(call, view), 201 if status == 201 else 200)


async def _delete_app(call: Call) -> web.Response:
    try:
        call.service.delete(call.app)
    except NotFound:
        return web.Response(status=204)
    headers = _operation_headers(call, Operation("delete", call.app), with_result=True)
    return web.Response(status=202, headers=headers)


async def _stop_app(call: Call) -> web.Response:
    return reply(_resource(call, call.service.set_stopped(call.app, is_stopped=True)))


async def _start_app(call: Call) -> web.Response:
    return reply(_resource(call, call.service.set_stopped(call.app, is_stopped=False)))


async def _list_secrets(call: Call) -> web.Response:
    app = call.service.app(call.app).app
    assert app is not None
    return reply({"value": [secret.wire() for secret in app.configuration.secrets]})


async def _list_histories(call: Call) -> web.Response:
    app = call.service.app(call.app).app
    assert app is not None
    return reply({"value": [_history(call, label) for label in sorted(app.label_history)]})


async def _get_history(call: Call) -> web.Response:
    return reply(_history(call, call.names["label"].lower()))


async def _delete_history(call: Call) -> web.Response:
    call.service.forget_label(call.app, call.names["label"].lower())
    return web.Response(status=204)


def _history(call: Call, label: str) -> dict[str, Any]:
    return shapes.label_history_resource(call.service.app(call.app), label, call.place)


# --- revisions and replicas


async def _list_revisions(call: Call) -> web.Response:
    view = call.service.app(call.app)
    newest = sorted(view.revisions.values(), key=lambda r: r.number, reverse=True)
    domain = call.service.domain
    return reply({"value": [shapes.revision_resource(view, r, domain, call.place) for r in newest]})


async def _get_revision(call: Call) -> web.Response:
    view, revision = call.service.revision(call.app, call.names["revision"])
    return reply(shapes.revision_resource(view, revision, call.service.domain, call.place))


async def _activate(call: Call) -> web.Response:
    call.service.activate(call.app, call.names["revision"])
    return reply("Activate revision succeeded")  # az prints it, and dies on an empty body


async def _deactivate(call: Call) -> web.Response:
    call.service.deactivate(call.app, call.names["revision"])
    return reply("Deactivate revision succeeded")


async def _restart(call: Call) -> web.Response:
    call.service.restart(call.app, call.names["revision"])
    return reply("Restart revision succeeded")


async def _list_replicas(call: Call) -> web.Response:
    view, revision = call.service.revision(call.app, call.names["revision"])
    replicas = view.of(revision.name)
    return reply(
        {"value": [shapes.replica_resource(view, revision, r, call.place) for r in replicas]}
    )


async def _get_replica(call: Call) -> web.Response:
    view, revision = call.service.revision(call.app, call.names["revision"])
    replica = call.service.replica(call.app, revision.name, call.names["replica"])
    return reply(shapes.replica_resource(view, revision, replica, call.place))


# --- what stands around apps


async def _subscription(call: Call) -> web.Response:
    name = call.place.subscription
    return reply(
        {
            "id": f"/subscriptions/{name}",
            "subscriptionId": name,
            "displayName": "Local",
            "state": "Enabled",
        }
    )


async def _provider(call: Call) -> web.Response:
    return reply(shapes.provider_resource())


async def _group(call: Call) -> web.Response:
    return reply(shapes.group_resource(call.place))


async def _list_environments(call: Call) -> web.Response:
    return reply({"value": [shapes.environment_resource(call.service.domain, call.place)]})


async def _environment(call: Call) -> web.Response:
    if call.names["environment"].lower() != call.place.environment.lower():
        raise NotFound(
            f"there is no environment {call.names['environment']}; "
            f"this control plane's one is {call.place.environment}"
        )
    return reply(shapes.environment_resource(call.service.domain, call.place))


# --- operations


def _operation_headers(call: Call, operation: Operation, *, with_result: bool) -> dict[str, str]:
    base = (
        f"{call.origin}/subscriptions/{call.place.subscription}{shapes.PROVIDER}"
        f"/locations/{shapes.LOCATION}"
    )
    version = call.request.query.get("api-version", "2025-07-01")
    tail = f"{operation.id}?api-version={version}"
    headers = {
        "Azure-AsyncOperation": f"{base}/containerappOperationStatuses/{tail}",
        "retry-after-ms": operations.POLL_MS,
    }
    if with_result:
        headers["Location"] = f"{base}/containerappOperationResults/{tail}"
    return headers


def _find(call: Call) -> tuple[Operation, AppView]:
    operation = operations.parse(call.names["operation"])
    return operation, call.service.peek(operation.app)


async def _operation_status(call: Call) -> web.Response:
    operation, view = _find(call)
    state, error = operations.status(operation, view)
    body: dict[str, Any] = {
        "id": call.request.path,
        "name": call.names["operation"],
        "status": state,
    }
    if error is not None:
        body["error"] = error
    return reply(body, 200, {"retry-after-ms": operations.POLL_MS})


async def _operation_result(call: Call) -> web.Response:
    operation, view = _find(call)
    state, error = operations.status(operation, view)
    if state == "InProgress":
        headers = _operation_headers(call, operation, with_result=True)
        return web.Response(status=202, headers=headers)
    if error is not None:
        raise ControlError(error["message"], code=error["code"])
    if view.app is None:
        return web.Response(status=204)
    return reply(_resource(call, view))


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
_ROUTES = [
    _route("GET", "S", _subscription),
    _route("GET", "S/P", _provider),
    _route("POST", "S/P/register", _provider),
    _route("GET", "RG", _group),
    _route("PUT", "RG", _group),
    _route("GET", "S/P/containerapps", _list_apps),
    _route("GET", "RG/P/containerapps", _list_apps),
    _route("GET", _APP, _get_app),
    _route("PUT", _APP, _put_app),
    _route("PATCH", _APP, _patch_app),
    _route("DELETE", _APP, _delete_app),
    _route("POST", _APP + "/start", _start_app),
    _route("POST", _APP + "/stop", _stop_app),
    _route("POST", _APP + "/listsecrets", _list_secrets),
    _route("GET", _APP + "/labelhistories", _list_histories),
    _route("GET", _APP + "/labelhistories/{label}", _get_history),
    _route("DELETE", _APP + "/labelhistories/{label}", _delete_history),
    _route("GET", _APP + "/revisions", _list_revisions),
    _route("GET", _REVISION, _get_revision),
    _route("POST", _REVISION + "/activate", _activate),
    _route("POST", _REVISION + "/deactivate", _deactivate),
    _route("POST", _REVISION + "/restart", _restart),
    _route("GET", _REVISION + "/replicas", _list_replicas),
    _route("GET", _REVISION + "/replicas/{replica}", _get_replica),
    _route("GET", "S/P/managedenvironments", _list_environments),
    _route("GET", "RG/P/managedenvironments", _list_environments),
    _route("GET", "RG/P/managedenvironments/{environment}", _environment),
    _route("PUT", "RG/P/managedenvironments/{environment}", _environment),
    _route("GET", "S/P/locations/{location}/containerappoperationstatuses/{operation}",
           _operation_status),
    _route("GET", "S/P/locations/{location}/containerappoperationresults/{operation}",
           _operation_result),
]  # fmt: skip
