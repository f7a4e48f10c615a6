"""Handlers of traffic rules and labels."""

from __future__ import annotations

from aiohttp import web

from control.api.apps import app_answer
from control.api.keys import CHANGES
from control.api.wire.caller import answer, caller_of
from control.api.wire.names import app_of, label_of
from control.api.wire.problems import body_of, decode, reply
from control.api.wire.representation import history_wire
from control.model.kinds import LabelName, Model, RevisionName, folded
from control.model.schema import TrafficRule
from control.model.traffic import latest_ready, rules_of


class TrafficBody(Model):
    """What replaces the traffic rules."""

    traffic: tuple[TrafficRule, ...]


class LabelBody(Model):
    """Where a label goes."""

    revision: RevisionName


class SwapBody(Model):
    """Two labels that change places."""

    first: LabelName
    second: LabelName


async def get_traffic(request: web.Request) -> web.Response:
    """GET /v1/apps/{app}/traffic; `latestServes` is whom latestRevision means now."""
    view = request.app[CHANGES].read.app(app_of(request))
    app = view.app
    assert app is not None
    serves = app.serving if app.is_single and app.serving else latest_ready(view)
    rules = [rule.wire() for rule in rules_of(app)]
    return reply({"traffic": rules} | ({"latestServes": serves} if serves else {}))


async def set_traffic(request: web.Request) -> web.Response:
    """PUT /v1/apps/{app}/traffic: the whole list."""
    body = decode(TrafficBody, await body_of(request))
    changes, name = request.app[CHANGES], app_of(request)
    return app_answer(request, changes.set_traffic(caller_of(request), name, body.traffic))


async def put_label(request: web.Request) -> web.Response:
    """PUT /v1/apps/{app}/labels/{label}."""
    body = decode(LabelBody, await body_of(request))
    done = request.app[CHANGES].add_label(
        caller_of(request), app_of(request), label_of(request), body.revision
    )
    return app_answer(request, done)


async def delete_label(request: web.Request) -> web.Response:
    """DELETE /v1/apps/{app}/labels/{label}."""
    changes = request.app[CHANGES]
    done = changes.remove_label(caller_of(request), app_of(request), label_of(request))
    return app_answer(request, done)


async def swap_labels(request: web.Request) -> web.Response:
    """POST /v1/apps/{app}/labels/swap."""
    body = decode(SwapBody, await body_of(request))
    changes, name = request.app[CHANGES], app_of(request)
    done = changes.swap_labels(caller_of(request), name, body.first, body.second)
    return app_answer(request, done)


async def label_history(request: web.Request) -> web.Response:
    """GET /v1/apps/{app}/labels/{label}/history, newest first."""
    label = folded(label_of(request))
    return reply({"records": history_wire(request.app[CHANGES].read.app(app_of(request)), label)})


async def forget_label(request: web.Request) -> web.Response:
    """DELETE /v1/apps/{app}/labels/{label}/history: what holds stays on record."""
    changes = request.app[CHANGES]
    done = changes.forget_label(caller_of(request), app_of(request), folded(label_of(request)))
    return answer(done, lambda _: web.Response(status=204))
