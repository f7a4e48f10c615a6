"""Every route in one screen."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Middleware

from control.api import (
    apps,
    explain,
    journal,
    keys,
    revisions,
    secrets,
    sync,
    traffic,
    transactions,
)
from control.api.admin import AdminPages
from control.api.azure import routes as azure
from control.api.azure import signin
from control.api.problems import render_problems
from control.publisher import Publisher
from control.reconciler import Reconciler
from control.service import Service
from control.settings import ControlSettings
from router.admin import guard

_APP = "/v1/apps/{app}"
_ARM = "/{slashes:/*}{root:(?i:subscriptions|tenants)}{path:(/.*)?}"
_REVISION = _APP + "/revisions/{revision}"


def routes(admin: AdminPages) -> list[web.RouteDef]:
    """The table of routes."""
    return [
        web.get("/metrics", admin.metrics),
        web.get("/healthz", admin.healthz),
        web.get("/readyz", admin.readyz),
        web.get("/table", admin.table),
        web.get("/v1/apps", apps.list_apps),
        web.get(_APP, apps.get_app),
        web.put(_APP, apps.put_app),
        web.patch(_APP, apps.patch_app),
        web.delete(_APP, apps.delete_app),
        web.post(_APP + "/stop", apps.stop_app),
        web.post(_APP + "/start", apps.start_app),
        web.put(_APP + "/mode", apps.set_mode),
        web.get(_APP + "/traffic", traffic.get_traffic),
        web.put(_APP + "/traffic", traffic.set_traffic),
        web.post(_APP + "/labels/swap", traffic.swap_labels),
        web.put(_APP + "/labels/{label}", traffic.put_label),
        web.delete(_APP + "/labels/{label}", traffic.delete_label),
        web.get(_APP + "/labels/{label}/history", traffic.label_history),
        web.delete(_APP + "/labels/{label}/history", traffic.forget_label),
        web.get(_APP + "/secrets", secrets.list_names),
        web.patch(_APP + "/secrets", secrets.set_secrets),
        web.delete(_APP + "/secrets/{secret}", secrets.remove_secret),
        web.post(_APP + "/listSecrets", secrets.list_values),
        web.get(_APP + "/revisions", revisions.list_revisions),
        web.get(_REVISION, revisions.get_revision),
        web.post(_REVISION + "/copy", revisions.copy),
        web.post(_REVISION + "/activate", revisions.activate),
        web.post(_REVISION + "/deactivate", revisions.deactivate),
        web.post(_REVISION + "/restart", revisions.restart),
        web.get(_REVISION + "/replicas", revisions.list_replicas),
        web.get(_REVISION + "/replicas/{replica}", revisions.get_replica),
        web.get(_REVISION + "/replicas/{replica}/logs", revisions.get_logs),
        web.post("/v1/transactions", transactions.transact),
        web.get("/v1/journal", journal.get_journal),
        web.post(_APP + "/rollback", journal.roll_back),
        web.get("/v1/explain", explain.get_explanation),
        web.post("/v1/sync", sync.sync),
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
    app[keys.ENVIRONMENT] = settings.environment
    app.add_routes([*routes(admin), *(signin.routes() if signs_in else [])])
    return app
