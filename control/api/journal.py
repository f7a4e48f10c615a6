"""Handlers of the journal: what was changed, and back to a record of it."""

from __future__ import annotations

from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from control.api.apps import app_reply
from control.api.keys import CHANGES
from control.api.wire.caller import answer, caller_of
from control.api.wire.names import app_of
from control.api.wire.paging import limit_of, link
from control.api.wire.problems import body_of, decode, reply
from control.api.wire.representation import moment
from control.history.journal import Record
from control.model.errors import Invalid
from control.model.kinds import AppName, Model

_DEFAULT = 50


class RollbackBody(Model):
    """Which record to go back to; 0 for that before the last change which can be undone.

    That is refused when the app was changed after the record `newest`, if it is given.
    """

    to: Annotated[int, Field(ge=0)] = 0
    newest: Annotated[int, Field(ge=0)] = 0


async def get_journal(request: web.Request) -> web.Response:
    """GET /v1/journal?app=&before=&limit=, newest first."""
    query = request.query
    before, limit = _number(query.get("before", "0")), limit_of(query, "limit", _DEFAULT)
    found = request.app[CHANGES].read.journal(AppName(query.get("app", "")), before, limit + 1)
    body: dict[str, Any] = {"value": [_wire(record) for record in found[:limit]]}
    if len(found) > limit:
        body["nextLink"] = link(request, before=str(found[limit - 1].number))
    return reply(body)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Invalid(f"{text!r} is not a number")
    return int(text)


def _wire(record: Record) -> dict[str, Any]:
    led_to = {"rolledBackTo": record.restores} if record.restores and not record.is_waiting else {}
    return {
        "number": record.number,
        "time": moment(record.at),
        "app": record.app,
        "who": record.who,
        "note": record.note,
        "changes": record.changes,
        **led_to,
    }


async def roll_back(request: web.Request) -> web.Response:
    """POST /v1/apps/{app}/rollback {"to": N}; `restored` is the record that was gone back to."""
    raw = await body_of(request) if await request.read() else {}
    body = decode(RollbackBody, raw)
    done = request.app[CHANGES].roll_back(caller_of(request), app_of(request), body.to, body.newest)
    return answer(done, lambda made: app_reply(request, made[0], restored=_wire(made[1])))
