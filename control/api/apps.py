"""Handlers of apps: create, read, change, delete, stop, start, mode."""

from __future__ import annotations

from typing import Annotated, Any

from aiohttp import web
from pydantic import BeforeValidator

from control.api.keys import SERVICE
from control.api.problems import body_of, decode, reply
from control.api.wire import app_wire
from control.model import Model
from control.resources import AppView
from control.schema import AppBody, Mode
from control.service import merge_patch

# What GET shows and PUT ignores: clients send back what they got (contract §10).
_READ_ONLY = (
    "name",
    "version",
    "createdTime",
    "lastModifiedTime",
    "provisioningState",
    "runningStatus",
    "latestRevisionName",
    "latestReadyRevisionName",
    "latestRevisionFqdn",
)


class ModeBody(Model):
    """What sets the mode."""

    mode: Annotated[Mode, BeforeValidator(lambda v: v.lower() if isinstance(v, str) else v)]
    target_label: str = ""


def app_reply(request: web.Request, view: AppView, status: int = 200) -> web.Response:
    """An app with its ETag."""
    assert view.app is not None
    wire = app_wire(view, request.app[SERVICE].domain)
    return reply(wire, status, {"ETag": f'"{view.app.version}"'})


def _writable(wire: Any) -> Any:
    if not isinstance(wire, dict):
        return wire
    kept = {k: v for k, v in wire.items() if k not in _READ_ONLY and v is not None}
    configuration = kept.get("configuration")
    ingress = configuration.get("ingress") if isinstance(configuration, dict) else None
    if isinstance(configuration, dict) and isinstance(ingress, dict):
        ingress = {k: v for k, v in ingress.items() if k != "fqdn"}
        kept["configuration"] = {**configuration, "ingress": ingress}
    return kept


async def list_apps(request: web.Request) -> web.Response:
    """GET /v1/apps."""
    service = request.app[SERVICE]
    return reply({"value": [app_wire(view, service.domain) for view in service.apps()]})


async def get_app(request: web.Request) -> web.Response:
    """GET /v1/apps/{app}."""
    return app_reply(request, request.app[SERVICE].app(request.match_info["app"]))


async def put_app(request: web.Request) -> web.Response:
    """PUT /v1/apps/{app}."""
    body = decode(AppBody, _writable(await body_of(request)))
    if_match = request.headers.get("If-Match", "")
    view, is_new = request.app[SERVICE].put(request.match_info["app"], body, if_match)
    return app_reply(request, view, 201 if is_new else 200)


async def plan_app(request: web.Request) -> web.Response:
    """POST /v1/apps/{app}/plan: what a PUT of this body would do."""
    body = decode(AppBody, _writable(await body_of(request)))
    return reply(request.app[SERVICE].preview(request.match_info["app"], body).wire())


async def patch_app(request: web.Request) -> web.Response:
    """PATCH /v1/apps/{app}: a JSON merge patch."""
    service, name = request.app[SERVICE], request.match_info["app"]
    patch = await body_of(request)
    view = service.app(name)
    current = app_wire(view, service.domain)
    if isinstance(patch, dict) and isinstance(patch.get("template"), dict):
        # A suffix names the revision that is made; the one that GET shows is taken already.
        current["template"]["revisionSuffix"] = ""
    body = decode(AppBody, _writable(merge_patch(current, patch)))
    view, _ = service.put(name.lower(), body, request.headers.get("If-Match", ""))
    return app_reply(request, view)


async def delete_app(request: web.Request) -> web.Response:
    """DELETE /v1/apps/{app}."""
    request.app[SERVICE].delete(request.match_info["app"], request.headers.get("If-Match", ""))
    return web.Response(status=204)


async def set_mode(request: web.Request) -> web.Response:
    """PUT /v1/apps/{app}/mode."""
    body = decode(ModeBody, await body_of(request))
    service, name = request.app[SERVICE], request.match_info["app"]
    return app_reply(request, service.set_mode(name, body.mode, body.target_label.lower()))


async def stop_app(request: web.Request) -> web.Response:
    """POST /v1/apps/{app}/stop."""
    name = request.match_info["app"]
    return app_reply(request, request.app[SERVICE].set_stopped(name, is_stopped=True))


async def start_app(request: web.Request) -> web.Response:
    """POST /v1/apps/{app}/start."""
    name = request.match_info["app"]
    return app_reply(request, request.app[SERVICE].set_stopped(name, is_stopped=False))
