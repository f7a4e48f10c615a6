"""POST /v1/transactions: several apps in one write, all or none."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BeforeValidator, Field, model_validator

from control.api.keys import CHANGES
from control.api.wire import bodies
from control.api.wire.caller import caller_of
from control.api.wire.problems import body_of, decode, reply
from control.api.wire.representation import app_wire
from control.changes.changes import Change
from control.changes.dry_run import Previews
from control.changes.preconditions import Conditions
from control.changes.turn import Turn
from control.model.kinds import AppName, Model


class ChangeBody(Model):
    """One app of a transaction; the body is that of the same method on /v1/apps/APP."""

    app: AppName
    method: Annotated[
        Literal["PUT", "PATCH", "DELETE"],
        BeforeValidator(lambda v: v.upper() if isinstance(v, str) else v),
    ] = "PATCH"
    if_match: str = ""
    body: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ChangeBody:
        if (self.body is None) != (self.method == "DELETE"):
            raise ValueError("PUT and PATCH have a body, DELETE has none")
        return self

    def change(self, domain: str) -> Change:
        """The change in the form that `Changes` takes. Raises Invalid for an invalid body."""
        conditions = Conditions(self.if_match)
        if self.method == "DELETE":
            return Change(self.app, None, conditions=conditions)
        if self.method == "PUT":
            body = bodies.put(self.body)
            return Change(self.app, lambda _: body, conditions=conditions)
        patch = self.body
        return Change(
            self.app,
            lambda view: bodies.patched(view, patch, domain),
            is_existing=True,
            is_asked=bodies.has_template(patch),
            conditions=conditions,
        )


class TransactionBody(Model):
    """What is to be changed, in this order."""

    changes: Annotated[tuple[ChangeBody, ...], Field(min_length=1, max_length=1000)]


async def transact(request: web.Request) -> web.Response:
    """POST /v1/transactions."""
    changes, turn = request.app[CHANGES], Turn()
    body = decode(TransactionBody, await body_of(request))
    wanted = []
    for change in body.changes:
        wanted.append(change.change(changes.domain))
        await turn.over()
    done = await changes.transact_in_turns(caller_of(request), wanted)
    if isinstance(done, Previews):
        return reply(done.wire())
    shown = {}
    for view in done:
        if view.app is not None:
            shown[view.app.name] = app_wire(view, changes.domain)
        await turn.over()
    return reply({"value": list(shown.values())})
