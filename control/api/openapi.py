"""The OpenAPI document, made from the routes and the models, and a page to read it.

What several fields mean together (weights that sum to 100, names that exist) is no part of it:
breaking such a rule is a 400 or 409 with a sentence.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import Any

import orjson
from aiohttp import web
from pydantic.json_schema import models_json_schema

from control.api.routes import ENDPOINTS, Endpoint
from control.api.wire.problems import reply
from router import __version__

PATHS = ("/openapi.json", "/docs")
"""Open without a token, which a browser cannot send: they say nothing of what is here."""

_REF = "#/components/schemas/{model}"
_TEXT, _NUMBER, _BOOL = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
_MUTATING = ("PUT", "PATCH", "POST", "DELETE")
_EXAMPLES = {"app": "shop", "revision": "shop--v1", "label": "blue", "secret": "db",
             "replica": "shop--v1-x2c4v"}  # fmt: skip
# the answers of requests that support a dry run
_CHANGED = ("App", "Apps", "Names", "Revision", "")
_ERRORS = {400: "A rule is broken; nothing was changed.", 401: "A token is needed.",
           403: "The token may only read.", 404: "What was named does not exist.",
           409: "The present state forbids it.", 412: "If-Match named another version.",
           413: "The body is too large.", 503: "The state cannot be written."}  # fmt: skip


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {"type": "object", "properties": required | optional, "required": list(required)}


def _list(name: str, key: str = "value", **more: Any) -> dict[str, Any]:
    items = {"type": "array", "items": {"$ref": _REF.format(model=name)}}
    return _object({key: items}, nextLink=_TEXT, **more)


_OBJECT = {"type": "object"}
_NAMES = {"type": "array", "items": _TEXT}
_ANSWERS = {
    "App": _object(
        {"name": _TEXT, "version": _NUMBER, "provisioningState": _TEXT, "runningStatus": _TEXT,
         "latestRevisionName": _TEXT, "latestReadyRevisionName": _TEXT, "configuration": _OBJECT,
         "template": _OBJECT, "createdTime": _TEXT, "lastModifiedTime": _TEXT},
        provisioningError=_TEXT, latestRevisionFqdn=_TEXT, tags=_OBJECT, quarantined=_TEXT,
        resourceGroup=_TEXT, environment=_TEXT, location=_TEXT, cancelled=_TEXT, restored=_OBJECT,
        sameImage=_BOOL,
    ),
    "Revision": _object(
        {"name": _TEXT, "uid": _TEXT, "active": _BOOL},
        createdTime=_TEXT, replicas=_NUMBER, restarts=_NUMBER, trafficWeight=_NUMBER, labels=_NAMES,
        lastActiveTime=_TEXT, fqdn=_TEXT, provisioningState=_TEXT, runningState=_TEXT,
        runningStateDetails=_TEXT, healthState=_TEXT, provisioningError=_TEXT, template=_OBJECT,
        fault=_OBJECT, errorPercent=_NUMBER,
    ),
    "Replica": _object(
        {"name": _TEXT, "createdTime": _TEXT, "runningState": _TEXT, "state": _TEXT,
         "address": _TEXT, "containers": {"type": "array", "items": _OBJECT}},
        runningStateDetails=_TEXT, node=_TEXT, lastFailure=_OBJECT,
    ),
    "Record": _object({"number": _NUMBER, "time": _TEXT, "app": _TEXT, "who": _TEXT,
                       "note": _TEXT, "changes": _NAMES}, rolledBackTo=_NUMBER),
    "Stint": _object({"revision": _TEXT, "start": _TEXT, "status": _TEXT}, stop=_TEXT),
    "Name": _object({"name": _TEXT}),
    "SecretValue": _object({"name": _TEXT, "value": _TEXT}),
    "Rule": _object({"weight": _NUMBER}, revisionName=_TEXT, latestRevision=_BOOL, label=_TEXT),
    "Problem": _object({"error": _object({"code": _TEXT, "message": _TEXT},
                                         details={"type": "array", "items": _OBJECT})}),
    "Preview": _object({"apps": {"type": "object", "additionalProperties": _OBJECT}}),
    "Apps": _list("App"), "Revisions": _list("Revision"), "Replicas": _list("Replica"),
    "Journal": _list("Record"), "Histories": _list("Stint", "records"), "Names": _list("Name"),
    "Secrets": _list("SecretValue"),
    "Traffic": _list("Rule", "traffic", latestServes=_TEXT),
    "Session": _object({"name": _TEXT, "role": _TEXT}, proof=_TEXT),
    "Code": _object({"code": _TEXT}),
    "Hour": _object({"minutes": {"type": "array", "items": {"type": "array"}}}),
    "Events": _TEXT, "Logs": _object({"lines": _NAMES}), "Explanation": _OBJECT, "Table": _OBJECT,
}  # fmt: skip


@cache
def document() -> dict[str, Any]:
    """The document as JSON-ready values."""
    bodies = sorted({e.body for e in ENDPOINTS if e.body is not None}, key=lambda m: m.__name__)
    _, models = models_json_schema([(model, "validation") for model in bodies], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "turnout", "version": __version__, "description": __doc__},
        "paths": paths,
        "components": {
            "schemas": _ecma(models.get("$defs", {})) | _ANSWERS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _ecma(schema: Any) -> Any:
    r"""Patterns in the form of JSON Schema, where `$` ends a text and `\z` means nothing."""
    if isinstance(schema, dict):
        return {
            key: value.replace("\\z", "$") if key == "pattern" else _ecma(value)
            for key, value in schema.items()
        }
    return [_ecma(item) for item in schema] if isinstance(schema, list) else schema


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    doc = (endpoint.handler.__doc__ or "").strip()
    names = re.findall(r"{(\w+)}", endpoint.path)
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT}
        | {"example": _EXAMPLES[name]}
        for name in names
    ]
    query = [*endpoint.query]
    if endpoint.method in _MUTATING and endpoint.answer in _CHANGED:
        query.append(("dryRun", "boolean"))
    parameters += [
        {"name": name, "in": "query", "required": name == "url", "schema": {"type": kind}}
        for name, kind in query
    ]
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__module__.rpartition(".")[2]
        + "_" + endpoint.handler.__name__,
        "summary": doc,
        "parameters": parameters,
        "responses": _responses(endpoint),
    }  # fmt: skip
    if endpoint.body is not None:
        model = {"$ref": _REF.format(model=endpoint.body.__name__)}
        schema: dict[str, Any] = {"type": "object"} if endpoint.is_patch else model
        operation["requestBody"] = {
            "required": not endpoint.is_body_optional,
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status in endpoint.statuses:
        found[str(status)] = {"description": "Done."}
        if endpoint.answer and status != 204:
            found[str(status)] |= _content(endpoint.answer)
    if endpoint.method in _MUTATING and endpoint.answer in _CHANGED:
        schema = [{"$ref": _REF.format(model=n)} for n in ("Preview", endpoint.answer) if n]
        found["200"] = {
            "description": "Done, or with dryRun what would be done.",
            "content": {"application/json": {"schema": {"anyOf": schema}}},
        }
    for status, sentence in _ERRORS.items():
        found[str(status)] = {"description": sentence} | _content("Problem")
    return found


def _content(model: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REF.format(model=model)}}}
    if model == "Events":
        return {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
    if model == "Logs":
        content["text/plain"] = {"schema": {"type": "string"}}
    return {"content": content}


async def get_document(_: web.Request) -> web.Response:
    """GET /openapi.json."""
    return reply(document())


async def get_page(_: web.Request) -> web.Response:
    """GET /docs: the document for a person, without anything from elsewhere."""
    return web.Response(text=_page(), content_type="text/html", headers=_NOTHING_ELSE)


def routes() -> list[web.RouteDef]:
    document_path, page_path = PATHS
    return [web.get(document_path, get_document), web.get(page_path, get_page)]


_NOTHING_ELSE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
}
_HOW = """Every operation asks for a token. The first start of a server has written one to
<code>STATE/token</code>:<pre>curl -H "Authorization: Bearer $(cat .turnout/token)" \
     http://127.0.0.1:8081/v1/apps</pre>"""


_STYLE = """body{font:15px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}
summary{cursor:pointer;padding:.35rem 0}code{font:13px ui-monospace,monospace}
b{display:inline-block;width:4.5rem}pre{background:#f3f4f6;padding:.75rem;overflow:auto}
h2{margin-top:2rem;border-bottom:1px solid #e5e7eb}"""


@cache
def _page() -> str:
    schemas = document()["components"]["schemas"]
    operations = "".join(_shown(endpoint) for endpoint in ENDPOINTS)
    models = "".join(
        f"<details id='{name}'><summary><code>{name}</code></summary>"
        f"<pre>{_pretty(schemas[name])}</pre></details>"
        for name in sorted(schemas)
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>turnout API</title>"
        f"<style>{_STYLE}</style><h1>turnout {__version__}</h1>"
        f"<p>{escape(__doc__ or '')}</p><p>{_HOW}</p>"
        f"<p><a href='/openapi.json'>openapi.json</a></p><h2>Operations</h2>{operations}"
        f"<h2>Models</h2>{models}</html>"
    )


def _shown(endpoint: Endpoint) -> str:
    doc = escape((endpoint.handler.__doc__ or "").strip())
    body, answer = endpoint.body, endpoint.answer
    parts = [f"<p>{doc}</p>"]
    if body is not None:
        kind = "merge patch of " if endpoint.is_patch else ""
        parts.append(f"<p>Body: {kind}<a href='#{body.__name__}'>{body.__name__}</a></p>")
    if answer:
        parts.append(f"<p>Answer: <a href='#{answer}'>{answer}</a></p>")
    title = f"<b>{endpoint.method}</b><code>{escape(endpoint.path)}</code>"
    return f"<details><summary>{title}</summary>{''.join(parts)}</details>"


def _pretty(schema: Any) -> str:
    return escape(orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode())
