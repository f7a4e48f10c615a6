"""Apps, and the operations that clients wait for."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from control.api.azure import accepted, operations, shapes
from control.api.azure.call import Call, listed, operation_headers, resource
from control.api.azure.operations import Operation
from control.api.wire.bodies import has_template, merge_patch
from control.api.wire.caller import answer
from control.api.wire.problems import body_of, decode, reply
from control.api.wire.representation import app_wire, name_of
from control.changes.images import ComparedImages
from control.model.errors import Invalid, NotFound
from control.model.kinds import LabelName
from control.model.resources import AppView
from control.model.schema import AppBody, AppProperties
from control.rules import domains


async def list_apps(call: Call) -> web.Response:
    """All apps, or those of a resource group."""
    views = call.changes.read.apps()
    if "group" in call.names:
        group, group_of = call.find_group(), call.changes.places.group_of
        views = [view for view in views if view.app and group_of(view.app) == group]
    return listed(call, views, name_of, lambda view: resource(call, view))


async def get_app(call: Call) -> web.Response:
    return reply(resource(call, call.find_app()))


async def put_app(call: Call) -> web.Response:
    """PUT replaces the app, its tags too."""
    envelope = await body_of(call.request)
    accepted.check_app(envelope)
    properties = _decoded(accepted.properties_of(envelope))
    location = envelope.get("location") or None
    body = _placed(call, properties, envelope, envelope.get("tags") or {}, location)
    done = call.changes.put(call.caller, call.app, body)
    return answer(done, lambda made: _accepted(call, made[0], 201 if made[1] else 200))


async def patch_app(call: Call) -> web.Response:
    """A JSON merge patch, whatever its content type."""
    envelope = await body_of(call.request)
    accepted.check_app(envelope)
    patch = accepted.properties_of(envelope)

    def patched(view: AppView) -> AppBody:
        assert view.app is not None
        shown = app_wire(view, call.changes.domain)
        current = {"configuration": shown["configuration"], "template": shown["template"]}
        if has_template(patch):
            # A suffix in the body names the new revision; the one that GET shows is taken already.
            current["template"]["revisionSuffix"] = ""
        properties = _decoded(merge_patch(current, patch))
        tags = merge_patch(view.app.tags, envelope.get("tags", {})) or {}
        return _placed(call, properties, envelope, tags)

    is_asked = has_template(patch)
    images = await call.changes.compared_images(call.app) if is_asked else ComparedImages()
    done = call.changes.patch(
        call.caller, call.app, patched, is_asked=is_asked, rebuilt=images.rebuilt
    )
    return answer(done, lambda view: _accepted(call, view, 202))


def _decoded(properties: dict[str, Any]) -> AppProperties:
    return decode(AppProperties, accepted.with_azures_defaults(accepted.writable(properties)))


def _placed(
    call: Call, properties: AppProperties, envelope: Any, tags: Any, location: str | None = None
) -> AppBody:
    """The properties together with what stands beside them; `envelope` names the environment."""
    beside = {
        "tags": tags,
        "resourceGroup": call.names["group"],
        "environment": accepted.environment_of(accepted.properties_of(envelope)),
        "location": location,
    }
    return decode(AppBody, properties.model_dump(by_alias=True) | beside)


def _accepted(call: Call, view: AppView, status: int) -> web.Response:
    """The resource, with an operation to wait for while its newest revision is provisioned."""
    assert view.app is not None
    operation = Operation.of_deploy(view)
    state, _ = operations.status(operation, view)
    if state == "InProgress":
        # The SDK takes 202 for an error after a PUT, and 200 for the end after either.
        headers = operation_headers(call, operation, with_result=status == 202)
        return reply(resource(call, view), 202 if status == 202 else 201, headers)
    return reply(resource(call, view), 201 if status == 201 else 200)


async def delete_app(call: Call) -> web.Response:
    """204 also for an app that is not in this group, even if another group has one of that name."""
    if not call.holds_unreadable():
        try:
            call.find_app()
        except NotFound:
            return web.Response(status=204)
    done = call.changes.delete(call.caller, call.app)
    headers = operation_headers(call, Operation("delete", call.app), with_result=True)
    return answer(done, lambda _: web.Response(status=202, headers=headers))


async def stop_app(call: Call) -> web.Response:
    return _set_stopped(call, is_stopped=True)


async def start_app(call: Call) -> web.Response:
    return _set_stopped(call, is_stopped=False)


def _set_stopped(call: Call, *, is_stopped: bool) -> web.Response:
    done = call.changes.set_stopped(call.caller, call.app, is_stopped=is_stopped)
    return answer(done, lambda view: reply(resource(call, view)))


async def list_secrets(call: Call) -> web.Response:
    app = call.find_app().app
    assert app is not None
    return reply({"value": [secret.wire() for secret in app.configuration.secrets]})


async def analyse_host_name(call: Call) -> web.Response:
    """Whether a custom domain is free. DNS is not asked: it need not point here yet."""
    name = call.request.query.get("customHostname", "").lower()
    if not name:
        raise Invalid("customHostname is missing; name the host to look at")
    rival = call.changes.read.rival(call.app, name)
    analysis: dict[str, Any] = {
        "hostName": name,
        "isHostnameAlreadyVerified": name in domains.claimed(call.changes.read.peek(call.app)),
        "customDomainVerificationTest": "Passed",
        "hasConflictOnManagedEnvironment": bool(rival),
        "conflictWithEnvironmentCustomDomain": False,
        "cNameRecords": [], "txtRecords": [], "aRecords": [], "alternateCNameRecords": [],
        "alternateTxtRecords": [],
    }  # fmt: skip
    owner = call.changes.read.peek(rival).app if rival else None
    if owner is not None:
        analysis["conflictingContainerAppResourceId"] = call.ids.app_id(owner)
    return reply(analysis)


async def list_histories(call: Call) -> web.Response:
    app = call.find_app().app
    assert app is not None
    return listed(call, sorted(app.label_history), str, lambda label: _history(call, label))


async def get_history(call: Call) -> web.Response:
    return reply(_history(call, call.label))


async def delete_history(call: Call) -> web.Response:
    done = call.changes.forget_label(call.caller, call.app, call.label)
    return answer(done, lambda _: web.Response(status=204))


def _history(call: Call, label: LabelName) -> dict[str, Any]:
    return shapes.label_history_resource(call.find_app(), label, call.ids)


# --- operations


def _find(call: Call) -> tuple[Operation, AppView]:
    operation = operations.parse(call.names["operation"])
    return operation, call.changes.read.peek(operation.app)


async def operation_status(call: Call) -> web.Response:
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


async def operation_result(call: Call) -> web.Response:
    operation, view = _find(call)
    state, error = operations.status(operation, view)
    if state == "InProgress":
        headers = operation_headers(call, operation, with_result=True)
        return web.Response(status=202, headers=headers)
    if error is not None:
        raise Invalid(error["message"], code=error["code"])
    if view.app is None:
        return web.Response(status=204)
    return reply(resource(call, view))
