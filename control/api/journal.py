"""Handlers of the journal: what was changed, and back to a record of it."""

from __future__ import annotations

from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from control.api.apps import app_reply
from control.api.keys import SERVICE
from control.api.problems import body_of, decode, reply
from control.api.wire import moment
from control.errors import Invalid
from control.journal import Record
from control.model import Model

_MOST = 500


class RollbackBody(Model):
    """Which record to go back to; 0 for the one before the last."""

    to: Annotated[int, Field(ge=0)] = 0


async def get_journal(request: web.Request) -> web.Response:
    """GET /v1/journal?app=&before=&limit=, newest first."""
    query = request.query
    before, limit = _number(query.get("before", "0")), _number(query.get("limit", "50"))
    records = request.app[SERVICE].journal(query.get("app", ""), before, min(limit, _MOST))
    return reply({"value": [_wire(record) for record in records]})


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Invalid(f"{text!r} is not a number")
    return int(text)


def _wire(record: Record) -> dict[str, Any]:
    return {
        "number": record.number,
        "time": moment(record.at),
        "app": record.app,
        "who": record.who,
        "note": record.note,
        "changes": record.changes,
    }


async def roll_back(request: web.Request) -> web.Response:
    """POST /v1/apps/{app}/rollback {"to": N}."""
    raw = await body_of(request) if await request.read() else {}
    body = decode(RollbackBody, raw)
    view = request.app[SERVICE].roll_back(request.match_info["app"], body.to)
    return app_reply(request, view)
