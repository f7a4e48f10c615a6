"""The control plane's application: the native API, Azure's, the admin pages, and their guards."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Middleware

from control.api import keys, openapi, session
from control.api.admin import AdminPages
from control.api.azure import routes as azure
from control.api.azure import signin
from control.api.live import Live
from control.api.routes import ENDPOINTS
from control.api.sync import sync
from control.api.wire.problems import render_problems
from control.api.wire.rendered import Rendered
from control.changes.changes import Changes
from control.console import files
from control.console.session import Codes
from control.publish.publisher import Publisher
from control.reconcile.reconciler import Reconciler
from control.settings import ControlSettings
from router.process.admin.refusals import tokens_of
from router.process.door import SYNC
from router.process.guard import guard

_ARM = "/{slashes:/*}{root:(?i:subscriptions|tenants)}{path:(/.*)?}"


def routes(admin: AdminPages) -> list[web.RouteDef]:
    return [
        web.get("/metrics", admin.metrics),
        web.get("/healthz", admin.healthz),
        web.get("/readyz", admin.readyz),
        web.get("/table", admin.table),
        *openapi.routes(),
        *files.routes(),
        *(endpoint.route for endpoint in ENDPOINTS),
        web.route("*", _ARM, azure.dispatch),
    ]


def build(
    settings: ControlSettings,
    changes: Changes,
    publisher: Publisher,
    reconciler: Reconciler,
    admin: AdminPages,
    live: Live,
    *,
    is_local: bool = False,
    signs_in: bool = False,
) -> web.Application:
    """The application; `signs_in` adds the endpoints by which az signs in.

    `is_local` is for the socket from which this host's router follows. It is guarded by its file
    mode: only a user that may open it may read STATE/token, too.
    """
    middlewares: list[Middleware] = []
    tokens = tokens_of(settings)
    if not is_local and (signs_in or not settings.admin.startswith("unix:")):
        paths, forms = (signin.PATHS, signin.FORMS) if signs_in else ((), ())
        open_paths = (*openapi.PATHS, *paths)
        middlewares = [guard(settings, tokens, open_paths, forms, _is_open, session.finds)]
    app = web.Application(
        middlewares=[*middlewares, render_problems],
        client_max_size=settings.max_body_bytes,
    )
    app[keys.TOKENS] = tokens
    app[keys.CHANGES] = changes
    app[keys.PUBLISHER] = publisher
    app[keys.LIVE] = live
    app[keys.CODES] = Codes()
    app[keys.STATE] = settings.state
    app[keys.RENDERED] = Rendered()
    app[keys.RECONCILER] = reconciler
    if is_local:
        app.router.add_post(SYNC[1], sync)
    else:
        app.add_routes([*routes(admin), *(signin.routes() if signs_in else [])])
    return app


def _is_open(method: str, path: str) -> bool:
    """Whether a browser needs no token: for the console's files, and to sign in and out."""
    return files.is_open(path) or (path == session.PATH and method in ("POST", "DELETE"))
