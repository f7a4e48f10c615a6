"""The control plane's application: the native API, Azure's, the admin pages, and their guards."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Middleware

from control.api import keys, openapi
from control.api.admin import AdminPages
from control.api.azure import routes as azure
from control.api.azure import signin
from control.api.routes import ENDPOINTS
from control.api.sync import sync
from control.api.wire.problems import render_problems
from control.api.wire.rendered import Rendered
from control.changes.changes import Changes
from control.publish.publisher import Publisher
from control.reconcile.reconciler import Reconciler
from control.settings import ControlSettings
from router.process.door import SYNC
from router.process.guard import guard, tokens_of

_ARM = "/{slashes:/*}{root:(?i:subscriptions|tenants)}{path:(/.*)?}"


def routes(admin: AdminPages) -> list[web.RouteDef]:
    """All routes."""
    return [
        web.get("/metrics", admin.metrics),
        web.get("/healthz", admin.healthz),
        web.get("/readyz", admin.readyz),
        web.get("/table", admin.table),
        *openapi.routes(),
        *(endpoint.route for endpoint in ENDPOINTS),
        web.route("*", _ARM, azure.dispatch),
    ]


def build(
    settings: ControlSettings,
    changes: Changes,
    publisher: Publisher,
    reconciler: Reconciler,
    admin: AdminPages,
    *,
    is_local: bool = False,
    signs_in: bool = False,
) -> web.Application:
    """The application; `signs_in` adds the endpoints by which az signs in.

    `is_local` is for the socket on which this host's router follows. Its file mode is its guard:
    only the user who may open it may read STATE/token, too.
    """
    middlewares: list[Middleware] = []
    tokens = tokens_of(settings)
    if not is_local and (signs_in or not settings.admin.startswith("unix:")):
        paths, forms = (signin.PATHS, signin.FORMS) if signs_in else ((), ())
        middlewares = [guard(settings, tokens, (*openapi.PATHS, *paths), forms)]
    app = web.Application(
        middlewares=[*middlewares, render_problems],
        client_max_size=settings.max_body_bytes,
    )
    app[keys.TOKENS] = tokens
    app[keys.CHANGES] = changes
    app[keys.PUBLISHER] = publisher
    app[keys.RENDERED] = Rendered()
    app[keys.RECONCILER] = reconciler
    if is_local:
        app.router.add_post(SYNC[1], sync)
    else:
        app.add_routes([*routes(admin), *(signin.routes() if signs_in else [])])
    return app
