"""Handlers of apps: create, read, change, delete, stop, start, mode."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import BeforeValidator

from control.api.keys import CHANGES, RECONCILER, RENDERED
from control.api.wire import bodies
from control.api.wire.caller import answer, caller_of
from control.api.wire.names import app_of
from control.api.wire.paging import listed
from control.api.wire.problems import body_of, decode, reply
from control.api.wire.representation import app_wire, name_of
from control.changes.changes import Outcome
from control.changes.images import ComparedImages
from control.changes.preconditions import is_known, tag_of
from control.model.kinds import NO_LABEL, LabelName, Model, folded
from control.model.resources import AppView
from control.model.schema import Mode
from control.rules.base_revision import base_of


class ModeBody(Model):
    """What sets the mode."""

    mode: Annotated[Mode, BeforeValidator(lambda v: v.lower() if isinstance(v, str) else v)]
    target_label: LabelName = NO_LABEL


def app_reply(
    request: web.Request, view: AppView, status: int = 200, **more: object
) -> web.Response:
    """An app with its ETag, and anything else that there is to say about a change."""
    assert view.app is not None
    wire = app_wire(view, request.app[CHANGES].domain) | more
    if why := request.app[RECONCILER].quarantine.why(view.app.name):
        wire["quarantined"] = why
    response = reply(wire, status)
    assert isinstance(response.body, bytes)
    response.headers["ETag"] = tag_of(view.app.version, response.body)
    return response


def app_answer(request: web.Request, done: Outcome) -> web.Response:
    """The answer to a change of one app."""
    return answer(done, lambda view: app_reply(request, view))


async def list_apps(request: web.Request) -> web.Response:
    """GET /v1/apps?limit=&after=, by name; `nextLink` is where the next page is.

    `quarantined` names the apps that are served as they were, and why.
    """
    changes, rendered = request.app[CHANGES], request.app[RENDERED]
    apps = changes.read.apps()
    rendered.keep(len(apps))
    quarantined = request.app[RECONCILER].quarantine.all()
    return listed(
        request,
        apps,
        name_of,
        lambda view: rendered.app(view, changes.domain),
        more={"quarantined": quarantined} if quarantined else {},
    )


async def get_app(request: web.Request) -> web.Response:
    """GET /v1/apps/{app}."""
    response = app_reply(request, request.app[CHANGES].read.app(app_of(request)))
    tag = response.headers["ETag"]
    if is_known(request.headers.get("If-None-Match", ""), tag):
        return web.Response(status=304, headers={"ETag": tag})
    return response


def is_forced(request: web.Request) -> bool:
    """Whether the caller wants a new revision even if nothing changed."""
    return request.query.get("force", "").lower() == "true"


async def put_app(request: web.Request) -> web.Response:
    """PUT /v1/apps/{app}; with force=true it makes a revision even if nothing changed.

    `sameImage` when nothing was made and the revision's images are what their tags mean now.
    """
    body = bodies.put(await body_of(request))
    changes, name = request.app[CHANGES], app_of(request)
    images = await changes.compared_images(name)
    done = changes.put(
        caller_of(request), name, body, is_forced=is_forced(request), rebuilt=images.rebuilt
    )

    def shown(made: tuple[AppView, bool]) -> web.Response:
        view, is_new = made
        return app_reply(request, view, 201 if is_new else 200, **_compared(view, images))

    return answer(done, shown)


def _compared(view: AppView, images: ComparedImages) -> dict[str, bool]:
    base = base_of(view)
    return {"sameImage": True} if base is not None and base.name in images.same else {}


async def patch_app(request: web.Request) -> web.Response:
    """PATCH /v1/apps/{app}: a JSON merge patch; force=true and `sameImage` as with PUT."""
    changes, patch = request.app[CHANGES], await body_of(request)
    name, is_asked = app_of(request), bodies.has_template(patch)
    images = await changes.compared_images(name) if is_asked else ComparedImages()
    done = changes.patch(
        caller_of(request),
        name,
        lambda view: bodies.patched(view, patch, changes.domain),
        is_asked=is_asked,
        is_forced=is_forced(request),
        rebuilt=images.rebuilt,
    )
    return answer(done, lambda view: app_reply(request, view, **_compared(view, images)))


async def delete_app(request: web.Request) -> web.Response:
    """DELETE /v1/apps/{app}."""
    done = request.app[CHANGES].delete(caller_of(request), app_of(request))
    return answer(done, lambda _: web.Response(status=204))


async def set_mode(request: web.Request) -> web.Response:
    """PUT /v1/apps/{app}/mode."""
    body = decode(ModeBody, await body_of(request))
    changes, name = request.app[CHANGES], app_of(request)
    caller, label = caller_of(request), folded(body.target_label)
    return app_answer(request, changes.set_mode(caller, name, body.mode, label))


async def cancel(request: web.Request) -> web.Response:
    """POST /v1/apps/{app}/cancel: give up the deploy under way; `cancelled` is its revision."""
    done = request.app[CHANGES].cancel(caller_of(request), app_of(request))
    return answer(done, lambda made: app_reply(request, made[0], cancelled=made[1].name))


async def stop_app(request: web.Request) -> web.Response:
    """POST /v1/apps/{app}/stop."""
    return _set_stopped(request, is_stopped=True)


async def start_app(request: web.Request) -> web.Response:
    """POST /v1/apps/{app}/start."""
    return _set_stopped(request, is_stopped=False)


def _set_stopped(request: web.Request, *, is_stopped: bool) -> web.Response:
    changes, name = request.app[CHANGES], app_of(request)
    return app_answer(request, changes.set_stopped(caller_of(request), name, is_stopped=is_stopped))
