"""The control plane's application: the native API, Azure's, the admin pages, and their guards."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Middleware

from control.api import keys, openapi
from control.api.admin import AdminPages
from control.api.azure import routes as azure
from control.api.azure import signin
from control.api.problems import render_problems
from control.api.routes import ENDPOINTS
from control.publisher import Publisher
from control.reconciler import Reconciler
from control.service import Service
from control.settings import ControlSettings
from router.admin import guard

_ARM = "/{slashes:/*}{root:(?i:subscriptions|tenants)}{path:(/.*)?}"


def routes(admin: AdminPages) -> list[web.RouteDef]:
    """All routes."""
    return [
        web.get("/metrics", admin.metrics),
        web.get("/healthz", admin.healthz),
        web.get("/readyz", admin.readyz),
        web.get("/table", admin.table),
        web.get("/openapi.json", openapi.get_document),
        web.get("/docs", openapi.get_page),
        *(endpoint.route for endpoint in ENDPOINTS),
        web.route("*", _ARM, azure.dispatch),
    ]


def build(
    settings: ControlSettings,
    service: Service,
    publisher: Publisher,
    reconciler: Reconciler,
    admin: AdminPages,
    *,
    is_local: bool = False,
    signs_in: bool = False,
) -> web.Application:
    """The application; `is_local` for the unix socket, whose file mode is its guard.

    `signs_in` adds the endpoints by which az signs in.
    """
    open_paths = signin.PATHS if signs_in else ()
    middlewares: list[Middleware] = [] if is_local else [guard(settings, open_paths)]
    app = web.Application(
        middlewares=[*middlewares, render_problems],
        client_max_size=settings.max_body_bytes,
    )
    app[keys.SERVICE] = service
    app[keys.PUBLISHER] = publisher
    app[keys.RECONCILER] = reconciler
    app.add_routes([*routes(admin), *(signin.routes() if signs_in else [])])
    return app
