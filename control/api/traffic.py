"""Handlers of traffic rules and labels."""

from __future__ import annotations

from aiohttp import web

from control.api.apps import app_answer
from control.api.keys import CHANGES
from control.api.wire.caller import answer, caller_of
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
    view = request.app[CHANGES].read.app(request.match_info["app"])
    app = view.app
    assert app is not None
    serves = app.serving if app.is_single and app.serving else latest_ready(view)
    rules = [rule.wire() for rule in rules_of(app)]
    return reply({"traffic": rules} | ({"latestServes": serves} if serves else {}))


async def set_traffic(request: web.Request) -> web.Response:
    """PUT /v1/apps/{app}/traffic: the whole list."""
    body = decode(TrafficBody, await body_of(request))
    changes, name = request.app[CHANGES], request.match_info["app"]
    return app_answer(request, changes.set_traffic(caller_of(request), name, body.traffic))


async def put_label(request: web.Request) -> web.Response:
    """PUT /v1/apps/{app}/labels/{label}."""
    body, match = decode(LabelBody, await body_of(request)), request.match_info
    done = request.app[CHANGES].add_label(
        caller_of(request), match["app"], match["label"], body.revision
    )
    return app_answer(request, done)


async def delete_label(request: web.Request) -> web.Response:
    """DELETE /v1/apps/{app}/labels/{label}."""
    changes, match = request.app[CHANGES], request.match_info
    done = changes.remove_label(caller_of(request), match["app"], match["label"])
    return app_answer(request, done)


async def swap_labels(request: web.Request) -> web.Response:
    """POST /v1/apps/{app}/labels/swap."""
    body = decode(SwapBody, await body_of(request))
    changes, name = request.app[CHANGES], request.match_info["app"]
    done = changes.swap_labels(caller_of(request), name, body.first, body.second)
    return app_answer(request, done)


async def label_history(request: web.Request) -> web.Response:
    """GET /v1/apps/{app}/labels/{label}/history, newest first."""
    match = request.match_info
    label = match["label"].lower()
    return reply({"records": history_wire(request.app[CHANGES].read.app(match["app"]), label)})


async def forget_label(request: web.Request) -> web.Response:
    """DELETE /v1/apps/{app}/labels/{label}/history: what holds stays on record."""
    changes, match = request.app[CHANGES], request.match_info
    done = changes.forget_label(caller_of(request), match["app"], match["label"].lower())
    return answer(done, lambda _: web.Response(status=204))
