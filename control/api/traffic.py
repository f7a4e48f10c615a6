"""Handlers of traffic rules and labels."""

from __future__ import annotations

from aiohttp import web

from control.api.apps import app_reply
from control.api.keys import SERVICE
from control.api.wire.problems import body_of, decode, reply
from control.api.wire.representation import history_wire
from control.model.body import Model
from control.model.schema import TrafficRule
from control.model.traffic import latest_ready, rules_of


class TrafficBody(Model):
    """What replaces the traffic rules."""

    traffic: tuple[TrafficRule, ...]


class LabelBody(Model):
    """Where a label goes."""

    revision: str


class SwapBody(Model):
    """Two labels that change places."""

    first: str
    second: str


async def get_traffic(request: web.Request) -> web.Response:
    """GET /v1/apps/{app}/traffic; `latestServes` is whom latestRevision means now."""
    view = request.app[SERVICE].app(request.match_info["app"])
    app = view.app
    assert app is not None
    serves = app.serving if app.is_single and app.serving else latest_ready(view)
    rules = [rule.wire() for rule in rules_of(app)]
    return reply({"traffic": rules} | ({"latestServes": serves} if serves else {}))


async def set_traffic(request: web.Request) -> web.Response:
    """PUT /v1/apps/{app}/traffic: the whole list."""
    body = decode(TrafficBody, await body_of(request))
    name = request.match_info["app"]
    return app_reply(request, request.app[SERVICE].set_traffic(name, body.traffic))


async def put_label(request: web.Request) -> web.Response:
    """PUT /v1/apps/{app}/labels/{label}."""
    body, match = decode(LabelBody, await body_of(request)), request.match_info
    view = request.app[SERVICE].add_label(match["app"], match["label"], body.revision)
    return app_reply(request, view)


async def delete_label(request: web.Request) -> web.Response:
    """DELETE /v1/apps/{app}/labels/{label}."""
    match = request.match_info
    return app_reply(request, request.app[SERVICE].remove_label(match["app"], match["label"]))


async def swap_labels(request: web.Request) -> web.Response:
    """POST /v1/apps/{app}/labels/swap."""
    body = decode(SwapBody, await body_of(request))
    name = request.match_info["app"]
    return app_reply(request, request.app[SERVICE].swap_labels(name, body.first, body.second))


async def label_history(request: web.Request) -> web.Response:
    """GET /v1/apps/{app}/labels/{label}/history, newest first."""
    match = request.match_info
    label = match["label"].lower()
    return reply({"records": history_wire(request.app[SERVICE].app(match["app"]), label)})


async def forget_label(request: web.Request) -> web.Response:
    """DELETE /v1/apps/{app}/labels/{label}/history: what holds stays on record."""
    match = request.match_info
    request.app[SERVICE].forget_label(match["app"], match["label"].lower())
    return web.Response(status=204)
