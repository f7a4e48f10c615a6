"""Every route of the native API in one screen: what is served, and what the document describes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from aiohttp import web
from pydantic import BaseModel

from control.api import (
    apps,
    events,
    explain,
    faults,
    journal,
    revisions,
    secrets,
    session,
    sync,
    traffic,
    transactions,
)
from control.model.schema import AppBody
from control.model.template import Template

Answer = Literal[
    "App", "Apps", "Code", "Events", "Explanation", "Histories", "Hour", "Journal", "Logs",
    "Names", "Replica", "Replicas", "Revision", "Revisions", "Secrets", "Session", "Table",
    "Traffic", "",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path. `answer` names a schema of openapi.py; empty for no body."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    answer: Answer
    body: type[BaseModel] | None = None
    is_patch: bool = False  # whether the body is a JSON merge patch of the model
    is_body_optional: bool = False
    query: tuple[tuple[str, str], ...] = ()  # names, with their JSON Schema types
    statuses: tuple[int, ...] = (200,)

    @property
    def route(self) -> web.RouteDef:
        """The endpoint as an aiohttp route."""
        return web.route(self.method, self.path, self.handler)


_APP = "/v1/apps/{app}"
_REVISION = _APP + "/revisions/{revision}"
_REPLICA = _REVISION + "/replicas/{replica}"
_LABEL = _APP + "/labels/{label}"
_JOURNAL = (("app", "string"), ("before", "integer"), ("limit", "integer"))
_FORCE = (("force", "boolean"),)
_PAGE = (("limit", "integer"), ("after", "string"))
_LOGS = (("tail", "integer"), ("follow", "boolean"), ("container", "string"))
_EVENTS = (("app", "string"), ("inactive", "boolean"), ("search", "string"), ("sort", "string"),
           ("limit", "integer"), ("offset", "integer"))  # fmt: skip
_E = Endpoint

ENDPOINTS = (
    _E("GET", "/v1/apps", apps.list_apps, "Apps", query=_PAGE),
    _E("GET", _APP, apps.get_app, "App"),
    _E("PUT", _APP, apps.put_app, "App", AppBody, statuses=(200, 201), query=_FORCE),
    _E("PATCH", _APP, apps.patch_app, "App", AppBody, is_patch=True, query=_FORCE),
    _E("DELETE", _APP, apps.delete_app, "", statuses=(204,)),
    _E("POST", _APP + "/stop", apps.stop_app, "App"),
    _E("POST", _APP + "/start", apps.start_app, "App"),
    _E("POST", _APP + "/cancel", apps.cancel, "App"),
    _E("PUT", _APP + "/mode", apps.set_mode, "App", apps.ModeBody),
    _E("GET", _APP + "/traffic", traffic.get_traffic, "Traffic"),
    _E("PUT", _APP + "/traffic", traffic.set_traffic, "App", traffic.TrafficBody),
    _E("POST", _APP + "/labels/swap", traffic.swap_labels, "App", traffic.SwapBody),
    _E("PUT", _LABEL, traffic.put_label, "App", traffic.LabelBody),
    _E("DELETE", _LABEL, traffic.delete_label, "App"),
    _E("GET", _LABEL + "/history", traffic.label_history, "Histories"),
    _E("DELETE", _LABEL + "/history", traffic.forget_label, "", statuses=(204,)),
    _E("GET", _APP + "/secrets", secrets.list_names, "Names", query=_PAGE),
    _E("PATCH", _APP + "/secrets", secrets.set_secrets, "Names", secrets.SecretsBody),
    _E("DELETE", _APP + "/secrets/{secret}", secrets.remove_secret, "Names"),
    _E("POST", _APP + "/listSecrets", secrets.list_values, "Secrets"),
    _E("GET", _APP + "/revisions", revisions.list_revisions, "Revisions", query=_PAGE),
    _E("GET", _REVISION, revisions.get_revision, "Revision"),
    _E("POST", _REVISION + "/copy", revisions.copy, "App", Template,
       is_patch=True, is_body_optional=True),
    _E("POST", _REVISION + "/activate", revisions.activate, "Revision"),
    _E("POST", _REVISION + "/deactivate", revisions.deactivate, "Revision"),
    _E("POST", _REVISION + "/restart", revisions.restart, "Revision"),
    _E("PUT", _REVISION + "/fault", faults.set_fault, "Revision", faults.FaultBody),
    _E("DELETE", _REVISION + "/fault", faults.clear_fault, "Revision"),
    _E("GET", _REVISION + "/replicas", revisions.list_replicas, "Replicas", query=_PAGE),
    _E("GET", _REPLICA, revisions.get_replica, "Replica"),
    _E("GET", _REPLICA + "/logs", revisions.get_logs, "Logs", query=_LOGS),
    _E("GET", _REVISION + "/history", events.get_history, "Hour"),
    _E("POST", "/v1/transactions", transactions.transact, "Apps", transactions.TransactionBody),
    _E("GET", "/v1/journal", journal.get_journal, "Journal", query=_JOURNAL),
    _E("POST", _APP + "/rollback", journal.roll_back, "App", journal.RollbackBody,
       is_body_optional=True),
    _E("GET", "/v1/explain", explain.get_explanation, "Explanation", query=(("url", "string"),)),
    _E("GET", "/v1/events", events.get_events, "Events", query=_EVENTS),
    _E("GET", session.PATH, session.who_am_i, "Session"),
    _E("POST", session.PATH, session.sign_in, "Session", session.SignInBody, statuses=(201,)),
    _E("DELETE", session.PATH, session.sign_out, "", statuses=(204,)),
    _E("POST", session.PATH + "/codes", session.make_code, "Code", statuses=(201,)),
    _E("POST", "/v1/sync", sync.sync, "Table", sync.Report, statuses=(200, 204)),
)  # fmt: skip
