"""GET /v1/explain?url=URL: which revision would answer, and why."""

from __future__ import annotations

from aiohttp import web

from control.api.keys import CHANGES, PUBLISHER
from control.api.wire.problems import reply
from control.model.errors import Invalid
from control.publish.explain import explain


async def get_explanation(request: web.Request) -> web.Response:
    """What would become of a request."""
    url = request.query.get("url", "")
    if not url:
        raise Invalid("give the request's URL: /v1/explain?url=http://HOST/PATH")
    changes = request.app[CHANGES]
    views = {view.app.name: view for view in changes.read.apps() if view.app is not None}
    return reply(explain(views, changes.domain, request.app[PUBLISHER].version, url))
